"""Drains the journal into SQL: request rows, attempts, hourly roll-ups, totals of keys, and what is known of them."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, StatementError
from sqlalchemy.orm import Session

from pool.core import records as lines
from pool.core.masking import redact
from pool.core.records import RequestRecord, parse_line, parse_request

from . import tables
from .database import Database
from .spool import Batch, batches, drained

log = logging.getLogger(__name__)

PRUNED_AT_ONCE = 500

_TALLY = (
    "requests", "successes", "errors", "attempts", "tokens_in", "tokens_out", "tokens_cached", "tokens_thinking",
    "estimated", "latency_ms", "ttfb_ms", *tables.LATENCY_BUCKETS,
)  # fmt: skip


class Recorder:
    """Writes what the journal holds, each line once: the position moves in the transaction that holds the rows."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def drain(self) -> int:
        """Everything written so far. Returns how many lines."""
        positions = self._database.read(_positions)
        count = 0
        for batch in batches(self._folder, positions):
            self._database.write(_store, batch)
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


def _store(session: Session, batch: Batch) -> None:
    records: list[RequestRecord] = []
    for line in batch.lines:
        try:
            fields = parse_line(line)
            match fields[0]:
                case lines.REQUEST:
                    records.append(parse_request(fields))
                case lines.BENCH:
                    _store_bench(session, *fields[1:])
                case lines.DEAD:
                    _store_death(session, *fields[1:])
                case lines.RELEASE:
                    _store_release(session, *fields[1:])
        except (ValueError, TypeError, OverflowError):
            _left_out(batch, line)
    _store_what_fits(session, batch, records)
    position = {"file": batch.file, "offset": batch.end}
    _upsert(session, tables.SpoolPosition, [position], ("file",), replace=("offset",))


def _store_what_fits(session: Session, batch: Batch, records: list[RequestRecord]) -> None:
    """All records at once; where one of them holds what no column takes, one by one without it."""
    if not records:
        return
    try:
        with session.begin_nested():
            _store_requests(session, records)
    except (OverflowError, DataError, StatementError) as error:
        if isinstance(error, DBAPIError) and not isinstance(error, DataError):
            raise
        if len(records) == 1:
            _left_out(batch, records[0].line())
            return
        half = len(records) // 2
        _store_what_fits(session, batch, records[:half])
        _store_what_fits(session, batch, records[half:])


def _left_out(batch: Batch, line: bytes) -> None:
    log.warning("a journal line could not be stored and was left out (%s, %d bytes)", batch.file, len(line))


def _store_requests(session: Session, records: list[RequestRecord]) -> None:
    rows = [_request_row(record) for record in records]
    inserted = session.execute(
        _insert(session, tables.Request)
        .on_conflict_do_nothing(index_elements=["request_id"])
        .returning(tables.Request.id, tables.Request.request_id),
        rows,
    )
    ids = {request_id: row_id for row_id, request_id in inserted}
    new = [(record, row_id) for record in records if (row_id := ids.pop(record.request_id, None)) is not None]
    attempts = [row for record, row_id in new for row in _attempt_rows(record, row_id)]
    if attempts:
        session.execute(insert(tables.Attempt), attempts)
    added = [record for record, _ in new]
    _roll_up(session, added)
    _count_outcomes(session, added)
    _add_to_keys(session, added)
    _touch_clients(session, added)


def _request_row(record: RequestRecord) -> dict[str, Any]:
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
        "cost_nano": 0,
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


def _roll_up(session: Session, records: list[RequestRecord]) -> None:
    """Add to the hour's figures, by key and without the key. In sorted order, so that two writers never deadlock."""
    by_key: dict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: dict.fromkeys(_TALLY, 0))
    by_pool: dict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: dict.fromkeys(_TALLY, 0))
    for record in records:
        hour = int(record.at // 3600) * 3600
        key_id = record.attempts[-1].key_id if record.attempts else 0
        model = record.model_used or record.model
        common = (record.client_id or 0, model)
        for tally in (
            by_key[hour, record.pool_id, key_id, *common],
            by_pool[hour, record.pool_id, *common],
        ):
            _count(tally, record)
    for table, tallies, keys in (
        (tables.UsageHour, by_key, ("hour", "pool_id", "key_id", "client_key_id", "model")),
        (tables.TrafficHour, by_pool, ("hour", "pool_id", "client_key_id", "model")),
    ):
        rows = [dict(zip(keys, place, strict=True), **tally) for place, tally in sorted(tallies.items())]
        _upsert(session, table, rows, keys, add=_TALLY)


def _count_outcomes(session: Session, records: list[RequestRecord]) -> None:
    """Add to how often what ended how, in sorted order as above."""
    times: dict[tuple[Any, ...], int] = defaultdict(int)
    for record in records:
        hour = int(record.at // 3600) * 3600
        what = (record.pool_id, record.model_used or record.model, record.operation)
        times[hour, "request", *what, record.status, _word(record)] += 1
        for attempt in record.attempts:
            times[hour, "attempt", *what, attempt.status or 0, attempt.outcome] += 1
    keys = ("hour", "side", "pool_id", "model", "operation", "status", "word")
    rows = [{**dict(zip(keys, place, strict=True)), "times": number} for place, number in sorted(times.items())]
    _upsert(session, tables.OutcomeHour, rows, keys, add=("times",))


def _word(record: RequestRecord) -> str:
    if record.outcome == "ok" or record.code in ("", "ok"):
        return record.outcome
    return record.code


def _count(tally: dict[str, int], record: RequestRecord) -> None:
    usage = record.usage
    tally["requests"] += 1
    tally["successes"] += record.outcome == "ok"
    tally["errors"] += record.outcome != "ok"
    tally["attempts"] += len(record.attempts)
    tally["tokens_in"] += usage.input
    tally["tokens_out"] += usage.output
    tally["tokens_cached"] += usage.cached
    tally["tokens_thinking"] += usage.thinking
    tally["estimated"] += usage.estimated
    tally["latency_ms"] += record.latency_ms
    tally["ttfb_ms"] += record.ttfb_ms or 0
    tally[tables.latency_bucket(record.latency_ms)] += 1


def _add_to_keys(session: Session, records: list[RequestRecord]) -> None:
    """Totals and last use of every key an attempt went to. A key's requests are its attempts."""
    totals: dict[int, dict[str, Any]] = {}
    failures: dict[int, dict[str, Any]] = {}
    for record in records:
        for attempt in record.attempts:
            if not attempt.key_id:
                continue
            ok, failed = attempt.outcome == "ok", attempt.outcome not in NOT_THE_KEYS
            row = totals.setdefault(attempt.key_id, {"at_key": attempt.key_id} | dict.fromkeys(_KEY_TALLY, 0))
            row["more_requests"] += 1
            row["more_successes"] += ok
            row["more_errors"] += failed
            row["more_tokens"] += record.usage.total if attempt is record.attempts[-1] else 0
            row["used_at"] = max(row["used_at"], record.at)
            if failed:
                said = f"{attempt.status or ''} {attempt.outcome} {redact(attempt.error)}".strip()
                failures[attempt.key_id] = {"at_key": attempt.key_id, "failed_at": record.at, "said": said[:500]}
    # One statement for all keys, in the order of their ids: two writers never wait for each other in a ring.
    for statement, rows in ((_ADD_TO_KEY, totals), (_LAST_ERROR_OF_KEY, failures)):
        if rows:
            session.connection().execute(statement, [rows[key_id] for key_id in sorted(rows)])


NOT_THE_KEYS = {"ok", "client_gone", "rejected", "location", "other"}
"""Outcomes that are no error of the key: it served, or the caller or nobody was at fault."""

_KEY_TALLY = ("more_requests", "more_successes", "more_errors", "more_tokens", "used_at")
_KEYS: Any = tables.Key.__table__
_ADD_TO_KEY = (
    update(_KEYS)
    .where(_KEYS.c.id == bindparam("at_key"))
    .values(
        requests=_KEYS.c.requests + bindparam("more_requests"),
        successes=_KEYS.c.successes + bindparam("more_successes"),
        errors=_KEYS.c.errors + bindparam("more_errors"),
        tokens=_KEYS.c.tokens + bindparam("more_tokens"),
        last_used_at=bindparam("used_at"),
    )
)
_LAST_ERROR_OF_KEY = (
    update(_KEYS)
    .where(_KEYS.c.id == bindparam("at_key"))
    .values(last_error_at=bindparam("failed_at"), last_error=bindparam("said"))
)


def _touch_clients(session: Session, records: list[RequestRecord]) -> None:
    last = {record.client_id: record.at for record in records if record.client_id}
    client = tables.ClientKey
    for client_id, at in sorted(last.items()):
        session.execute(update(client).where(client.id == client_id).values(last_used_at=at))


def _store_bench(
    session: Session, key_id: int, model: str, reason: str, until: float | None, text: str, at: float
) -> None:
    if session.get(tables.Key, key_id) is None:
        return
    state = reason if reason in ("not_entitled", "suspected") else "cooling"
    row = {
        "key_id": key_id, "model": model, "state": state, "reason": reason, "since": at, "until": until,
        "upstream_text": redact(text)[:2000], "streak": 0,
    }  # fmt: skip
    # As in memory: a later word extends an earlier one and never shortens it.
    table = tables.KeyHealth
    statement = _insert(session, table)
    said = statement.excluded
    changes = {name: said[name] for name in ("state", "reason", "since", "until", "upstream_text")}
    longer = said.until.is_(None) | (said.until > table.until)
    session.execute(
        statement.on_conflict_do_update(index_elements=["key_id", "model"], set_=changes, where=longer), [row]
    )


def _store_death(session: Session, key_id: int, text: str, at: float) -> None:
    key = tables.Key
    session.execute(
        update(key).where(key.id == key_id, key.dead_at.is_(None)).values(dead_at=at, dead_reason=redact(text)[:2000])
    )


def _store_release(session: Session, key_id: int, model: str | None, at: float) -> None:
    """One bench of a key ended; with model None all of them, and its death."""
    health, key = tables.KeyHealth, tables.Key
    query = delete(health).where(health.key_id == key_id)
    session.execute(query if model is None else query.where(health.model == model))
    if model is None:
        session.execute(update(key).where(key.id == key_id).values(dead_at=None, dead_reason=""))


def _insert(session: Session, table: Any) -> Any:
    return (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(table)


def _upsert(
    session: Session,
    table: Any,
    rows: list[dict[str, Any]],
    keys: tuple[str, ...],
    *,
    add: tuple[str, ...] = (),
    replace: tuple[str, ...] = (),
) -> None:
    """Insert, or add to and replace columns of the row that is there."""
    if not rows:
        return
    statement = _insert(session, table)
    changes: dict[str, Any] = {name: getattr(table, name) + statement.excluded[name] for name in add}
    changes |= {name: statement.excluded[name] for name in replace}
    session.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changes), rows)
