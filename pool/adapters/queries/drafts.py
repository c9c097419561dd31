"""What was pasted and waits for a yes: sealed, in the database, so that any worker can go on with it.

A draft is kept until its keys are taken in, and what became of them for as long: neither a second yes nor a crash
loses either.
"""

from __future__ import annotations

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from pool.adapters.tables import Meta

DRAFT, TAKING, RESULT = "draft:", "taking:", "result:"
KEPT_S = 3600.0

LONGEST_S = 300.0
"""Whoever takes a draft's keys in has come to grief after that, and another may try."""


def keep_draft(session: Session, token: str, sealed: bytes, now: float) -> None:
    """Keep a draft for an hour. Older ones of everybody are forgotten on the way."""
    forget_drafts(session, now)
    session.add(Meta(name=DRAFT + token, value=sealed.decode(), number=int(now)))


def draft(session: Session, token: str, now: float) -> bytes | None:
    """A kept draft; None where it is unknown or too old, or its keys are in."""
    value = _kept(session, DRAFT + token, now)
    return value.encode() if value is not None else None


def begin_import(session: Session, token: str, now: float) -> bool:
    """Say that a draft's keys are being taken in: of two who confirm at once, one may."""
    kept = select(Meta.name).where(Meta.name == DRAFT + token, Meta.number >= int(now - KEPT_S))
    # Locked until the commit, so that the other sees what this one writes.
    if session.scalar(kept.with_for_update()) is None:
        return False
    if _under_way(session, token, now):
        return False
    session.merge(Meta(name=TAKING + token, value="", number=int(now)))
    return True


def note_import_job(session: Session, token: str, job_id: int) -> None:
    """Say which job is at it, unless it is over already."""
    session.execute(update(Meta).where(Meta.name == TAKING + token).values(value=str(job_id)))


def import_job(session: Session, token: str) -> int:
    """The job that takes a draft's keys in; 0 where none does."""
    return int(session.scalar(select(Meta.value).where(Meta.name == TAKING + token)) or 0)


def give_up_import(session: Session, token: str) -> None:
    """Let the draft be confirmed again."""
    session.execute(delete(Meta).where(Meta.name == TAKING + token))


def end_import(session: Session, token: str, told: str, now: float) -> None:
    """The keys are in: what became of them takes the draft's place."""
    session.execute(delete(Meta).where(Meta.name.in_((DRAFT + token, TAKING + token))))
    session.merge(Meta(name=RESULT + token, value=told, number=int(now)))


def import_result(session: Session, token: str, now: float) -> str | None:
    """What became of a draft's keys: "" while they are being taken in, None where nothing is known of it."""
    told = _kept(session, RESULT + token, now)
    return "" if told is None and _under_way(session, token, now) else told


def forget_drafts(session: Session, now: float) -> None:
    """Forget what is older than an hour."""
    for kind in (DRAFT, TAKING, RESULT):
        session.execute(delete(Meta).where(Meta.name.startswith(kind), Meta.number < int(now - KEPT_S)))


def _under_way(session: Session, token: str, now: float) -> bool:
    taking = session.get(Meta, TAKING + token)
    return taking is not None and taking.number > now - LONGEST_S


def _kept(session: Session, name: str, now: float) -> str | None:
    return session.scalar(select(Meta.value).where(Meta.name == name, Meta.number >= int(now - KEPT_S)))
