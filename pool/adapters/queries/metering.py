"""What a monitor scrapes: sums of the roll-ups that only ever grow, and how many keys of each pool stand how."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from pool.adapters.queries.key_filters import STANDINGS, stands
from pool.adapters.tables import LATENCY_BUCKETS, Key, Membership, OutcomeHour, Pool, TrafficHour

BUCKETS = LATENCY_BUCKETS
"""The figure of each bucket of latencies, and its upper edge in ms; the last one has none."""

FIGURES = (
    "requests", "tokens_in", "tokens_out", "tokens_cached", "tokens_thinking", "cost_nano", "latency_ms", "ttfb_ms",
    *LATENCY_BUCKETS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metered:
    """Sums over some hours. `figures` by name; `endings` by (side, operation, status, word)."""

    figures: Counter[str] = field(default_factory=Counter)
    endings: Counter[tuple[str, str, int, str]] = field(default_factory=Counter)

    def __add__(self, other: Metered) -> Metered:
        return Metered(self.figures + other.figures, self.endings + other.endings)


def metered(session: Session, since: int, until: int) -> Metered:
    """From the hour that begins at `since` up to the one that begins at `until`, without that one."""
    hour, ending = TrafficHour, OutcomeHour
    sums = [func.coalesce(func.sum(getattr(hour, name)), 0) for name in FIGURES]
    row = session.execute(select(*sums).where(hour.hour >= since, hour.hour < until)).one()
    place: tuple[Any, ...] = (ending.side, ending.operation, ending.status, ending.word)
    query = select(*place, func.sum(ending.times)).where(ending.hour >= since, ending.hour < until).group_by(*place)
    endings = Counter({tuple(found[:4]): int(found[4]) for found in session.execute(query)})
    return Metered(Counter(dict(zip(FIGURES, map(int, row), strict=True))), endings)


def standing_by_pool(session: Session, now: float) -> dict[tuple[str, str], int]:
    """Keys by (name of the pool, standing)."""
    each = case(*((stands(standing, now), standing) for standing in STANDINGS))
    query = (
        select(Pool.name, each, func.count())
        .select_from(Membership)
        .join(Pool, Pool.id == Membership.pool_id)
        .join(Key, Key.id == Membership.key_id)
        .where(Membership.removed_at.is_(None), Key.deleted_at.is_(None))
        .group_by(Pool.name, each)
    )
    return {(pool, standing): number for pool, standing, number in session.execute(query)}
