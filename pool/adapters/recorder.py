"""Drains the journal into SQL: request rows, attempts, what they add up to, and what is known of keys."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import DataError, DBAPIError, StatementError
from sqlalchemy.orm import Session

from pool.core.masking import redact
from pool.core.records import REQUEST, RequestRecord, parse_line, parse_request

from . import known, tables
from .database import Database
from .prices import Prices
from .rollups import Costed, add_up
from .spool import Batch, batches, drained
from .upserts import insert_into, upsert

log = logging.getLogger(__name__)

PRUNED_AT_ONCE = 500


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
    rows = [_request_row(*costed) for costed in requests]
    inserted = session.execute(
        insert_into(session, tables.Request)
        .on_conflict_do_nothing(index_elements=["request_id"])
        .returning(tables.Request.id, tables.Request.request_id),
        rows,
    )
    ids = {request_id: row_id for row_id, request_id in inserted}
    new = [(each, row_id) for each in requests if (row_id := ids.pop(each.record.request_id, None)) is not None]
    attempts = [row for each, row_id in new for row in _attempt_rows(each.record, row_id)]
    if attempts:
        session.execute(insert(tables.Attempt), attempts)
    add_up(session, [each for each, _ in new])


def _request_row(record: RequestRecord, cost_nano: int) -> dict[str, Any]:
    usage = record.usage
    return {
        "request_id": record.request_id,
        "at": record.at,
        "pool_id": record.pool_id or None,
        "client_key_id": record.client_id,
        "key_id": record.attempts[-1].key_id if record.attempts else None,
        "operation": record.operation,
        "dialect": record.dialect,
        "model_asked": record.model,
        "model_used": record.model_used or record.model,
        "stream": record.stream,
        "status": record.status,
        "outcome": record.outcome,
        "error_code": record.code or None,
        "latency_ms": record.latency_ms,
        "ttfb_ms": record.ttfb_ms,
        "tokens_in": usage.input,
        "tokens_out": usage.output,
        "tokens_cached": usage.cached,
        "tokens_thinking": usage.thinking,
        "estimated": usage.estimated,
        "cost_nano": cost_nano,
        "attempts": len(record.attempts),
        "ip": record.ip,
    }


def _attempt_rows(record: RequestRecord, row_id: int) -> list[dict[str, Any]]:
    return [
        {
            "request_row": row_id,
            "n": n,
            "key_id": attempt.key_id or None,
            "provider": attempt.provider,
            "why": attempt.why,
            "skipped": attempt.skipped or None,
            "started_ms": attempt.started_ms,
            "duration_ms": attempt.duration_ms,
            "status": attempt.status,
            "outcome": attempt.outcome,
            "blamed": "key" if attempt.blamed else "",
            "error": redact(attempt.error)[:500],
        }
        for n, attempt in enumerate(record.attempts, 1)
    ]
