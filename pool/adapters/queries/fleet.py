"""How keys stand and how they did lately, by provider: what monitors ask for."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, and_, case, cast, func, or_, select
from sqlalchemy.orm import Session

from pool.adapters.queries.key_filters import DEAD, DISABLED, HEALTHY, STANDINGS, UNTESTED, Wanted, stands, state
from pool.adapters.queries.spent import FORGIVEN, capped_attempts
from pool.adapters.tables import Counter, Key, Provider, TrafficHour, UsageHour


@dataclass(frozen=True, slots=True)
class FleetKey:
    """A key as monitors see it; `latency_ms` is the mean of the window asked for, 0 without requests in it."""

    id: int
    public_id: str
    provider: str
    hint: str
    email: str
    standing: str
    tested: bool
    requests: int
    successes: int
    max_requests: int | None
    max_requests_window: str
    last_used_at: float | None
    latency_ms: int = 0

    @property
    def active(self) -> bool:
        return self.standing not in (DEAD, DISABLED)


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """Keys of one provider. `tested` are the healthy ones that were tried; `available` are those that may be used."""

    total: int = 0
    active: int = 0
    healthy: int = 0
    tested: int = 0
    available: int = 0


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What the keys of one e-mail address did."""

    email: str
    requests: int
    errors: int
    tokens: int


def fleet_counts(session: Session, now: float, day_began: float, month_began: float) -> dict[str, FleetCounts]:
    """By the provider's slug, those without keys left out. One walk over all keys."""
    each = case(*((stands(standing, now), standing) for standing in STANDINGS))
    tested = case((state(Wanted(now, state=UNTESTED)), 0), else_=1)
    query = (
        select(Provider.slug, each, tested, func.count(), func.sum(_full_for_ever()))
        .select_from(Key)
        .join(Provider)
        .where(Key.deleted_at.is_(None))
        .group_by(Provider.slug, each, tested)
    )
    full = _full_for_now(session, now, day_began, month_began)
    found: dict[str, FleetCounts] = {}
    for slug, standing, tried, number, spent in session.execute(query):
        so_far = found.get(slug) or FleetCounts(available=-full[slug])
        healthy = number if standing == HEALTHY else 0
        found[slug] = FleetCounts(
            so_far.total + number,
            so_far.active + (number if standing not in (DEAD, DISABLED) else 0),
            so_far.healthy + healthy,
            so_far.tested + healthy * tried,
            so_far.available + (number - int(spent) if healthy else 0),
        )
    return found


def fleet_page(
    session: Session, now: float, since: int, provider: str = "", after: int = 0, size: int = 100
) -> list[FleetKey]:
    """Keys by id after `after`; latencies since the hour that begins at `since`."""
    each = case(*((stands(standing, now), standing) for standing in STANDINGS))
    columns: tuple[Any, ...] = (
        Key.id, Key.public_id, Provider.slug, Key.hint_prefix, Key.hint_suffix, Key.email, each,
        or_(Key.checked_at.is_not(None), Key.requests > 0), Key.requests, Key.successes, Key.max_requests,
        Key.max_requests_window, Key.last_used_at,
    )  # fmt: skip
    query = select(*columns).select_from(Key).join(Provider).where(Key.deleted_at.is_(None), Key.id > after)
    if provider:
        query = query.where(Provider.slug == provider)
    rows = session.execute(query.order_by(Key.id).limit(size)).all()
    latencies = _latencies(session, [row[0] for row in rows], since)
    return [_key(row, latencies.get(row[0], 0)) for row in rows]


def busiest_keys(session: Session, since: int, size: int) -> list[tuple[int, str, str, int, int, int, int]]:
    """(id, provider, mask, requests, successes, tokens, nano-USD) of the keys with most requests since an hour."""
    hour = UsageHour
    sums = [
        func.sum(each) for each in (hour.requests, hour.successes, hour.tokens_in + hour.tokens_out, hour.cost_nano)
    ]
    query = select(hour.key_id, *sums).where(hour.hour >= since, hour.requests > 0).group_by(hour.key_id)
    rows = session.execute(query.order_by(sums[0].desc(), hour.key_id).limit(size)).all()
    named = select(Key.id, Provider.slug, Key.hint_prefix, Key.hint_suffix).join(Provider)
    names = {row[0]: row[1:] for row in session.execute(named.where(Key.id.in_([row[0] for row in rows])))}
    return [
        (row[0], names[row[0]][0], _mask(*names[row[0]][1:]), *map(int, row[1:])) for row in rows if row[0] in names
    ]


def by_mailbox(session: Session, since: int, size: int) -> list[Mailbox]:
    """By the e-mail address beside a key, the busiest first; keys without one together."""
    hour = UsageHour
    sums = [func.sum(each) for each in (hour.requests, hour.errors, hour.tokens_in + hour.tokens_out)]
    of_key = select(hour.key_id.label("key_id"), *(each.label(name) for each, name in zip(sums, "ret", strict=True)))
    used = of_key.where(hour.hour >= since, hour.requests > 0).group_by(hour.key_id).subquery()
    requests, errors, tokens = (func.sum(used.c[name]) for name in "ret")
    query = select(Key.email, requests, errors, tokens).join(used, used.c.key_id == Key.id).group_by(Key.email)
    rows = session.execute(query.order_by(requests.desc(), Key.email).limit(size))
    return [Mailbox(row[0], *map(int, row[1:])) for row in rows]


def _full_for_ever() -> ColumnElement[int]:
    """1 for a key that is at a cap which counts for ever, without what is forgiven."""
    pardoned = (
        select(Counter.requests)
        .where(Counter.owner == FORGIVEN, Counter.owner_id == cast(Key.id, String), Counter.window == "none")
        .scalar_subquery()
    )
    used = Key.requests - func.coalesce(pardoned, 0)
    return case((and_(Key.max_requests_window == "none", used >= Key.max_requests), 1), else_=0)


def _full_for_now(session: Session, now: float, day_began: float, month_began: float) -> Tally[str]:
    """How many healthy keys are at their cap of a day or a month, by provider."""
    found: Tally[str] = Tally()
    used = {key_id: attempts for key_id, _, attempts in capped_attempts(session, day_began, month_began)}
    if used:
        capped = select(Provider.slug, Key.id, Key.max_requests).select_from(Key).join(Provider)
        capped = capped.where(Key.max_requests_window != "none", Key.max_requests.is_not(None))
        for slug, key_id, most in session.execute(capped.where(Key.deleted_at.is_(None), stands(HEALTHY, now))):
            found[slug] += used.get(key_id, 0) >= (most or 0)
    return found


def _latencies(session: Session, key_ids: Sequence[int], since: int) -> dict[int, int]:
    found: dict[int, int] = {}
    hour = UsageHour
    for at in range(0, len(key_ids), 500):
        query = select(hour.key_id, func.sum(hour.latency_ms), func.sum(hour.requests))
        query = query.where(hour.key_id.in_(key_ids[at : at + 500]), hour.hour >= since).group_by(hour.key_id)
        for key_id, latency_ms, requests in session.execute(query):
            found[key_id] = round(latency_ms / requests) if requests else 0
    return found


def _key(row: Any, latency_ms: int) -> FleetKey:
    key_id, public_id, provider, prefix, suffix, email, standing, tested, *figures = row
    named: list[Any] = [key_id, public_id, provider, _mask(prefix, suffix), email, standing, bool(tested)]
    return FleetKey(*[*named, *figures, latency_ms])


def _mask(prefix: str, suffix: str) -> str:
    return f"{prefix}...{suffix}" if prefix else "***"


def all_traffic(session: Session, since: int) -> tuple[int, int]:
    """The latencies (ms) added up since an hour, and every request there ever was."""
    hour = TrafficHour
    latency = case((hour.hour >= since, hour.latency_ms), else_=0)
    row = session.execute(select(func.coalesce(func.sum(latency), 0), func.coalesce(func.sum(hour.requests), 0))).one()
    return int(row[0]), int(row[1])
