"""What requests add up to: figures of the hour, totals of keys, last use of client keys."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from sqlalchemy import bindparam, update
from sqlalchemy.orm import Session

from pool.core.masking import redact
from pool.core.outcomes import NOT_THE_KEYS, OK
from pool.core.records import RequestRecord

from . import tables
from .days import note_late
from .upserts import upsert

Place = tuple[Any, ...]


class Costed(NamedTuple):
    """A request and what its tokens cost, in nano-USD."""

    record: RequestRecord
    cost_nano: int


def add_up(session: Session, requests: list[Costed]) -> None:
    """Add requests, each of them once, to everything that counts them."""
    _roll_up(session, requests)
    _count_outcomes(session, requests)
    _add_to_keys(session, requests)
    _touch_clients(session, requests)


def _roll_up(session: Session, requests: list[Costed]) -> None:
    """Add to the hour's figures, by key and without the key. In sorted order, so that two writers never deadlock."""
    by_key: dict[Place, dict[str, int]] = defaultdict(lambda: dict.fromkeys(tables.TALLY, 0))
    by_pool: dict[Place, dict[str, int]] = defaultdict(lambda: dict.fromkeys(tables.TALLY, 0))
    for costed in requests:
        record = costed.record
        hour = _hour(record.at)
        key_id = record.attempts[-1].key_id if record.attempts else 0
        common = (record.client_id or 0, record.model_used or record.model)
        own, whole = by_key[hour, record.pool_id, key_id, *common], by_pool[hour, record.pool_id, *common]
        _count(own, costed)
        _count(whole, costed)
        whole["attempts"] += len(record.attempts)
        # Limits count what each key was asked: an attempt is its own key's, in the hour it began.
        for attempt in record.attempts:
            began = _hour(record.at + attempt.started_ms / 1000)
            if attempt.key_id == key_id and began == hour:
                own["attempts"] += 1
            else:
                by_key[began, record.pool_id, attempt.key_id, *common]["attempts"] += 1
    for table, tallies, keys in (
        (tables.UsageHour, by_key, ("hour", "pool_id", "key_id", "client_key_id", "model")),
        (tables.TrafficHour, by_pool, ("hour", "pool_id", "client_key_id", "model")),
    ):
        rows = [dict(zip(keys, place, strict=True), **tally) for place, tally in sorted(tallies.items())]
        upsert(session, table, rows, keys, add=tables.TALLY)
        if table is tables.TrafficHour:
            note_late(session, table, rows)


def _hour(at: float) -> int:
    return int(at // 3600) * 3600


def _count(tally: dict[str, int], costed: Costed) -> None:
    record, usage = costed.record, costed.record.usage
    tally["requests"] += 1
    tally["successes"] += record.outcome == "ok"
    tally["errors"] += record.outcome != "ok"
    tally["tokens_in"] += usage.input
    tally["tokens_out"] += usage.output
    tally["tokens_cached"] += usage.cached
    tally["tokens_thinking"] += usage.thinking
    tally["estimated"] += usage.estimated
    tally["cost_nano"] += costed.cost_nano
    tally["latency_ms"] += record.latency_ms
    tally["ttfb_ms"] += record.ttfb_ms or 0
    tally[tables.latency_bucket(record.latency_ms)] += 1


def _count_outcomes(session: Session, requests: list[Costed]) -> None:
    """Add to how often what ended how, in sorted order as above."""
    times: dict[Place, int] = defaultdict(int)
    for record, _ in requests:
        hour = _hour(record.at)
        what = (record.pool_id, record.model_used or record.model, record.operation)
        times[hour, "request", *what, record.status, _word(record)] += 1
        for attempt in record.attempts:
            times[hour, "attempt", *what, attempt.status or 0, attempt.outcome] += 1
        if _rescued(record):
            first = record.attempts[0]
            times[hour, "rescue", *what, first.status or 0, first.outcome] += 1
        if record.ttfb_ms is not None:
            edge_ms = tables.LATENCY_BUCKETS[tables.latency_bucket(record.ttfb_ms)] or 0
            times[hour, "first_byte", record.pool_id, "", record.operation, edge_ms, ""] += 1
            # By model a mean is enough: as many buckets of each as there are would be most of the table.
            for word, number in (("begun", 1), ("ms", record.ttfb_ms)):
                times[hour, "ttfb", record.pool_id, what[1], "", 0, word] += number
    keys = ("hour", "side", "pool_id", "model", "operation", "status", "word")
    rows = [{**dict(zip(keys, place, strict=True)), "times": number} for place, number in sorted(times.items())]
    upsert(session, tables.OutcomeHour, rows, keys, add=("times",))
    note_late(session, tables.OutcomeHour, rows)


def _rescued(record: RequestRecord) -> bool:
    """Did another key answer than the one that was asked first?"""
    attempts = record.attempts
    return record.outcome == "ok" and len(attempts) > 1 and attempts[0].key_id != attempts[-1].key_id


def _word(record: RequestRecord) -> str:
    if record.outcome == "ok" or record.code in ("", "ok"):
        return record.outcome
    return record.code


def _add_to_keys(session: Session, requests: list[Costed]) -> None:
    """Totals and last use of every key an attempt went to. A key's requests are its attempts; the tokens and what
    they cost are the last one's."""
    totals: dict[int, dict[str, Any]] = {}
    failures: dict[int, dict[str, Any]] = {}
    for record, cost_nano in requests:
        for attempt in record.attempts:
            if not attempt.key_id:
                continue
            ok, failed, last = (
                attempt.outcome == "ok",
                attempt.outcome != OK.kind and attempt.outcome not in NOT_THE_KEYS,
                attempt is record.attempts[-1],
            )
            row = totals.setdefault(attempt.key_id, {"at_key": attempt.key_id} | dict.fromkeys(_KEY_TALLY, 0))
            row["more_requests"] += 1
            row["more_successes"] += ok
            row["more_errors"] += failed
            row["more_tokens"] += record.usage.total if last else 0
            row["more_cost_nano"] += cost_nano if last else 0
            row["used_at"] = max(row["used_at"], record.at)
            if failed:
                said = f"{attempt.status or ''} {attempt.outcome} {redact(attempt.error)}".strip()
                failures[attempt.key_id] = {"at_key": attempt.key_id, "failed_at": record.at, "said": said[:500]}
    # One statement for all keys, in the order of their ids: two writers never wait for each other in a ring.
    for statement, rows in ((_ADD_TO_KEY, totals), (_LAST_ERROR_OF_KEY, failures)):
        if rows:
            session.connection().execute(statement, [rows[key_id] for key_id in sorted(rows)])


_KEY_TALLY = ("more_requests", "more_successes", "more_errors", "more_tokens", "more_cost_nano", "used_at")
_KEYS: Any = tables.Key.__table__
_ADD_TO_KEY = (
    update(_KEYS)
    .where(_KEYS.c.id == bindparam("at_key"))
    .values(
        requests=_KEYS.c.requests + bindparam("more_requests"),
        successes=_KEYS.c.successes + bindparam("more_successes"),
        errors=_KEYS.c.errors + bindparam("more_errors"),
        tokens=_KEYS.c.tokens + bindparam("more_tokens"),
        cost_nano=_KEYS.c.cost_nano + bindparam("more_cost_nano"),
        last_used_at=bindparam("used_at"),
    )
)
_LAST_ERROR_OF_KEY = (
    update(_KEYS)
    .where(_KEYS.c.id == bindparam("at_key"))
    .values(last_error_at=bindparam("failed_at"), last_error=bindparam("said"))
)


def _touch_clients(session: Session, requests: list[Costed]) -> None:
    last = {record.client_id: record.at for record, _ in requests if record.client_id}
    client = tables.ClientKey
    for client_id, at in sorted(last.items()):
        session.execute(update(client).where(client.id == client_id).values(last_used_at=at))
