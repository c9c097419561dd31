"""What forms were answered: sealed, and kept for ten minutes, so that one that is sent twice is answered once."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from pool.adapters.queries.drafts import forget_drafts
from pool.adapters.tables import Meta

ANSWER = "answer:"
KEPT_S = 600.0


def answer(session: Session, form: str, now: float) -> bytes | None:
    """The sealed answer to a form; None where it was not sent, or is forgotten by now."""
    query = select(Meta.value).where(Meta.name == ANSWER + form, Meta.number >= int(now - KEPT_S))
    value = session.scalar(query)
    return value.encode() if value is not None else None


def keep_answer(session: Session, form: str, sealed: bytes, now: float) -> None:
    """To be written in the same transaction as what the form asked for."""
    session.execute(delete(Meta).where(Meta.name == ANSWER + form))
    session.add(Meta(name=ANSWER + form, value=sealed.decode(), number=int(now)))


def forget_stale(session: Session, now: float) -> None:
    """Forget answers and drafts whose time is over: secrets are in both."""
    session.execute(delete(Meta).where(Meta.name.startswith(ANSWER), Meta.number < int(now - KEPT_S)))
    forget_drafts(session, now)
