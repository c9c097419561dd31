"""Single facts: the password's hash, counts that must survive a restart."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from pool.adapters.queries.spent import forgiven
from pool.adapters.tables import Key, Meta


def meta(session: Session, name: str) -> str | None:
    """A fact of the app itself; None where it was never set."""
    return session.scalar(select(Meta.value).where(Meta.name == name))


def set_meta(session: Session, name: str, value: str) -> None:
    row = session.get(Meta, name)
    if row is None:
        session.add(Meta(name=name, value=value))
    else:
        row.value = value


def set_password(session: Session, encoded: str) -> None:
    set_meta(session, "password", encoded)


def cap_counts(session: Session) -> list[tuple[int, str, int]]:
    """(key id, window, attempts so far) of every capped key whose cap counts for ever, but for forgiven ones."""
    query = select(Key.id, Key.requests).where(
        Key.max_requests.is_not(None), Key.max_requests_window == "none", Key.deleted_at.is_(None)
    )
    pardoned = forgiven(session, "none", 0.0)
    return [(key_id, "", max(0, requests - pardoned.get(key_id, 0))) for key_id, requests in session.execute(query)]
