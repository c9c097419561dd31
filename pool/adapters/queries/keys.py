"""The keys page: rows by keyset, filtered in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from pool.adapters.tables import Key, Membership, Pool, Provider


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as a list shows it: never its secret."""

    id: int
    public_id: str
    provider: str
    hint: str
    name: str
    note: str
    pools: tuple[str, ...]
    disabled_at: float | None
    disabled_until: float | None
    dead_at: float | None
    dead_reason: str
    requests: int
    successes: int
    errors: int
    last_used_at: float | None
    last_error: str
    origin: str
    created_at: float


def key_page(
    session: Session, *, after: int = 0, size: int = 50, pool_id: int | None = None, search: str = ""
) -> list[KeyRow]:
    """Up to `size` keys that are not in the bin, by id after `after`."""
    query = _rows().where(Key.id > after, Key.deleted_at.is_(None)).order_by(Key.id).limit(size)
    if pool_id is not None:
        seat = select(Membership.key_id).where(Membership.pool_id == pool_id, Membership.removed_at.is_(None))
        query = query.where(Key.id.in_(seat))
    if search:
        like = f"%{search}%"
        columns = (Key.hint_prefix, Key.hint_suffix, Key.name, Key.note, Key.email)
        query = query.where(or_(*(column.ilike(like) for column in columns)))
    return _with_pools(session, list(session.execute(query).all()))


def key_row(session: Session, key_id: int) -> KeyRow | None:
    rows = _with_pools(session, list(session.execute(_rows().where(Key.id == key_id, Key.deleted_at.is_(None))).all()))
    return rows[0] if rows else None


def _rows() -> Select[Any]:
    return select(
        Key.id, Key.public_id, Provider.slug, Key.hint_prefix, Key.hint_suffix, Key.name, Key.note, Key.disabled_at,
        Key.disabled_until, Key.dead_at, Key.dead_reason, Key.requests, Key.successes, Key.errors, Key.last_used_at,
        Key.last_error, Key.origin, Key.created_at,
    ).join(Provider)  # fmt: skip


def _with_pools(session: Session, rows: list[Any]) -> list[KeyRow]:
    ids = [row[0] for row in rows]
    pools: dict[int, list[str]] = {}
    seats = (
        select(Membership.key_id, Pool.name)
        .join(Pool, Pool.id == Membership.pool_id)
        .where(Membership.key_id.in_(ids), Membership.removed_at.is_(None))
        .order_by(Pool.id)
    )
    for key_id, name in session.execute(seats):
        pools.setdefault(key_id, []).append(name)
    return [
        KeyRow(row[0], row[1], row[2], f"{row[3]}...{row[4]}" if row[3] else "***", row[5], row[6],
               tuple(pools.get(row[0], ())), *row[7:])
        for row in rows
    ]  # fmt: skip
