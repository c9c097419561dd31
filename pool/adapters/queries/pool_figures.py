"""What each pool served, from its beginning or since its figures were reset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from pool.adapters.queries.days import Sums, summed
from pool.adapters.tables import Key, Membership, Meta, Request, TrafficHour

_NAME = "pool_figures:"


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """Sums of a pool; `last_at` is its newest request, and the `minute` ones are of the last 60 s."""

    requests: int = 0
    successes: int = 0
    errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    last_at: float | None = None
    minute_requests: int = 0
    minute_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True)
class TierRow:
    """The keys of one tier of a pool; `standby` ones are asked where the others of their tier cannot serve."""

    tier: int
    keys: int
    standby: int
    off: int


def tiers_of(session: Session, pool_id: int) -> list[TierRow]:
    """The tier that serves first before the others. `off`: switched off in this pool."""
    seat = Membership
    standby = func.sum(case((seat.weight == 0, 1), else_=0))
    off = func.sum(case((seat.enabled, 0), else_=1))
    query = select(seat.tier, func.count(), standby, off).where(seat.pool_id == pool_id, seat.removed_at.is_(None))
    query = query.group_by(seat.tier)
    # All, less those in the bin: to look at each key whether it is there takes three times as long.
    binned = query.join(Key, Key.id == seat.key_id).where(Key.deleted_at.is_not(None))
    gone = {row[0]: row[1:] for row in session.execute(binned)}
    found = []
    for tier, *counts in session.execute(query.order_by(seat.tier)):
        left = [int(all_) - int(few) for all_, few in zip(counts, gone.get(tier, (0, 0, 0)), strict=True)]
        if left[0]:
            found.append(TierRow(tier, *left))
    return found


def figures_of(pool_id: int) -> str:
    """The fact that says since which hour a pool is counted, and what that hour had seen before."""
    return f"{_NAME}{pool_id}"


def hour_figures(session: Session, pool_id: int, hour: int) -> tuple[int, ...]:
    """Requests, successes, errors, tokens in and out of one hour."""
    row = session.execute(select(*_sums()).where(TrafficHour.pool_id == pool_id, TrafficHour.hour == hour)).one()
    return tuple(map(int, row))


def pool_figures(session: Session, pool_ids: Sequence[int], now: float) -> dict[int, PoolFigures]:
    """By pool. Those never reset are added up in one walk over the roll-ups."""
    facts = session.execute(select(Meta.name, Meta.number, Meta.value).where(Meta.name.startswith(_NAME)))
    resets = {int(name.removeprefix(_NAME)): (hour, value) for name, hour, value in facts}
    whole = [pool_id for pool_id in pool_ids if pool_id not in resets]
    found = _since(session, whole, 0) if whole else {}
    sums = {pool_id: tuple(figures) for (pool_id,), figures in found.items()}
    for pool_id in set(pool_ids) & resets.keys():
        since, before = resets[pool_id]
        row = _since(session, [pool_id], since).get((pool_id,), [0] * 5)
        taken_off = map(int, before.split())
        sums[pool_id] = tuple(max(0, int(all_) - less) for all_, less in zip(row, taken_off, strict=True))
    return {pool_id: _figures(session, pool_id, sums.get(pool_id, (0,) * 5), now) for pool_id in pool_ids}


def _figures(session: Session, pool_id: int, sums: tuple[int, ...], now: float) -> PoolFigures:
    newest = select(Request.at).where(Request.pool_id == pool_id).order_by(Request.at.desc()).limit(1)
    last_at = session.scalar(newest) if sums[0] else None
    requests, successes, errors, tokens_in, tokens_out = sums
    figures = PoolFigures(requests, successes, errors, tokens_in, tokens_out, last_at)
    if last_at is None or last_at <= now - 60:
        return figures
    tokens = func.coalesce(func.sum(Request.tokens_in + Request.tokens_out), 0)
    lately = select(func.count(), tokens).where(Request.pool_id == pool_id, Request.at > now - 60)
    lately_asked, used = session.execute(lately).one()
    return replace(figures, minute_requests=lately_asked, minute_tokens=int(used))


def _since(session: Session, pool_ids: Sequence[int], since: int) -> Sums:
    def build(hour: Any) -> Select[Any]:
        return select(hour.pool_id, *_sums(hour)).where(hour.pool_id.in_(pool_ids)).group_by(hour.pool_id)

    return summed(session, TrafficHour, since, build, 5)


def _sums(hour: Any = TrafficHour) -> list[Any]:
    figures = (hour.requests, hour.successes, hour.errors, hour.tokens_in, hour.tokens_out)
    return [func.coalesce(func.sum(figure), 0) for figure in figures]
