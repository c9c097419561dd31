"""Taking an import back: only the rows and links it made, and not what somebody changed since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy import select, union, update
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import Database, next_revision
from pool.core.heap import uncollected

from .keys import pieces

REMOVED, UNLINKED, KEPT = "removed", "unlinked", "kept"
"""Into the bin; out of the pool the import put it in; changed since, so left as it is."""


class Undoing:
    """One import, being taken back slice by slice: each is a transaction, and one that is cut short can go on."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        refresh: Callable[[], None],
        import_id: int,
        forced: bool,
    ) -> None:
        self._database, self._clock, self._refresh = database, clock, refresh
        self._import_id, self._forced = import_id, forced
        self.key_ids: list[int] = database.read(_touched, import_id)

    def slices(self) -> Iterator[Mapping[str, list[int]]]:
        """Do it; after each slice, which of its keys ended how."""
        try:
            for piece in pieces(self.key_ids):
                yield self._database.write(_undo_some, self._import_id, piece, self._forced, self._clock())
            self._database.write(_note, self._import_id, self._clock())
        finally:
            with uncollected():
                self._refresh()


def _touched(session: Session, import_id: int) -> list[int]:
    """Every key an import made, restored or linked."""
    key, member = tables.Key, tables.Membership
    found = union(
        select(key.id).where(key.import_id == import_id),
        select(key.id).where(key.restored_by == import_id),
        select(member.key_id).where(member.import_id == import_id),
    )
    return sorted(row[0] for row in session.execute(found))


def _undo_some(
    session: Session, import_id: int, key_ids: Sequence[int], forced: bool, now: float
) -> dict[str, list[int]]:
    revision = next_revision(session)
    batch = session.get_one(tables.Import, import_id)
    live = tables.Key.id.in_(key_ids), tables.Key.deleted_at.is_(None)
    rows = session.scalars(select(tables.Key).where(*live).order_by(tables.Key.id))
    seats = _live_seats(session, key_ids)
    fates: dict[str, list[int]] = {REMOVED: [], UNLINKED: [], KEPT: []}
    for row in rows:
        fate = _fate(row, seats.get(row.id, []), batch, forced)
        if fate:
            fates[fate].append(row.id)
    binned = update(tables.Key).where(tables.Key.id.in_(fates[REMOVED]))
    session.execute(binned.values(deleted_at=now, revision=revision))
    member = tables.Membership
    unlinked = update(member).where(member.key_id.in_(fates[UNLINKED]), member.import_id == import_id)
    session.execute(unlinked.values(removed_at=now, revision=revision))
    return {fate: ids for fate, ids in fates.items() if ids}


def _live_seats(session: Session, key_ids: Sequence[int]) -> dict[int, list[int | None]]:
    """By which import each seat of each key was made, as far as it is still taken."""
    member = tables.Membership
    query = select(member.key_id, member.import_id).where(member.key_id.in_(key_ids), member.removed_at.is_(None))
    seats: dict[int, list[int | None]] = {}
    for key_id, import_id in session.execute(query):
        seats.setdefault(key_id, []).append(import_id)
    return seats


def _fate(row: tables.Key, seats: list[int | None], batch: tables.Import, forced: bool) -> str:
    """A key leaves with the import that brought it, unless it is at home elsewhere by now."""
    linked, elsewhere = batch.id in seats, any(import_id != batch.id for import_id in seats)
    if row.restored_by == batch.id:
        changed = batch.ended_at is not None and row.updated_at > batch.ended_at
        return KEPT if changed and not forced else REMOVED
    if row.import_id == batch.id:
        changed = row.updated_at > row.created_at or not linked
        if changed and not forced:
            return KEPT
        return REMOVED if not elsewhere or not linked else UNLINKED
    return "" if not linked else UNLINKED if elsewhere else KEPT


def _note(session: Session, import_id: int, now: float) -> None:
    session.get_one(tables.Import, import_id).undone_at = now
