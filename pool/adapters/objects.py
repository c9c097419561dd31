"""Upstream objects and the keys that made them, as the database has them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from . import tables

PRUNED_AT_ONCE = 500

Row = tuple[str, str, int, int, float | None]
"""Provider, name, key, holder (a user key's id, or a pool's below zero), and until when it is known."""


def objects(session: Session, now: float, most: int) -> Sequence[Row]:
    """The latest that are still known, oldest first."""
    made = tables.Affinity
    query = (
        select(tables.Provider.slug, made.name, made.key_id, made.client_key_id, made.pool_id, made.expires_at)
        .join(tables.Provider, tables.Provider.id == made.provider_id)
        .where(made.expires_at.is_(None) | (made.expires_at > now))
        .order_by(made.created_at.desc())
        .limit(most)
    )
    rows = session.execute(query).all()
    return [(slug, name, key, client or -(pool or 0), until) for slug, name, key, client, pool, until in rows[::-1]]


def forget_objects(session: Session, now: float) -> int:
    """Remove some of those that are over or whose key is gone. Returns how many."""
    made = tables.Affinity
    over = or_(made.expires_at <= now, made.key_id.not_in(select(tables.Key.id)))
    names = session.execute(select(made.name, made.provider_id).where(over).limit(PRUNED_AT_ONCE)).all()
    for name, provider_id in names:
        session.execute(delete(made).where(made.name == name, made.provider_id == provider_id))
    return len(names)
