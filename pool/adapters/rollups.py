"""What requests add up to: figures of the hour, totals of keys, last use of client keys."""

from __future__ import annotations

from collections import defaultdict
from operator import add
from typing import Any, NamedTuple

from sqlalchemy import update
from sqlalchemy.orm import Session

from pool.core.masking import redact
from pool.core.outcomes import NOT_THE_KEYS, OK
from pool.core.records import RequestRecord

from . import tables
from .days import note_late
from .tables.base import storable
from .upserts import insert_rows, run_rows

Place = tuple[Any, ...]
Figures = tuple[int, ...]


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
    by_key: dict[Place, Figures] = {}
    by_pool: dict[Place, Figures] = {}
    for costed in requests:
        record = costed.record
        hour = _hour(record.at)
        key_id = record.attempts[-1].key_id if record.attempts else 0
        common = (record.client_id or 0, _model(record))
        figures = _figures(costed)
        _add(by_pool, (hour, record.pool_id, *common), figures)
        # Limits count what each key was asked: an attempt is its own key's, in the hour it began.
        own = 0
        for attempt in record.attempts:
            began = _hour(record.at + attempt.started_ms / 1000)
            if attempt.key_id == key_id and began == hour:
                own += 1
            else:
                _add(by_key, (began, record.pool_id, attempt.key_id, *common), _ONE_ATTEMPT)
        if own != len(record.attempts):
            figures = (*figures[:_ATTEMPTS], own, *figures[_ATTEMPTS + 1 :])
        _add(by_key, (hour, record.pool_id, key_id, *common), figures)
    for table, tallies, keys in (
        (tables.UsageHour, by_key, ("hour", "pool_id", "key_id", "client_key_id", "model")),
        (tables.TrafficHour, by_pool, ("hour", "pool_id", "client_key_id", "model")),
    ):
        columns = (*keys, *tables.TALLY)
        rows = [(*place, *tallies[place]) for place in sorted(tallies)]
        insert_rows(session, table, columns, rows, keys, tables.TALLY)
        if table is tables.TrafficHour:
            note_late(session, table, columns, rows)


def _add(tallies: dict[Place, Figures], place: Place, figures: Figures) -> None:
    known = tallies.get(place)
    tallies[place] = figures if known is None else tuple(map(add, known, figures))


def _hour(at: float) -> int:
    return int(at // 3600) * 3600


def _model(record: RequestRecord) -> str:
    return storable(record.model_used or record.model, 200)


def _figures(costed: Costed) -> Figures:
    """What one request adds to each column of `tables.TALLY`."""
    record, usage = costed.record, costed.record.usage
    well = record.outcome == "ok"
    return (
        1, int(well), int(not well), len(record.attempts), usage.input, usage.output, usage.cached, usage.thinking,
        int(usage.estimated), costed.cost_nano, record.latency_ms, record.ttfb_ms or 0,
        *_ONE_OF[tables.latency_bucket(record.latency_ms)],
    )  # fmt: skip


_ONE_OF = {name: tuple(int(name == each) for each in tables.LATENCY_BUCKETS) for name in tables.LATENCY_BUCKETS}
_ATTEMPTS = tables.TALLY.index("attempts")
_ONE_ATTEMPT = tuple(int(name == "attempts") for name in tables.TALLY)


def _count_outcomes(session: Session, requests: list[Costed]) -> None:
    """Add to how often what ended how, in sorted order as above."""
    times: dict[Place, int] = defaultdict(int)
    for record, _ in requests:
        hour = _hour(record.at)
        what = (record.pool_id, _model(record), storable(record.operation, 40))
        times[hour, "request", *what, record.status, storable(_word(record), 60)] += 1
        for attempt in record.attempts:
            times[hour, "attempt", *what, attempt.status or 0, storable(attempt.outcome, 60)] += 1
        if _rescued(record):
            first = record.attempts[0]
            times[hour, "rescue", *what, first.status or 0, storable(first.outcome, 60)] += 1
        if record.ttfb_ms is not None:
            edge_ms = tables.LATENCY_BUCKETS[tables.latency_bucket(record.ttfb_ms)] or 0
            times[hour, "first_byte", record.pool_id, "", what[2], edge_ms, ""] += 1
            # By model a mean is enough: as many buckets of each as there are would be most of the table.
            for word, number in (("begun", 1), ("ms", record.ttfb_ms)):
                times[hour, "ttfb", record.pool_id, what[1], "", 0, word] += number
    keys = ("hour", "side", "pool_id", "model", "operation", "status", "word")
    columns = (*keys, "times")
    rows = [(*place, number) for place, number in sorted(times.items())]
    insert_rows(session, tables.OutcomeHour, columns, rows, keys, ("times",))
    note_late(session, tables.OutcomeHour, columns, rows)


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
    totals: dict[int, tuple[Any, ...]] = {}
    failures: dict[int, tuple[Any, ...]] = {}
    for record, cost_nano in requests:
        for attempt in record.attempts:
            key_id = attempt.key_id
            if not key_id:
                continue
            ok, failed, last = (
                attempt.outcome == "ok",
                attempt.outcome != OK.kind and attempt.outcome not in NOT_THE_KEYS,
                attempt is record.attempts[-1],
            )
            *sums, used_at = totals.get(key_id, _NOTHING)
            more = (1, int(ok), int(failed), record.usage.total if last else 0, cost_nano if last else 0)
            totals[key_id] = (*map(add, sums, more), max(used_at, record.at))
            if failed:
                said = f"{attempt.status or ''} {attempt.outcome} {redact(attempt.error)}".strip()
                failures[key_id] = (record.at, storable(said[:500]))
    # One statement for all keys, in the order of their ids: two writers never wait for each other in a ring.
    for statement, rows in ((_ADD_TO_KEY, totals), (_LAST_ERROR_OF_KEY, failures)):
        run_rows(session, statement, [(*rows[key_id], key_id) for key_id in sorted(rows)])


_NOTHING = (0, 0, 0, 0, 0, 0.0)
_ADD_TO_KEY = (
    "UPDATE keys SET requests = requests + ?, successes = successes + ?, errors = errors + ?, tokens = tokens + ?,"
    " cost_nano = cost_nano + ?, last_used_at = ? WHERE id = ?"
)
_LAST_ERROR_OF_KEY = "UPDATE keys SET last_error_at = ?, last_error = ? WHERE id = ?"


def _touch_clients(session: Session, requests: list[Costed]) -> None:
    last = {record.client_id: record.at for record, _ in requests if record.client_id}
    client = tables.ClientKey
    for client_id, at in sorted(last.items()):
        session.execute(update(client).where(client.id == client_id).values(last_used_at=at))
