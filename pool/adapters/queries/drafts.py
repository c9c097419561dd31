"""What was pasted and waits for a yes: sealed, in the database, so that any worker can go on with it."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from pool.adapters.tables import Meta

DRAFT = "draft:"
KEPT_S = 3600.0


def keep_draft(session: Session, token: str, sealed: bytes, now: float) -> None:
    """Keep a draft for an hour. Older ones of everybody are forgotten on the way."""
    session.execute(delete(Meta).where(Meta.name.startswith(DRAFT), Meta.number < int(now - KEPT_S)))
    session.add(Meta(name=DRAFT + token, value=sealed.decode(), number=int(now)))


def draft(session: Session, token: str, now: float) -> bytes | None:
    """A kept draft; None where it is unknown or too old."""
    query = select(Meta.value).where(Meta.name == DRAFT + token, Meta.number >= int(now - KEPT_S))
    value = session.scalar(query)
    return value.encode() if value is not None else None


def take_draft(session: Session, token: str, now: float) -> bytes | None:
    """The same, and it is gone afterwards: of two who confirm at once, one gets it."""
    sealed = draft(session, token, now)
    session.execute(delete(Meta).where(Meta.name == DRAFT + token))
    return sealed
