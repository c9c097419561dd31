"""The audit trail, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from pool.adapters.tables import AuditEntry


@dataclass(frozen=True, slots=True)
class TrailWanted:
    """Which changes; None and "" stand for all. An `action` that ends in a dot or a star stands for all below it."""

    action: str = ""
    object: str = ""
    who: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A change, and who made it."""

    id: int
    at: float
    who: str
    via: str
    ip: str
    action: str
    object: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


COLUMNS = (
    AuditEntry.id, AuditEntry.at, AuditEntry.who, AuditEntry.via, AuditEntry.ip, AuditEntry.action, AuditEntry.object,
    AuditEntry.before, AuditEntry.after,
)  # fmt: skip


def trail_page(
    session: Session, wanted: TrailWanted, size: int, after: tuple[float, int] | None = None
) -> list[Changed]:
    """The newest first; `after`: (moment, id) of the last one of the page before."""
    row = AuditEntry
    query = select(*COLUMNS).where(*_conditions(wanted)).order_by(row.at.desc(), row.id.desc()).limit(size)
    if after is not None:
        query = query.where(tuple_(row.at, row.id) < tuple_(*after))
    return [Changed(*each) for each in session.execute(query)]


def trail_entry(session: Session, entry_id: int) -> Changed | None:
    row = session.execute(select(*COLUMNS).where(AuditEntry.id == entry_id)).one_or_none()
    return Changed(*row) if row is not None else None


def _conditions(wanted: TrailWanted) -> list[ColumnElement[bool]]:
    row = AuditEntry
    conditions: list[ColumnElement[bool]] = []
    if wanted.action.endswith((".", "*")):
        conditions.append(row.action.startswith(wanted.action.rstrip("*"), autoescape=True))
    elif wanted.action:
        conditions.append(row.action == wanted.action)
    if wanted.object:
        conditions.append(row.object == wanted.object)
    if wanted.who:
        conditions.append(row.who == wanted.who)
    if wanted.since is not None:
        conditions.append(row.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(row.at < wanted.until)
    return conditions
