"""Signed-in browsers: found by the digest of their token, ended by deleting the row."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from pool.adapters.tables import LoginSession


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A live session. `client_key_id` is None for the admin."""

    id: int
    client_key_id: int | None
    last_seen_at: float
    elevated_until: float


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A signed-in browser as the account page lists it: never its token."""

    id: int
    created_at: float
    last_seen_at: float
    expires_at: float
    ip: str
    user_agent: str


def live_session(session: Session, digest: bytes, now: float, idle_s: float) -> SignedIn | None:
    """The session of a token; None where it is unknown, too old, unused for `idle_s` or revoked."""
    row = session.scalar(
        select(LoginSession).where(
            LoginSession.digest == digest,
            LoginSession.revoked_at.is_(None),
            LoginSession.expires_at > now,
            LoginSession.last_seen_at > now - idle_s,
        )
    )
    return SignedIn(row.id, row.client_key_id, row.last_seen_at, row.elevated_until or 0.0) if row else None


def begin_session(
    session: Session,
    digest: bytes,
    now: float,
    expires_at: float,
    ip: str,
    agent: str,
    client_key_id: int | None = None,
) -> None:
    """Of the admin, or of the holder of a client key."""
    session.add(
        LoginSession(
            digest=digest, created_at=now, last_seen_at=now, expires_at=expires_at, ip=ip, user_agent=agent,
            client_key_id=client_key_id,
        )
    )  # fmt: skip


def touch_session(session: Session, session_id: int, now: float) -> None:
    session.execute(update(LoginSession).where(LoginSession.id == session_id).values(last_seen_at=now))


def elevate_session(session: Session, session_id: int, until: float) -> None:
    session.execute(update(LoginSession).where(LoginSession.id == session_id).values(elevated_until=until))


def end_session(session: Session, session_id: int) -> bool:
    """Whether there was one to end."""
    ended = session.execute(delete(LoginSession).where(LoginSession.id == session_id))
    return bool(ended.rowcount)  # type: ignore[attr-defined]


def end_other_sessions(session: Session, session_id: int) -> int:
    """End every session of the admin but this one. How many those were."""
    others = delete(LoginSession).where(LoginSession.client_key_id.is_(None), LoginSession.id != session_id)
    return session.execute(others).rowcount  # type: ignore[attr-defined]


def session_rows(session: Session, now: float, idle_s: float) -> list[SessionRow]:
    """The admin's live sessions, the one seen last first."""
    row = LoginSession
    query = (
        select(row.id, row.created_at, row.last_seen_at, row.expires_at, row.ip, row.user_agent)
        .where(row.client_key_id.is_(None), row.revoked_at.is_(None))
        .where(row.expires_at > now, row.last_seen_at > now - idle_s)
        .order_by(row.last_seen_at.desc(), row.id.desc())
        .limit(200)
    )
    return [SessionRow(*found) for found in session.execute(query)]


def forget_old_sessions(session: Session, now: float, idle_s: float) -> None:
    old = or_(LoginSession.expires_at <= now, LoginSession.last_seen_at <= now - idle_s)
    session.execute(delete(LoginSession).where(old))
