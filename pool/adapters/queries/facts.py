"""Single facts: the password's hash, counts that must survive a restart."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from pool.adapters.tables import Key, Meta


def meta(session: Session, name: str) -> str | None:
    """A fact of the app itself; None where it was never set."""
    return session.scalar(select(Meta.value).where(Meta.name == name))


def set_password(session: Session, encoded: str) -> None:
    row = session.get(Meta, "password")
    if row is None:
        session.add(Meta(name="password", value=encoded))
    else:
        row.value = encoded


def cap_counts(session: Session) -> list[tuple[int, str, int]]:
    """(key id, window, attempts so far) of every capped key whose cap counts for ever."""
    query = select(Key.id, Key.requests).where(
        Key.max_requests.is_not(None), Key.max_requests_window == "none", Key.deleted_at.is_(None)
    )
    return [(key_id, "", requests) for key_id, requests in session.execute(query)]
