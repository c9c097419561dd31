"""The page of statistics: keys and what they served by model, endpoints, errors. Sums of roll-ups, never of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from pool.adapters.queries.traffic import went_wrong_by_the_caller
from pool.adapters.tables import (
    LATENCY_BUCKETS,
    Key,
    KeyHealth,
    Membership,
    OutcomeHour,
    Pool,
    Provider,
    TrafficHour,
    UsageHour,
)

USED, EXHAUSTED = SHOWN = ("used", "exhausted")
MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Use:
    """What a key served of one model: requests that ended with it, answered or failed."""

    model: str
    answered: int
    failed: int
    cost_nano: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """The upstream's own words about a key and a model ("" for all)."""

    model: str
    since: float
    text: str
    quota: dict[str, Any] | None = None
    """{window, unit, limit, tier} where the upstream named one."""


@dataclass(frozen=True, slots=True)
class StatKey:
    """A key with its figures, as the table of statistics shows it."""

    id: int
    provider: str
    hint: str
    pools: tuple[str, ...]
    disabled_at: float | None
    disabled_until: float | None
    dead_at: float | None
    dead_reason: str
    uses: tuple[Use, ...]
    refusals: tuple[Refusal, ...]

    @property
    def cost_nano(self) -> int:
        return sum(use.cost_nano for use in self.uses)


@dataclass(frozen=True, slots=True)
class Times:
    """How long half of something took at most, and 95 % of it: edges of buckets in ms. 0 is beyond the last edge;
    None: nothing was measured."""

    p50_ms: int | None = None
    p95_ms: int | None = None

    @classmethod
    def of(cls, buckets: Mapping[int, int]) -> Times:
        """By the upper edge of each bucket (0: it has none)."""
        rising = sorted(buckets.items(), key=lambda bucket: bucket[0] or inf)
        return cls(_edge(rising, 0.5), _edge(rising, 0.95))


def _edge(rising: Sequence[tuple[int, int]], share: float) -> int | None:
    wanted, seen = share * sum(times for _, times in rising), 0
    for edge_ms, times in rising:
        seen += times
        if seen >= wanted > 0:
            return edge_ms
    return None


@dataclass(frozen=True, slots=True)
class Figures:
    """Requests of one thing (a model, an operation, a pool or a client key by its id): how many, and how many went well
    or wrong by their caller; `took` is of whole answers, or till the first byte of an operation's."""

    name: str
    requests: int
    ok: int
    tokens: int = 0
    cost_nano: int = 0
    callers_own: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_thinking: int = 0
    took: Times = Times()

    @property
    def answerable(self) -> int:
        """Requests that could have gone well: all but those that went wrong by their caller alone."""
        return self.requests - self.callers_own

    @property
    def errors(self) -> int:
        return self.answerable - self.ok


@dataclass(frozen=True, slots=True)
class Ending:
    """How often something ended with one status and word other than ok. A status of 0: no answer at all."""

    status: int
    word: str
    times: int


@dataclass(frozen=True, slots=True)
class Scope:
    """What is added up: since when (the beginning of an hour), of which pool and model ("" for all)."""

    since: int
    pool_id: int | None = None
    model: str = ""


def stat_keys(
    session: Session, scope: Scope, now: float, shown: str = "", after: int = 0, size: int = 50
) -> list[StatKey]:
    """Up to `size` keys by id after `after`, each with its figures; `shown` leaves out those without use, or usable.

    The page of keys first, by index, and then the figures of those alone.
    """
    rows = session.execute(_page(scope, now, shown, after).limit(size)).all()
    ids = [row[0] for row in rows]
    pools, uses, refusals = _pools_of(session, ids), _uses(session, ids, scope), _refusals(session, ids, now)
    return [
        StatKey(
            id=row[0], provider=row[1], hint=f"{row[2]}...{row[3]}" if row[2] else "***",
            pools=tuple(pools.get(row[0], ())), disabled_at=row[4], disabled_until=row[5], dead_at=row[6],
            dead_reason=row[7], uses=tuple(uses.get(row[0], ())), refusals=tuple(refusals.get(row[0], ())),
        )
        for row in rows
    ]  # fmt: skip


def model_figures(session: Session, scope: Scope, size: int = MOST_ROWS) -> list[Figures]:
    """By model, the busiest first."""
    own = _callers_own_by_model(session, scope)
    return [replace(each, callers_own=own.get(each.name, 0)) for each in _traffic(session, scope, "model", size)]


def pools_served(session: Session, scope: Scope, size: int = MOST_ROWS) -> list[Figures]:
    """By pool, the busiest first. What callers got wrong is not told apart here."""
    return _traffic(session, scope, "pool_id", size)


def clients_served(session: Session, scope: Scope, size: int = MOST_ROWS) -> list[Figures]:
    """By client key (0: the pools' own auth keys), the busiest first."""
    return _traffic(session, scope, "client_key_id", size)


_SUMMED = ("requests", "successes", "cost_nano", "tokens_in", "tokens_out", "tokens_cached", "tokens_thinking")


def _traffic(session: Session, scope: Scope, by: str, size: int) -> list[Figures]:
    what, names = getattr(TrafficHour, by), (*_SUMMED, *LATENCY_BUCKETS)
    sums = [func.sum(getattr(TrafficHour, name)).label(name) for name in names]
    query = select(what, *sums).where(*_within(TrafficHour, scope)).group_by(what)
    found = []
    for name, *values in session.execute(query.order_by(sums[0].desc(), what).limit(size)):
        told = dict(zip(names, map(int, values), strict=True))
        took = Times.of({edge or 0: told.pop(column) for column, edge in LATENCY_BUCKETS.items()})
        tokens = told["tokens_in"] + told["tokens_out"]
        found.append(Figures(str(name), ok=told.pop("successes"), tokens=tokens, took=took, **told))
    return found


def endpoint_figures(session: Session, scope: Scope) -> list[Figures]:
    """By operation, the busiest first."""
    hour = OutcomeHour
    times, ok, own = (
        func.sum(hour.times),
        func.sum(case((hour.word == "ok", hour.times), else_=0)),
        func.sum(case((and_(*went_wrong_by_the_caller()), hour.times), else_=0)),
    )
    query = select(hour.operation, times, ok, own).where(*_within(hour, scope), hour.side == "request")
    rows = session.execute(query.group_by(hour.operation).order_by(times.desc(), hour.operation).limit(MOST_ROWS))
    first = _first_bytes(session, scope)
    return [
        Figures(row[0], int(row[1]), int(row[2]), callers_own=int(row[3]), took=Times.of(first.get(row[0], {})))
        for row in rows
    ]


def _first_bytes(session: Session, scope: Scope) -> dict[str, dict[int, int]]:
    """How many requests of each operation had their first byte within an edge (ms). Of one model it is not known."""
    hour, found = OutcomeHour, dict[str, dict[int, int]]()
    query = select(hour.operation, hour.status, func.sum(hour.times)).where(*_within(hour, scope))
    query = query.where(hour.side == "first_byte").group_by(hour.operation, hour.status)
    for operation, edge_ms, times in session.execute(query):
        found.setdefault(operation, {})[edge_ms] = int(times)
    return found


def endings(session: Session, scope: Scope, side: str, size: int = MOST_ROWS) -> list[Ending]:
    """What went wrong, the commonest first. `side` is request or attempt."""
    hour = OutcomeHour
    times = func.sum(hour.times)
    query = select(hour.status, hour.word, times).where(*_within(hour, scope), hour.side == side, hour.word != "ok")
    query = query.group_by(hour.status, hour.word).order_by(times.desc(), hour.status, hour.word)
    return [Ending(row[0], row[1], int(row[2])) for row in session.execute(query.limit(size))]


def _callers_own_by_model(session: Session, scope: Scope) -> dict[str, int]:
    hour = OutcomeHour
    query = select(hour.model, func.sum(hour.times)).where(*_within(hour, scope), *went_wrong_by_the_caller())
    return {model: int(times) for model, times in session.execute(query.group_by(hour.model))}


def _within(hour: Any, scope: Scope) -> list[ColumnElement[bool]]:
    conditions = [hour.hour >= scope.since]
    if scope.pool_id is not None:
        conditions.append(hour.pool_id == scope.pool_id)
    if scope.model:
        conditions.append(hour.model == scope.model)
    return conditions


def _page(scope: Scope, now: float, shown: str, after: int) -> Select[*tuple[Any, ...]]:
    query = select(
        Key.id, Provider.slug, Key.hint_prefix, Key.hint_suffix, Key.disabled_at, Key.disabled_until, Key.dead_at,
        Key.dead_reason,
    ).join(Provider)  # fmt: skip
    place: Any = Key.id
    if scope.pool_id is not None:
        # Along the seats of the pool, which are in the order of keys: a small pool of many keys is found at once.
        seat, place = Membership, Membership.key_id
        query = query.join(seat, seat.key_id == Key.id).where(seat.pool_id == scope.pool_id, seat.removed_at.is_(None))
    query = query.where(place > after, Key.deleted_at.is_(None)).order_by(place)
    used = exists().where(UsageHour.key_id == Key.id, UsageHour.requests > 0, *_within(UsageHour, scope))
    match shown:
        case "used":
            return query.where(used)
        case "exhausted":
            return query.where(or_(_stopped(now), _rests(now, *([scope.model, ""] if scope.model else []))))
    return query.where(or_(used, _rests(now, scope.model))) if scope.model else query


def _rests(now: float, *models: str) -> ColumnElement[bool]:
    """Is anything known against the key, for one of `models` (none named: for any)?"""
    rests = exists().where(KeyHealth.key_id == Key.id, _in_force(now))
    return rests.where(KeyHealth.model.in_(models)) if models else rests


def _stopped(now: float) -> ColumnElement[bool]:
    disabled = and_(Key.disabled_at.is_not(None), or_(Key.disabled_until.is_(None), Key.disabled_until > now))
    return or_(Key.dead_at.is_not(None), disabled)


def _in_force(now: float) -> ColumnElement[bool]:
    return or_(KeyHealth.until.is_(None), KeyHealth.until > now)


def _uses(session: Session, ids: Sequence[int], scope: Scope) -> dict[int, list[Use]]:
    hour = UsageHour
    query = (
        select(hour.key_id, hour.model, func.sum(hour.successes), func.sum(hour.errors), func.sum(hour.cost_nano))
        .where(hour.key_id.in_(ids), hour.requests > 0, *_within(hour, scope))
        .group_by(hour.key_id, hour.model)
    )
    found: dict[int, list[Use]] = {}
    for key_id, model, *figures in session.execute(query):
        found.setdefault(key_id, []).append(Use(model, *map(int, figures)))
    return found


def _refusals(session: Session, ids: Sequence[int], now: float) -> dict[int, list[Refusal]]:
    columns = (KeyHealth.key_id, KeyHealth.model, KeyHealth.since, KeyHealth.upstream_text, KeyHealth.quota)
    found: dict[int, list[Refusal]] = {}
    query = select(*columns).where(KeyHealth.key_id.in_(ids), _in_force(now))
    for key_id, model, since, text, quota in session.execute(query):
        found.setdefault(key_id, []).append(Refusal(model, since, text, quota))
    return found


def _pools_of(session: Session, ids: Sequence[int]) -> dict[int, list[str]]:
    seat = Membership
    query = (
        select(seat.key_id, Pool.name)
        .join(Pool, Pool.id == seat.pool_id)
        .where(seat.key_id.in_(ids), seat.removed_at.is_(None))
        .order_by(Pool.id)
    )
    found: dict[int, list[str]] = {}
    for key_id, name in session.execute(query):
        found.setdefault(key_id, []).append(name)
    return found
