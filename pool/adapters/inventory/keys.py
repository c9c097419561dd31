"""Writing keys and their seats in pools. Each function is one transaction and moves the revision."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import next_revision
from pool.core.keys import FOREVER
from pool.core.limits import KEY_LIMITS

T = TypeVar("T")

Disabled = tuple[float | None, float | None]
"""Since when a key is disabled (None: it is not), and until when (None: until somebody says otherwise)."""

@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to take in, and what was said beside it."""

    provider: str
    secret: str = field(repr=False)
    weight: int = 1
    name: str = ""
    note: str = ""
    email: str = ""
    tags: tuple[str, ...] = ()
    project: str = ""
    max_requests: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one `NewKey`: added | linked (known, now also in this pool) | restored | duplicate."""

    key_id: int
    fate: str


SENDABLE = re.compile(r"[\x21-\x7e]+")
"""What a header can carry. Whatever else were stored would fail at every use."""


def seats_in(session: Session, pool_id: int, key_ids: list[int]) -> dict[int, tables.Membership]:
    """The memberships of keys in a pool, removed ones too."""
    member = tables.Membership
    query = select(member).where(member.pool_id == pool_id, member.key_id.in_(key_ids))
    return {seat.key_id: seat for seat in session.scalars(query)}


def seat_again(session: Session, key_ids: list[int], revision: int) -> None:
    """The catalogue drops the seats of a binned key: it must read those of a restored one again."""
    member = tables.Membership
    for piece in pieces(key_ids):
        session.execute(update(member).where(member.key_id.in_(piece)).values(revision=revision))


def put_in(
    session: Session,
    seat: tables.Membership | None,
    pool_id: int,
    key_id: int,
    weight: int,
    revision: int,
    now: float,
    import_id: int | None = None,
) -> tables.Membership:
    """Seat a key in a pool; `seat` is the place it has or had there."""
    if seat is None:
        seat = tables.Membership(pool_id=pool_id, key_id=key_id, created_at=now)
        session.add(seat)
    seat.weight, seat.enabled, seat.removed_at = weight, True, None
    seat.revision, seat.import_id = revision, import_id
    return seat


def set_disabled(session: Session, key_ids: list[int], until: float | None, now: float) -> int:
    revision = next_revision(session)
    values = {
        "disabled_at": None if until is None else now,
        "disabled_until": None if until in (None, FOREVER) else until,
        "revision": revision,
        "updated_at": now,
    }
    return update_keys(session, key_ids, values)


LIMIT_FIELDS = frozenset({"limits", "max_requests", "max_requests_window"})


def set_limits(session: Session, key_ids: list[int], fields: Mapping[str, Any], now: float) -> int:
    unknown = fields.keys() - LIMIT_FIELDS
    if unknown:
        raise TypeError(f"no limits: {', '.join(sorted(unknown))}")
    for model, each in (fields.get("limits") or {}).items():
        if not each.keys() <= set(KEY_LIMITS):
            raise TypeError(f"no limits of {model}: {', '.join(sorted(each.keys() - set(KEY_LIMITS)))}")
    return update_keys(session, key_ids, {**fields, "revision": next_revision(session), "updated_at": now})


def put_disabled(session: Session, states: Mapping[int, Disabled], now: float) -> None:
    revision = next_revision(session)
    columns: Any = tables.Key.__table__
    statement = (
        update(columns)
        .where(columns.c.id == bindparam("at_key"))
        .values(disabled_at=bindparam("since"), disabled_until=bindparam("ends"), revision=revision, updated_at=now)
    )
    rows = [{"at_key": key_id, "since": since, "ends": until} for key_id, (since, until) in states.items()]
    if rows:
        session.connection().execute(statement, rows)


def set_checked(session: Session, key_ids: list[int], at: float) -> None:
    update_keys(session, key_ids, {"checked_at": at})


def arrange(session: Session, seats: Mapping[int, Sequence[int]], now: float) -> None:
    """Seats that stay are left alone; a new one takes the weight of the key's seat elsewhere."""
    revision, member = next_revision(session), tables.Membership
    pools = set(session.scalars(select(tables.Pool.id)))
    for piece in pieces(list(seats)):
        known: dict[int, dict[int, tables.Membership]] = {key_id: {} for key_id in piece}
        for seat in session.scalars(select(member).where(member.key_id.in_(piece))):
            known[seat.key_id][seat.pool_id] = seat
        for key_id in piece:
            # A pool may be gone by now; a key is in one at least.
            wanted = pools.intersection(seats[key_id])
            if wanted:
                _arrange_one(session, key_id, known[key_id], wanted, revision, now)


def _arrange_one(
    session: Session, key_id: int, known: dict[int, tables.Membership], wanted: set[int], revision: int, now: float
) -> None:
    live = [seat for seat in known.values() if seat.removed_at is None]
    weight = max((seat.weight for seat in live), default=1)
    for seat in live:
        if seat.pool_id not in wanted:
            seat.removed_at, seat.revision = now, revision
    for pool_id in wanted.difference(seat.pool_id for seat in live):
        seat_before = known.get(pool_id)
        put_in(session, seat_before, pool_id, key_id, seat_before.weight if seat_before else weight, revision, now)


def revive(session: Session, key_ids: list[int]) -> None:
    revision = next_revision(session)
    update_keys(session, key_ids, {"dead_at": None, "dead_reason": "", "revision": revision})
    health = tables.KeyHealth
    for piece in pieces(key_ids):
        for row in session.scalars(select(health).where(health.key_id.in_(piece))):
            session.delete(row)


def bin_keys(session: Session, key_ids: list[int], now: float) -> int:
    revision = next_revision(session)
    return update_keys(session, key_ids, {"deleted_at": now, "revision": revision})


def restore_keys(session: Session, key_ids: list[int]) -> int:
    """Those that were purged meanwhile stay where they are."""
    revision, key = next_revision(session), tables.Key
    there: list[int] = []
    for piece in pieces(key_ids):
        there += session.scalars(select(key.id).where(key.id.in_(piece), key.secret.is_not(None)))
    count = update_keys(session, there, {"deleted_at": None, "revision": revision})
    seat_again(session, there, revision)
    return count


def purge_keys(session: Session, key_ids: list[int]) -> int:
    """Take what is secret or personal out of binned keys, for good. Their rows stay: see `tables.Key`."""
    key, count = tables.Key, 0
    for piece in pieces(key_ids):
        binned = key.id.in_(piece), key.deleted_at.is_not(None), key.secret.is_not(None)
        result = session.execute(update(key).where(*binned).values(**_PURGED))
        count += result.rowcount  # type: ignore[attr-defined]
    return count


def overdue(session: Session, before: float, most: int) -> list[int]:
    """Keys that were put into the bin before a moment."""
    key = tables.Key
    return list(session.scalars(select(key.id).where(key.deleted_at < before, key.secret.is_not(None)).limit(most)))


_PURGED = {
    "secret": None, "proxy_url": None, "details": None, "tags": None, "name": "", "note": "", "email": "",
    "last_error": "",
}  # fmt: skip


def update_keys(session: Session, key_ids: list[int], values: dict[str, Any]) -> int:
    count = 0
    for piece in pieces(key_ids):
        result = session.execute(update(tables.Key).where(tables.Key.id.in_(piece)).values(**values))
        count += result.rowcount  # type: ignore[attr-defined]
    return count


def pieces(many: list[T]) -> Iterator[list[T]]:
    return (many[at : at + 500] for at in range(0, len(many), 500))
