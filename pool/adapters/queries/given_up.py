"""Keys that were given up and are due for another look."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from pool.adapters.tables import Key, KeyHealth

HOUR_S, DAY_S, WEEK_S = 3600.0, 86_400.0, 604_800.0

SWITCHED_OFF = "service_disabled"


def due_keys(session: Session, now: float, looks: int, fewest: int, most: int) -> list[int]:
    """Dead keys and those whose service is off, the one longest not looked at first.

    Each is due an hour after it was last looked at; six hours once it is dead for a day, a day once for a week.
    At most so many that all of them are seen within `looks` calls.
    """
    gone = now - Key.dead_at
    every_s = case((gone < DAY_S, HOUR_S), (gone < WEEK_S, 6 * HOUR_S), else_=DAY_S)
    seen = func.coalesce(Key.checked_at, 0.0)
    off = select(KeyHealth.key_id).where(KeyHealth.model == "", KeyHealth.reason == SWITCHED_OFF)
    dead_and_due = and_(Key.dead_at.is_not(None), Key.dead_at < now - HOUR_S, seen < now - every_s)
    off_and_due = and_(Key.id.in_(off), seen < now - HOUR_S)
    due: Any = and_(Key.deleted_at.is_(None), Key.disabled_at.is_(None), or_(dead_and_due, off_and_due))
    waiting = session.scalar(select(func.count()).select_from(Key).where(due)) or 0
    limit = min(most, max(fewest, -(-waiting // looks)))
    return list(session.scalars(select(Key.id).where(due).order_by(seen, Key.id).limit(limit)))


def rested_after(session: Session, moment: float, most: int = 500) -> list[int]:
    """Keys that rest since a moment later than this one: none, as long as the clock goes forward."""
    health = KeyHealth
    later = select(health.key_id).where(health.until > moment, health.since > moment)
    return list(session.scalars(later.distinct().limit(most)))


def due_models(session: Session, soon: float, looks: int, fewest: int, most: int) -> list[tuple[int, str]]:
    """(key id, model) pairs a key may not use, whose time is over soon, the earliest first."""
    health = KeyHealth
    alive = and_(Key.deleted_at.is_(None), Key.dead_at.is_(None), Key.disabled_at.is_(None))
    due: Any = and_(health.state == "not_entitled", health.model != "", health.until < soon)
    joined = select(health.key_id, health.model).join(Key, Key.id == health.key_id).where(due, alive)
    waiting = session.scalar(select(func.count()).select_from(joined.subquery())) or 0
    limit = min(most, max(fewest, -(-waiting // looks)))
    return [(row[0], row[1]) for row in session.execute(joined.order_by(health.until).limit(limit))]
