"""What an operator should look at: counted by index, for a page that asks again every few seconds."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pool.adapters.tables import Key, OutcomeHour


def deaths_since(session: Session, since: float) -> int:
    """Keys that died after a moment and are still dead."""
    query = select(func.count()).select_from(Key).where(Key.dead_at >= since, Key.deleted_at.is_(None))
    return session.scalar(query) or 0


def attempts_ended(session: Session, since: int, word: str) -> int:
    """Attempts that ended with this outcome, from the hour that begins at `since` on."""
    hour = OutcomeHour
    times = select(func.coalesce(func.sum(hour.times), 0))
    return int(session.scalar(times.where(hour.hour >= since, hour.side == "attempt", hour.word == word)) or 0)
