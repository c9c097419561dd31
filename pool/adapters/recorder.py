"""Drains the journal into SQL: request rows, attempts, what they add up to, and what is known of keys."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import DataError, DBAPIError, StatementError
from sqlalchemy.orm import Session

from pool.core.masking import redact
from pool.core.records import REQUEST, RequestRecord, parse_line, parse_request

from . import known, tables
from .database import Database
from .prices import Prices
from .rollups import Costed, add_up
from .spool import Batch, batches, drained, files
from .tables.base import storable
from .upserts import insert_rows, upsert

log = logging.getLogger(__name__)

PRUNED_AT_ONCE = 500
LOOKED_UP_AT_ONCE = 500


class Recorder:
    """Writes what the journal holds, each line once: the position moves in the transaction that holds the rows.

    Without `prices` nothing costs anything.
    """

    def __init__(self, database: Database, folder: Path, prices: Prices | None = None) -> None:
        self._database = database
        self._folder = folder
        self._prices = prices

    def drain(self) -> int:
        """Everything written so far. Returns how many lines; 0 where another worker is at it."""
        with _only_one(self._folder) as alone:
            return self._drain() if alone else 0

    def _drain(self) -> int:
        if self._prices is not None:
            self._prices.load()
        positions = self._database.read(_positions)
        count = 0
        for batch in batches(self._folder, positions):
            self._database.write(_store, batch, self._prices)
            positions[batch.file] = batch.end
            count += len(batch.lines)
        return count

    def behind(self) -> int:
        """Bytes that were written and are not in the database yet."""
        positions = self._database.read(_positions)
        return sum(max(0, path.stat().st_size - positions.get(path.name, 0)) for path in files(self._folder))

    def prune(self, before: float, at_once: int = PRUNED_AT_ONCE) -> int:
        """Forget requests older than a moment (Unix seconds), in small transactions; the hourly figures stay."""
        count = 0
        while gone := self._database.write(_prune, before, at_once):
            count += gone
        return count

    def tidy(self) -> None:
        """Remove files that are drained and that nobody writes any more."""
        positions = self._database.read(_positions)
        done = drained(self._folder, positions)
        if done:
            # The files first: a position without its file is harmless, a file without its position is drained again.
            for name in done:
                (self._folder / name).unlink(missing_ok=True)
            self._database.write(_forget, done)


@contextmanager
def _only_one(folder: Path) -> Iterator[bool]:
    """Is nobody else draining this folder? Workers of one machine share it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".drain").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _prune(session: Session, before: float, at_once: int) -> int:
    old = select(tables.Request.id).where(tables.Request.at < before).order_by(tables.Request.at).limit(at_once)
    ids = list(session.scalars(old))
    if ids:
        session.execute(delete(tables.Request).where(tables.Request.id.in_(ids)))
    return len(ids)


def _positions(session: Session) -> dict[str, int]:
    rows = session.execute(select(tables.SpoolPosition.file, tables.SpoolPosition.offset))
    return dict(rows.all())


def _forget(session: Session, files: list[str]) -> None:
    session.execute(delete(tables.SpoolPosition).where(tables.SpoolPosition.file.in_(files)))


def _store(session: Session, batch: Batch, prices: Prices | None) -> None:
    requests: list[Costed] = []
    for line in batch.lines:
        try:
            fields = parse_line(line)
            if fields[0] == REQUEST:
                requests.append(_costed(parse_request(fields), prices))
            else:
                known.store(session, fields)
        except (ValueError, TypeError, OverflowError):
            _left_out(batch, line)
    _store_what_fits(session, batch, requests)
    position = {"file": batch.file, "offset": batch.end}
    upsert(session, tables.SpoolPosition, [position], ("file",), replace=("offset",))


def _costed(record: RequestRecord, prices: Prices | None) -> Costed:
    if prices is None or not record.attempts or not record.usage.total:
        return Costed(record, 0)
    price = prices.of(record.attempts[-1].provider, record.model_used or record.model, record.at)
    return Costed(record, price.cost_nano(record.usage))


def _store_what_fits(session: Session, batch: Batch, requests: list[Costed]) -> None:
    """All requests at once; where one of them holds what no column takes, one by one without it."""
    if not requests:
        return
    try:
        with session.begin_nested():
            _store_requests(session, requests)
    except (OverflowError, DataError, StatementError) as error:
        if isinstance(error, DBAPIError) and not isinstance(error, DataError):
            raise
        if len(requests) == 1:
            _left_out(batch, requests[0].record.line())
            return
        half = len(requests) // 2
        _store_what_fits(session, batch, requests[:half])
        _store_what_fits(session, batch, requests[half:])


def _left_out(batch: Batch, line: bytes) -> None:
    log.warning("a journal line could not be stored and was left out (%s, %d bytes)", batch.file, len(line))


def _store_requests(session: Session, requests: list[Costed]) -> None:
    by_id = {each.record.request_id: each for each in reversed(requests)}
    known_ids = _known(session, list(by_id))
    new = [each for request_id, each in reversed(by_id.items()) if request_id not in known_ids]
    if not new:
        return
    rows = list(zip(_free_ids(session, len(new)), new, strict=True))
    insert_rows(session, tables.Request, _REQUEST, [_request_row(row_id, *costed) for row_id, costed in rows])
    attempts = [row for row_id, costed in rows for row in _attempt_rows(row_id, costed.record)]
    insert_rows(session, tables.Attempt, _ATTEMPT, attempts)
    add_up(session, new)


def _known(session: Session, request_ids: list[str]) -> set[str]:
    """Those that are stored already: a record that is drained twice counts once."""
    found: set[str] = set()
    for at in range(0, len(request_ids), LOOKED_UP_AT_ONCE):
        some = tables.Request.request_id.in_(request_ids[at : at + LOOKED_UP_AT_ONCE])
        found.update(session.scalars(select(tables.Request.request_id).where(some)))
    return found


def _free_ids(session: Session, count: int) -> Iterable[int]:
    """Ids for new requests, known before they are stored: to be told them row by row costs more than the rows."""
    if session.get_bind().dialect.name == "postgresql":
        return session.scalars(_NEXT_IDS, {"count": count})
    # The one writer of this file is in its transaction: nobody takes them in between.
    last = session.scalar(select(func.max(tables.Request.id))) or 0
    return range(last + 1, last + 1 + count)


_NEXT_IDS = text("SELECT nextval(pg_get_serial_sequence('requests', 'id')) FROM generate_series(1, :count)")

_REQUEST = (
    "id", "request_id", "at", "pool_id", "client_key_id", "key_id", "operation", "dialect", "model_asked",
    "model_used", "stream", "status", "outcome", "error_code", "latency_ms", "ttfb_ms", "tokens_in", "tokens_out",
    "tokens_cached", "tokens_thinking", "estimated", "cost_nano", "attempts", "ip",
)  # fmt: skip

_ATTEMPT = (
    "request_row", "n", "key_id", "provider", "why", "skipped", "started_ms", "duration_ms", "status", "outcome",
    "blamed", "error",
)  # fmt: skip


def _request_row(row_id: int, record: RequestRecord, cost_nano: int) -> tuple[Any, ...]:
    usage, asked = record.usage, storable(record.model, 200)
    return (
        row_id, storable(record.request_id, 64), record.at, record.pool_id or None, record.client_id,
        record.attempts[-1].key_id if record.attempts else None, record.operation, record.dialect, asked,
        storable(record.model_used, 200) or asked, record.stream, record.status, record.outcome,
        storable(record.code, 60) or None, record.latency_ms, record.ttfb_ms, usage.input, usage.output, usage.cached,
        usage.thinking, usage.estimated, cost_nano, len(record.attempts), storable(record.ip),
    )  # fmt: skip


def _attempt_rows(row_id: int, record: RequestRecord) -> list[tuple[Any, ...]]:
    return [
        (
            row_id, n, attempt.key_id or None, storable(attempt.provider, 60), storable(attempt.why, 200),
            orjson.dumps(attempt.skipped).decode() if attempt.skipped else None, attempt.started_ms,
            attempt.duration_ms, attempt.status, attempt.outcome, "key" if attempt.blamed else "",
            storable(redact(attempt.error)[:500]) if attempt.error else "",
        )
        for n, attempt in enumerate(record.attempts, 1)
    ]  # fmt: skip
