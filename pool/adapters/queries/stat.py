"""The page of statistics: keys and what they served by model, endpoints, errors. Sums of roll-ups, never of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from pool.adapters.queries.days import busiest, summed
from pool.adapters.queries.key_filters import in_force
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
    first_ms: float | None = None
    """Until answers of a model began, on average; None: nothing was measured."""

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
    ids: list[int] = list(session.scalars(_page(session, scope, now, shown, after).limit(size)))
    about = select(
        Key.id, Provider.slug, Key.hint_prefix, Key.hint_suffix, Key.disabled_at, Key.disabled_until, Key.dead_at,
        Key.dead_reason,
    ).join(Provider)  # fmt: skip
    rows: Sequence[Any] = session.execute(about.where(Key.id.in_(ids)).order_by(Key.id)).all()
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
    own, first = _callers_own_by_model(session, scope), _first_bytes_by_model(session, scope)
    return [
        replace(each, callers_own=own.get(each.name, 0), first_ms=first.get(each.name))
        for each in _traffic(session, scope, "model", size)
    ]


def pools_served(session: Session, scope: Scope, size: int = MOST_ROWS) -> list[Figures]:
    """By pool, the busiest first. What callers got wrong is not told apart here."""
    return _traffic(session, scope, "pool_id", size)


def clients_served(session: Session, scope: Scope, size: int = MOST_ROWS) -> list[Figures]:
    """By client key (0: the pools' own auth keys), the busiest first."""
    return _traffic(session, scope, "client_key_id", size)


_SUMMED = ("requests", "successes", "cost_nano", "tokens_in", "tokens_out", "tokens_cached", "tokens_thinking")


def _traffic(session: Session, scope: Scope, by: str, size: int) -> list[Figures]:
    names = (*_SUMMED, *LATENCY_BUCKETS)

    def build(hour: Any) -> Select[Any]:
        what = getattr(hour, by)
        return select(what, *(func.sum(getattr(hour, name)) for name in names)).where(*_of(hour, scope)).group_by(what)

    found = []
    for (name,), values in busiest(summed(session, TrafficHour, scope.since, build, len(names)), size):
        told = dict(zip(names, values, strict=True))
        took = Times.of({edge or 0: told.pop(column) for column, edge in LATENCY_BUCKETS.items()})
        tokens = told["tokens_in"] + told["tokens_out"]
        found.append(Figures(str(name), ok=told.pop("successes"), tokens=tokens, took=took, **told))
    return found


def endpoint_figures(session: Session, scope: Scope) -> list[Figures]:
    """By operation, the busiest first."""

    def build(hour: Any) -> Select[Any]:
        times = (
            func.sum(hour.times),
            func.sum(case((hour.word == "ok", hour.times), else_=0)),
            func.sum(case((and_(*went_wrong_by_the_caller(hour)), hour.times), else_=0)),
        )
        query = select(hour.operation, *times).where(*_of(hour, scope), hour.side == "request")
        return query.group_by(hour.operation)

    first = _first_bytes(session, scope)
    return [
        Figures(name, times, ok, callers_own=own, took=Times.of(first.get(name, {})))
        for (name,), (times, ok, own) in busiest(summed(session, OutcomeHour, scope.since, build, 3), MOST_ROWS)
    ]


def _first_bytes(session: Session, scope: Scope) -> dict[str, dict[int, int]]:
    """How many requests of each operation had their first byte within an edge (ms). Of one model it is not known."""

    def build(hour: Any) -> Select[Any]:
        query = select(hour.operation, hour.status, func.sum(hour.times)).where(*_of(hour, scope))
        return query.where(hour.side == "first_byte").group_by(hour.operation, hour.status)

    found = dict[str, dict[int, int]]()
    for (operation, edge_ms), (times,) in summed(session, OutcomeHour, scope.since, build, 1).items():
        found.setdefault(operation, {})[edge_ms] = times
    return found


def _first_bytes_by_model(session: Session, scope: Scope) -> dict[str, float]:
    """How long it took on average (ms) until answers of each model began."""

    def build(hour: Any) -> Select[Any]:
        query = select(hour.model, hour.word, func.sum(hour.times)).where(*_of(hour, scope), hour.side == "ttfb")
        return query.group_by(hour.model, hour.word)

    sums = {place: times for place, (times,) in summed(session, OutcomeHour, scope.since, build, 1).items()}
    return {model: sums.get((model, "ms"), 0) / begun for (model, word), begun in sums.items() if word == "begun"}


def endings(session: Session, scope: Scope, side: str, size: int = MOST_ROWS) -> list[Ending]:
    """What went wrong, the commonest first. `side` is request or attempt."""

    def build(hour: Any) -> Select[Any]:
        query = select(hour.status, hour.word, func.sum(hour.times)).where(*_of(hour, scope), hour.side == side)
        return query.where(hour.word != "ok").group_by(hour.status, hour.word)

    found = busiest(summed(session, OutcomeHour, scope.since, build, 1), size)
    return [Ending(status, word, times) for (status, word), (times,) in found]


def _callers_own_by_model(session: Session, scope: Scope) -> dict[str, int]:
    def build(hour: Any) -> Select[Any]:
        query = select(hour.model, func.sum(hour.times)).where(*_of(hour, scope), *went_wrong_by_the_caller(hour))
        return query.group_by(hour.model)

    found = summed(session, OutcomeHour, scope.since, build, 1)
    return {model: times for (model,), (times,) in found.items()}


def _of(hour: Any, scope: Scope) -> list[ColumnElement[bool]]:
    """Of the pool and the model that are wanted."""
    conditions = []
    if scope.pool_id is not None:
        conditions.append(hour.pool_id == scope.pool_id)
    if scope.model:
        conditions.append(hour.model == scope.model)
    return conditions


def _within(scope: Scope) -> list[ColumnElement[bool]]:
    return [UsageHour.hour >= scope.since, *_of(UsageHour, scope)]


def _page(session: Session, scope: Scope, now: float, shown: str, after: int) -> Select[Any]:
    query = select(Key.id)
    place: Any = Key.id
    if scope.pool_id is not None:
        # Along the seats of the pool, which are in the order of keys: a small pool of many keys is found at once.
        seat, place = Membership, Membership.key_id
        query = query.join(seat, seat.key_id == Key.id).where(seat.pool_id == scope.pool_id, seat.removed_at.is_(None))
    query = query.where(place > after, Key.deleted_at.is_(None)).order_by(place)
    if shown == EXHAUSTED:
        return query.where(or_(_stopped(now), _rests(now, *([scope.model, ""] if scope.model else []))))
    if shown != USED and not scope.model:
        return query
    used: ColumnElement[bool] = exists().where(UsageHour.key_id == Key.id, UsageHour.requests > 0, *_within(scope))
    if scope.model and not _used_by_many(session, scope):
        # By the model's own index: all other keys need not be asked.
        used = and_(Key.id.in_(select(UsageHour.key_id).where(*_within(scope))), used)
    return query.where(used if shown == USED else or_(used, _rests(now, scope.model)))


PROBED = 20_000
"""Hours of keys that are looked at to learn whether many keys used a model: some milliseconds."""

MANY = 20
"""One key of so many is: a page of keys is full before very many were asked."""


def _used_by_many(session: Session, scope: Scope) -> bool:
    """Did many of the keys use a model? Judged by its newest hours, and False where these are few."""
    lately = select(UsageHour.key_id).where(*_within(scope)).order_by(UsageHour.hour.desc()).limit(PROBED).subquery()
    hours, keys = session.execute(select(func.count(), func.count(lately.c.key_id.distinct()))).one()
    return hours == PROBED and keys * MANY >= (session.scalar(select(func.max(Key.id))) or 0)


def _rests(now: float, *models: str) -> ColumnElement[bool]:
    """Is anything known against the key, for one of `models` (none named: for any)?"""
    resting = select(KeyHealth.key_id).where(in_force(now))
    return Key.id.in_(resting.where(KeyHealth.model.in_(models)) if models else resting)


def _stopped(now: float) -> ColumnElement[bool]:
    disabled = and_(Key.disabled_at.is_not(None), or_(Key.disabled_until.is_(None), Key.disabled_until > now))
    return or_(Key.dead_at.is_not(None), disabled)


def _uses(session: Session, ids: Sequence[int], scope: Scope) -> dict[int, list[Use]]:
    hour = UsageHour
    query = (
        select(hour.key_id, hour.model, func.sum(hour.successes), func.sum(hour.errors), func.sum(hour.cost_nano))
        .where(hour.key_id.in_(ids), hour.requests > 0, *_within(scope))
        .group_by(hour.key_id, hour.model)
        # Of these few keys, and not of all who used the model.
        .with_hint(hour, "INDEXED BY ix_usage_hourly_key_id_hour", "sqlite")
    )
    found: dict[int, list[Use]] = {}
    for key_id, model, *figures in session.execute(query):
        found.setdefault(key_id, []).append(Use(model, *map(int, figures)))
    return found


def _refusals(session: Session, ids: Sequence[int], now: float) -> dict[int, list[Refusal]]:
    columns = (KeyHealth.key_id, KeyHealth.model, KeyHealth.since, KeyHealth.upstream_text, KeyHealth.quota)
    found: dict[int, list[Refusal]] = {}
    query = select(*columns).where(KeyHealth.key_id.in_(ids), in_force(now))
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
