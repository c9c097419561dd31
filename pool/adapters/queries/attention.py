"""What an operator should look at: counted by index, for a page that asks again every few seconds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from pool.adapters.queries.days import summed
from pool.adapters.tables import Key, OutcomeHour


def deaths_since(session: Session, since: float) -> int:
    """Keys that died after a moment and are still dead."""
    query = select(func.count()).select_from(Key).where(Key.dead_at >= since, Key.deleted_at.is_(None))
    return session.scalar(query) or 0


def attempts_ended(session: Session, since: int, word: str) -> int:
    """Attempts that ended with this outcome, from the hour that begins at `since` on."""

    def build(hour: Any) -> Select[Any]:
        return select(func.sum(hour.times)).where(hour.side == "attempt", hour.word == word)

    return summed(session, OutcomeHour, since, build, 1).get((), [0])[0]
