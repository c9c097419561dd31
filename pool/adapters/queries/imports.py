"""The imports there were, newest first, and what is left of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pool.adapters.tables import Import, Job, Key, Membership, Pool

MOST_CHANGED = 1_000


@dataclass(frozen=True, slots=True)
class ImportRow:
    """An import. `counts` say what came in by fate; `under_way`: its job is at it."""

    id: int
    at: float
    who: str
    origin: str
    name: str
    pool_id: int | None
    pool_name: str
    counts: Mapping[str, int]
    job_id: int | None
    ended_at: float | None
    undone_at: float | None
    under_way: bool


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of an import: the keys it made or brought back, its links, and which keys were changed since."""

    keys: int
    links: int
    changed: list[int]


def import_page(session: Session, *, after: int = 0, size: int = 50) -> list[ImportRow]:
    """Up to `size` imports, newest first: those before import `after`, or the newest where that is 0."""
    query = _imports().order_by(Import.id.desc()).limit(size)
    if after:
        query = query.where(Import.id < after)
    return [_row(each) for each in session.execute(query)]


def import_row(session: Session, import_id: int) -> ImportRow | None:
    found = session.execute(_imports().where(Import.id == import_id)).one_or_none()
    return _row(found) if found else None


def left_of(session: Session, import_id: int) -> Left:
    made = Key.import_id == import_id, Key.deleted_at.is_(None)
    back = Key.restored_by == import_id, Key.deleted_at.is_(None)
    keys = sum(session.scalar(select(func.count()).select_from(Key).where(*which)) or 0 for which in (made, back))
    live = Membership.import_id == import_id, Membership.removed_at.is_(None), Key.deleted_at.is_(None)
    seated = select(func.count()).select_from(Membership).join(Key, Key.id == Membership.key_id)
    links = session.scalar(seated.where(*live)) or 0
    changed = select(Key.id).where(*made, Key.updated_at > Key.created_at).order_by(Key.id).limit(MOST_CHANGED)
    return Left(keys, links, list(session.scalars(changed)))


def _imports() -> Any:
    return (
        select(Import, Pool.name, Job.created_at)
        .outerjoin(Pool, Pool.id == Import.pool_id)
        .outerjoin(Job, (Job.id == Import.job_id) & Job.ended_at.is_(None))
    )


def _row(found: Any) -> ImportRow:
    batch, pool_name, at_it_since = found
    return ImportRow(
        batch.id, batch.at, batch.who, batch.origin, batch.name, batch.pool_id, pool_name or "", batch.counts or {},
        batch.job_id, batch.ended_at, batch.undone_at, batch.ended_at is None and at_it_since is not None,
    )  # fmt: skip
