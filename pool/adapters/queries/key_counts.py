"""How many keys stand how: of all keys by small indexes, of those a filter leaves in one walk."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, text, union_all
from sqlalchemy.orm import Session

from pool.adapters.queries.key_filters import (
    COOLING,
    DEAD,
    DISABLED,
    HEALTHY,
    LIMITED,
    UNTESTED,
    Wanted,
    conditions,
    in_force,
    one_of,
)
from pool.adapters.queries.pools import seated
from pool.adapters.tables import UNTRIED, Key, KeyHealth, Membership

_NEVER_TRIED: Any = text(UNTRIED)


@dataclass
class Overlap:
    """How many keys rest that are out of service besides: dear to count, and the same for as long as just as many are
    binned, dead and disabled. Looked at anew after a minute, for rests end."""

    stands: tuple[int, ...] = ()
    kept_until: float = 0.0
    keys: int = 0

    def counted(self, stands: tuple[int, ...], now: float, count: Callable[[], int]) -> int:
        if stands != self.stands or not self.kept_until - OVERLAP_S <= now < self.kept_until:
            self.keys = count()
            self.stands, self.kept_until = stands, now + OVERLAP_S
        return self.keys


OVERLAP_S = 60.0


def key_counts(
    session: Session,
    now: float,
    wanted: Wanted | None = None,
    limited: Collection[int] | None = None,
    overlap: Overlap | None = None,
) -> dict[str, int]:
    """How many keys stand how; `all` is their sum. At most a second, the journal's delay, behind the catalogue.

    Where `limited` is told (the keys at a limit of their own, which only memory knows), those and the ones never tried
    are counted as well. `overlap` is kept between calls by who counts often.
    """
    pool_id = wanted.pool_id if wanted is not None else None
    if wanted is not None and wanted != Wanted(wanted.now, pool_id=pool_id):
        return _in_one_walk(session, now, wanted, limited)
    there = [] if pool_id is None else [_sits_in(pool_id, Key.id)]
    counts = _of_all(session, now, overlap or Overlap()) if pool_id is None else _of_pool(session, now, pool_id)
    if limited is not None:
        counts[LIMITED] = _number(session, _live(one_of(limited), *there)) if limited else 0
        counts[UNTESTED] = _number(session, _live(_NEVER_TRIED, *there))
    return counts


def _of_all(session: Session, now: float, overlap: Overlap) -> dict[str, int]:
    """Each number from an index that holds all it needs: of 100,000 rows of keys none is looked at."""
    binned = _number(session, select(func.count()).select_from(Key).where(Key.deleted_at.is_not(None)))
    total = _number(session, select(func.count()).select_from(Key)) - binned
    dead = _number(session, _live(Key.dead_at.is_not(None)))
    disabled = _number(session, _live(_disabled(now), Key.dead_at.is_(None)))
    resting = select(KeyHealth.key_id).where(in_force(now)).distinct()
    both = resting.where(KeyHealth.key_id.in_(_stopped(now)))
    cooling = _number(session, select(func.count()).select_from(resting.subquery()))
    cooling -= overlap.counted(
        (binned, dead, disabled), now, lambda: _number(session, select(func.count()).select_from(both.subquery()))
    )
    return _told(total, dead, disabled, max(0, cooling))


def _of_pool(session: Session, now: float, pool_id: int) -> dict[str, int]:
    """By the same indexes: what each of them finds is looked up among the pool's keys."""
    there = _sits_in(pool_id, Key.id)
    total = seated(session, Membership.pool_id == pool_id).get(pool_id, 0)
    dead = _number(session, _live(Key.dead_at.is_not(None), there))
    disabled = _number(session, _live(_disabled(now), Key.dead_at.is_(None), there))
    resting = select(KeyHealth.key_id).where(in_force(now), _sits_in(pool_id, KeyHealth.key_id)).distinct()
    cooling = select(func.count()).select_from(resting.where(KeyHealth.key_id.not_in(_stopped(now))).subquery())
    return _told(total, dead, disabled, _number(session, cooling))


def _sits_in(pool_id: int, key_id: Any) -> ColumnElement[bool]:
    seat = Membership
    return exists().where(seat.pool_id == pool_id, seat.key_id == key_id, seat.removed_at.is_(None))


def _stopped(now: float) -> Any:
    """Keys that are out of service, whatever they rest for."""
    return union_all(
        select(Key.id).where(Key.deleted_at.is_not(None)),
        select(Key.id).where(Key.dead_at.is_not(None)),
        select(Key.id).where(_disabled(now)),
    )


def _in_one_walk(
    session: Session, now: float, wanted: Wanted, limited: Collection[int] | None
) -> dict[str, int]:
    dead, disabled = Key.dead_at.is_not(None), _disabled(now)
    # Not correlated: it is read once, and each key is looked up in what was found.
    rests = Key.id.in_(select(KeyHealth.key_id).where(in_force(now)))
    tallies: list[Any] = [
        func.count(),
        _times((dead, 1)),
        _times((dead, 0), (disabled, 1)),
        _times((dead, 0), (disabled, 0), (rests, 1)),
    ]
    if limited is not None:
        tallies += [_times((_NEVER_TRIED, 1)), _times((one_of(limited), 1))]
    row = session.execute(select(*tallies).select_from(Key).where(*conditions(wanted))).one()
    total, dead_, disabled_, cooling, *more = (int(number or 0) for number in row)
    return _told(total, dead_, disabled_, cooling) | dict(zip((UNTESTED, LIMITED), more, strict=False))


def _told(total: int, dead: int, disabled: int, cooling: int) -> dict[str, int]:
    healthy = max(0, total - dead - disabled - cooling)
    return {"all": total, HEALTHY: healthy, COOLING: cooling, DISABLED: disabled, DEAD: dead}


def _times(*cases: tuple[ColumnElement[bool], int]) -> Any:
    return func.sum(case(*cases, else_=0))


def _disabled(now: float) -> ColumnElement[bool]:
    return and_(Key.disabled_at.is_not(None), or_(Key.disabled_until.is_(None), Key.disabled_until > now))


def _live(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(func.count()).select_from(Key).where(Key.deleted_at.is_(None), *conditions)


def _number(session: Session, query: Select[Any]) -> int:
    return session.scalar(query) or 0
