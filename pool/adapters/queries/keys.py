"""The keys page: rows by keyset, filtered in SQL, and how many keys stand how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, case, cast, exists, func, not_, or_, select
from sqlalchemy.orm import Session

from pool.adapters.tables import Key, KeyHealth, Membership, Pool, Provider

_Seat = tuple[int, str, int]
"""A key's place in a pool: the pool's id and name, the key's weight there."""

HEALTHY, COOLING, DISABLED, DEAD = STANDINGS = ("healthy", "cooling", "disabled", "dead")


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as a list shows it: never its secret. `weights` are those in its pools, in their order."""

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
    last_error_at: float | None
    origin: str
    created_at: float
    email: str
    tokens: int
    checked_at: float | None
    cost_nano: int = 0
    project: str = ""
    tags: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()

    @property
    def seats(self) -> list[tuple[str, int]]:
        """Each pool with the weight of the key there."""
        return list(zip(self.pools, self.weights, strict=True))


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key of an import that is already here: in which pools, or in the bin."""

    provider: str
    fingerprint: bytes
    binned: bool
    pools: tuple[str, ...]
    here: bool


def key_page(
    session: Session,
    *,
    after: int = 0,
    size: int = 50,
    pool_id: int | None = None,
    search: str = "",
    standing: str = "",
    now: float = 0.0,
) -> list[KeyRow]:
    """Up to `size` keys that are not in the bin, by id after `after`. `now` is needed with `standing`."""
    query = _rows().where(Key.id > after, *_wanted(pool_id, search)).order_by(Key.id).limit(size)
    if standing in STANDINGS:
        query = query.where(_stands(standing, now))
    return _with_pools(session, list(session.execute(query).all()))


def some_keys(session: Session, key_ids: Sequence[int]) -> list[KeyRow]:
    """Those of the keys that are not in the bin, in their order."""
    found: list[KeyRow] = []
    for at in range(0, len(key_ids), 500):
        query = _rows().where(Key.id.in_(key_ids[at : at + 500]), Key.deleted_at.is_(None))
        found += _with_pools(session, list(session.execute(query).all()))
    return sorted(found, key=lambda row: row.id)


def seats_of(session: Session, key_ids: Sequence[int]) -> dict[int, list[int]]:
    """The pools each key is in, by their ids."""
    seats: dict[int, list[int]] = {}
    for at in range(0, len(key_ids), 500):
        for key_id, pools in _pools_of(session, list(key_ids[at : at + 500])).items():
            seats[key_id] = [pool_id for pool_id, _, _ in pools]
    return seats


def key_row(session: Session, key_id: int) -> KeyRow | None:
    rows = _with_pools(session, list(session.execute(_rows().where(Key.id == key_id, Key.deleted_at.is_(None))).all()))
    return rows[0] if rows else None


def key_counts(session: Session, now: float, pool_id: int | None = None, search: str = "") -> dict[str, int]:
    """How many keys stand how; `all` is their sum. At most a second, the journal's delay, behind the catalogue."""
    if pool_id is not None or search:
        # One walk over what is wanted; of all keys, those that do not stand well are found by their indexes.
        each = case(*((_stands(standing, now), standing) for standing in STANDINGS))
        found = select(each, func.count()).where(*_wanted(pool_id, search)).group_by(each)
        counts = dict.fromkeys(STANDINGS, 0) | {row[0]: row[1] for row in session.execute(found)}
        return {"all": sum(counts.values()), **counts}
    live = select(func.count()).select_from(Key).where(Key.deleted_at.is_(None))
    counts = {standing: session.scalar(live.where(_stands(standing, now))) or 0 for standing in STANDINGS[1:]}
    total = session.scalar(live) or 0
    return {"all": total, HEALTHY: total - sum(counts.values()), **counts}


def known_keys(session: Session, fingerprints: Sequence[bytes], pool_id: int) -> list[KnownKey]:
    """Which of these fingerprints are here already, `here` meaning: in that very pool."""
    found: list[KnownKey] = []
    for at in range(0, len(fingerprints), 500):
        columns = (Key.id, Provider.slug, Key.fingerprint, Key.deleted_at)
        query = select(*columns).join(Provider).where(Key.fingerprint.in_(fingerprints[at : at + 500]))
        rows = session.execute(query).all()
        seats = _pools_of(session, [row[0] for row in rows])
        for key_id, slug, print_, deleted_at in rows:
            pools = seats.get(key_id, [])
            names = tuple(name for _, name, _ in pools)
            here = any(seat_id == pool_id for seat_id, _, _ in pools)
            found.append(KnownKey(slug, print_, deleted_at is not None, names, here))
    return found


def _wanted(pool_id: int | None, search: str) -> list[ColumnElement[bool]]:
    """Keys that are not in the bin, of a pool, and that a search finds."""
    conditions: list[ColumnElement[bool]] = [Key.deleted_at.is_(None)]
    if pool_id is not None:
        seat = select(Membership.key_id).where(Membership.pool_id == pool_id, Membership.removed_at.is_(None))
        conditions.append(Key.id.in_(seat))
    if search:
        own = (Key.hint_prefix, Key.hint_suffix, Key.name, Key.note, Key.email, Key.last_error, Key.project)
        columns = [*own, cast(Key.tags, String)]
        found = [column.icontains(search, autoescape=True) for column in columns]
        conditions.append(or_(*found, *_as_shown(search)))
    return conditions


def _as_shown(search: str) -> list[ColumnElement[bool]]:
    """A key by its mask, or by a part of that: `AIzaSyDe...9BgL`."""
    begin, *rest = (part.strip() for part in search.replace("…", "...").split("...", 1))
    if not rest or not (begin or rest[0]):
        return []
    end = rest[0]
    columns = Key.hint_prefix.iendswith(begin, autoescape=True), Key.hint_suffix.istartswith(end, autoescape=True)
    return [and_(Key.hint_prefix != "", *columns)]


def _stands(standing: str, now: float) -> ColumnElement[bool]:
    """One standing a key; the later words of `STANDINGS` outdo the earlier ones."""
    dead = Key.dead_at.is_not(None)
    disabled = and_(Key.disabled_at.is_not(None), or_(Key.disabled_until.is_(None), Key.disabled_until > now))
    benched = exists().where(KeyHealth.key_id == Key.id, or_(KeyHealth.until.is_(None), KeyHealth.until > now))
    match standing:
        case "dead":
            return dead
        case "disabled":
            return and_(disabled, not_(dead))
        case "cooling":
            return and_(benched, not_(disabled), not_(dead))
    return and_(not_(benched), not_(disabled), not_(dead))


def _rows() -> Select[*tuple[Any, ...]]:
    return select(
        Key.id, Key.public_id, Provider.slug, Key.hint_prefix, Key.hint_suffix, Key.name, Key.note, Key.disabled_at,
        Key.disabled_until, Key.dead_at, Key.dead_reason, Key.requests, Key.successes, Key.errors, Key.last_used_at,
        Key.last_error, Key.last_error_at, Key.origin, Key.created_at, Key.email, Key.tokens,
        Key.checked_at, Key.cost_nano, Key.project, Key.tags,
    ).join(Provider)  # fmt: skip


def _with_pools(session: Session, rows: list[Any]) -> list[KeyRow]:
    pools = _pools_of(session, [row[0] for row in rows])
    return [_key(row, pools.get(row[0], [])) for row in rows]


def _key(row: Any, seats: list[_Seat]) -> KeyRow:
    hint, tags = f"{row[3]}...{row[4]}" if row[3] else "***", tuple(row[-1] or ())
    names, weights = tuple(name for _, name, _ in seats), tuple(weight for _, _, weight in seats)
    fields = (*row[:3], hint, row[5], row[6], names, *row[7:-1], tags, weights)
    return KeyRow(*fields)


def _pools_of(session: Session, key_ids: list[int]) -> dict[int, list[_Seat]]:
    """Every pool a key is in."""
    pools: dict[int, list[_Seat]] = {}
    seats = (
        select(Membership.key_id, Pool.id, Pool.name, Membership.weight)
        .join(Pool, Pool.id == Membership.pool_id)
        .where(Membership.key_id.in_(key_ids), Membership.removed_at.is_(None))
        .order_by(Pool.id)
    )
    for key_id, pool_id, name, weight in session.execute(seats):
        pools.setdefault(key_id, []).append((pool_id, name, weight))
    return pools
