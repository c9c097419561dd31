"""What a monitor scrapes: sums of the roll-ups that only ever grow, and how many keys of each pool stand how."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from pool.adapters.queries.days import summed
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

    def figures(hour: Any) -> Select[Any]:
        return select(*(func.sum(getattr(hour, name)) for name in FIGURES))

    def endings(hour: Any) -> Select[Any]:
        place: tuple[Any, ...] = (hour.side, hour.operation, hour.status, hour.word)
        return select(*place, func.sum(hour.times)).group_by(*place)

    sums = summed(session, TrafficHour, since, figures, len(FIGURES), until).get((), [0] * len(FIGURES))
    ended: Any = {place: times for place, (times,) in summed(session, OutcomeHour, since, endings, 1, until).items()}
    return Metered(Counter(dict(zip(FIGURES, sums, strict=True))), Counter(ended))


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
