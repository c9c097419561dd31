"""The audit trail: one row a change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from pool.adapters.tables import AuditEntry


def add_to_trail(
    session: Session,
    *,
    at: float,
    who: str,
    via: str,
    ip: str,
    action: str,
    object: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> int:
    """Remember a change; its id. `before` and `after` hold no secret, at most its mask."""
    entry = AuditEntry(
        at=at, who=who, via=via, ip=ip, action=action, object=object,
        before=dict(before) if before else None, after=dict(after) if after else None,
    )  # fmt: skip
    session.add(entry)
    session.flush()
    return entry.id


def entry(session: Session, entry_id: int) -> tuple[str, Mapping[str, Any]] | None:
    """What was done, and what was there before."""
    row = session.get(AuditEntry, entry_id)
    return (row.action, row.before or {}) if row is not None else None
