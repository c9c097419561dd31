"""What was used since a moment, and by whom: shown on pages, and taken over at a start, so that a restart forgives
nothing.

Whole hours come from the roll-ups. A period that begins within one (a day that begins at 07:30) is exact, too: the
rest of that hour is added up from the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, String, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from pool.adapters import tables
from pool.adapters.queries.days import summed
from pool.adapters.tables import Attempt, Key, Request, TrafficHour, UsageHour

MOST_LATE_S = 3_600
"""No attempt begins later than that after its request came in: the largest `request_deadline_s`."""

FORGIVEN = "forgiven"
"""Owner, in the table of counters, of what keys were asked before somebody let their caps begin anew."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests, their tokens in and out, and what they cost in nano-USD."""

    requests: int = 0
    tokens: int = 0
    cost_nano: int = 0


@dataclass(frozen=True, slots=True)
class Spending:
    """What a client key, or a pool, used today and this month."""

    day: Spent = Spent()
    month: Spent = Spent()


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests of one second. `client_key_id` is None for those by a pool's own auth key."""

    at: int
    pool_id: int
    client_key_id: int | None
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Tried:
    """Attempts of one second with one key for one model; their tokens where they were a request's last."""

    at: int
    key_id: int
    model: str
    attempts: int
    tokens: int


def client_spend(session: Session, day_began: float, month_began: float) -> dict[int, Spending]:
    """By client key."""
    day = _spent_since(session, "client_key_id", Request.client_key_id, day_began)
    month = _spent_since(session, "client_key_id", Request.client_key_id, month_began)
    return _both(day, month)


def pool_spend(session: Session, day_began: float, month_began: float) -> dict[int, Spending]:
    """By the pool whose credential was presented."""
    day = _spent_since(session, "pool_id", Request.pool_id, day_began)
    month = _spent_since(session, "pool_id", Request.pool_id, month_began)
    return _both(day, month)


def asked_since(session: Session, since: float) -> list[Asked]:
    """Requests that came in after a moment a minute ago or so, second by second."""
    columns = (Request.at, Request.pool_id, Request.client_key_id, Request.tokens_in + Request.tokens_out)
    requests: Counter[tuple[int, int, int | None]] = Counter()
    tokens: Counter[tuple[int, int, int | None]] = Counter()
    for at, pool_id, client_id, used in session.execute(select(*columns).where(Request.at > since)):
        place = (int(at), pool_id or 0, client_id)
        requests[place] += 1
        tokens[place] += used
    return [Asked(*place, number, tokens[place]) for place, number in requests.items()]


def tried_since(session: Session, since: float) -> list[Tried]:
    """Attempts that began after a moment a minute ago or so, second by second."""
    began = Request.at + Attempt.started_ms / 1000.0
    used = Request.tokens_in + Request.tokens_out
    columns = (began, Attempt.key_id, Request.model_used, Attempt.n, Request.attempts, used)
    query = select(*columns).join(Request, Request.id == Attempt.request_row)
    query = query.where(Request.at > since - MOST_LATE_S, began > since, Attempt.key_id.is_not(None))
    attempts: Counter[tuple[int, Any, str]] = Counter()
    tokens: Counter[tuple[int, Any, str]] = Counter()
    for at, key_id, model, n, last, used_here in session.execute(query):
        place = (int(at), key_id, model)
        attempts[place] += 1
        tokens[place] += used_here if n == last else 0
    return [Tried(*place, number, tokens[place]) for place, number in attempts.items()]


def limited_keys() -> Select[Any]:
    """The ids of keys an operator set limits for."""
    # A JSON column without a value holds SQL's null or JSON's; only an object can hold limits.
    return select(Key.id).where(cast(Key.limits, String).like("{%"), Key.deleted_at.is_(None))


def attempts_since(session: Session, day_began: float) -> dict[tuple[int, str], int]:
    """How often each key was asked for each model."""
    hour, first = UsageHour, _next_hour(day_began)
    rolled = select(hour.key_id, hour.model, func.sum(hour.attempts)).group_by(hour.key_id, hour.model)
    rolled = rolled.where(hour.hour >= first, hour.attempts > 0)
    # Key 0 stands for a caller's own. To say so in SQL would lead SQLite along the index of keys, through all hours.
    found: Counter[tuple[Any, str]] = Counter(
        {(row[0], row[1]): int(row[2]) for row in session.execute(rolled) if row[0]}
    )
    if first > day_began:
        rest = select(Attempt.key_id, Request.model_used, func.count()).where(*_began_between(day_began, first))
        rest = rest.join(Request, Request.id == Attempt.request_row).group_by(Attempt.key_id, Request.model_used)
        for key_id, model, number in session.execute(rest):
            found[key_id, model] += number
    return dict(found)


def capped_attempts(session: Session, day_began: float, month_began: float) -> list[tuple[int, str, int]]:
    """(key id, window, attempts so far) of keys whose cap counts by the day or the month; forgiven ones count not."""
    return [
        (key_id, window, left)
        for window, began in (("day", day_began), ("month", month_began))
        for pardoned in (forgiven(session, window, began),)
        for key_id, number in attempts_of_capped(session, window, began).items()
        if (left := number - pardoned.get(key_id, 0)) > 0
    ]


def forgiven(session: Session, window: str, began: float) -> dict[int, int]:
    """Attempts that count for no cap of a window any more, by key."""
    counter = tables.Counter
    query = select(counter.owner_id, counter.requests).where(
        counter.owner == FORGIVEN, counter.window == window, counter.window_start == int(began)
    )
    return {int(key_id): attempts for key_id, attempts in session.execute(query)}


def attempts_of_capped(
    session: Session, window: str, began: float, among: Sequence[int] | None = None
) -> dict[int, int]:
    """Attempts since a window began, of keys whose cap counts in it, or of those named, which may have one soon."""
    capped = select(Key.id).where(Key.deleted_at.is_(None))
    if among is None:
        capped = capped.where(Key.max_requests.is_not(None), Key.max_requests_window == window)
    else:
        capped = capped.where(Key.id.in_(among))
    if window == "none":
        rows = session.execute(capped.with_only_columns(Key.id, Key.requests).where(Key.requests > 0))
        return {row[0]: row[1] for row in rows}
    hour, first = UsageHour, _next_hour(began)
    rolled = select(hour.key_id, func.sum(hour.attempts)).where(hour.key_id.in_(capped), hour.hour >= first)
    found: Counter[Any] = Counter({row[0]: int(row[1]) for row in session.execute(rolled.group_by(hour.key_id))})
    if first > began:
        rest = select(Attempt.key_id, func.count()).where(Attempt.key_id.in_(capped), *_began_between(began, first))
        rest = rest.join(Request, Request.id == Attempt.request_row).group_by(Attempt.key_id)
        for key_id, number in session.execute(rest):
            found[key_id] += number
    return {key_id: number for key_id, number in found.items() if number}


def _began_between(since: float, until: int) -> list[ColumnElement[bool]]:
    began = Request.at + Attempt.started_ms / 1000.0
    around = (Request.at > since - MOST_LATE_S, Request.at < until)
    return [*around, began >= since, began < until, Attempt.key_id.is_not(None)]


def _spent_since(
    session: Session, rolled: str, logged: InstrumentedAttribute[int | None], began: float
) -> dict[int, Spent]:
    """`rolled` and `logged` are one owner's column in the roll-ups and in the log."""
    first = _next_hour(began)

    def build(hour: Any) -> Select[Any]:
        owner, figures = getattr(hour, rolled), (hour.requests, hour.tokens_in + hour.tokens_out, hour.cost_nano)
        return select(owner, *(func.sum(each) for each in figures)).where(owner > 0).group_by(owner)

    found = {owner: Spent(*sums) for (owner,), sums in summed(session, TrafficHour, first, build, 3).items()}
    if first > began:
        sums: list[Any] = [func.count(), func.sum(Request.tokens_in + Request.tokens_out), func.sum(Request.cost_nano)]
        query = select(logged, *sums).where(Request.at >= began, Request.at < first, logged.is_not(None))
        for row in session.execute(query.group_by(logged)):
            found[row[0]] = _sum(found.get(row[0], Spent()), Spent(*map(int, row[1:])))
    return found


def _sum(one: Spent, other: Spent) -> Spent:
    return Spent(one.requests + other.requests, one.tokens + other.tokens, one.cost_nano + other.cost_nano)


def _both(day: dict[int, Spent], month: dict[int, Spent]) -> dict[int, Spending]:
    return {owner: Spending(day.get(owner, Spent()), month.get(owner, Spent())) for owner in {**month, **day}}


def _next_hour(moment: float) -> int:
    """The first full hour that is not before a moment."""
    return -int(-moment // 3600) * 3600
