"""Keys as lists show them: rows by keyset, filtered and sorted in SQL, and how many keys stand how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from pool.adapters.queries.key_filters import (
    Order,
    Wanted,
    beyond,
    conditions,
    in_force,
    of_pool_and_search,
    sorting,
)
from pool.adapters.tables import Key, KeyHealth, Membership, Pool, Provider, UsageHour

BY_ID = Order()

MOST_REASONS = 50
"""Of what one key rests for, model by model, as many are told."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A key's place in a pool."""

    pool_id: int
    pool: str
    weight: int = 1
    tier: int = 0
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as a list shows it: never its secret."""

    id: int
    public_id: str
    provider: str
    hint: str
    name: str
    note: str
    places: tuple[Seat, ...]
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
    max_requests: int | None = None
    max_requests_window: str = "none"
    limits: Mapping[str, Any] | None = None
    fallback_to_direct: bool = False
    import_id: int | None = None
    updated_at: float = 0.0
    deleted_at: float | None = None
    details: Mapping[str, Any] | None = None

    @property
    def pools(self) -> tuple[str, ...]:
        return tuple(seat.pool for seat in self.places)

    @property
    def weights(self) -> tuple[int, ...]:
        """Those in its pools, in their order."""
        return tuple(seat.weight for seat in self.places)

    @property
    def seats(self) -> list[tuple[str, int]]:
        """Each pool with the weight of the key there."""
        return [(seat.pool, seat.weight) for seat in self.places]

    @property
    def success_rate(self) -> float:
        """From 0 to 1; of a key that was never used the best is hoped."""
        return self.successes / self.requests if self.requests else 1.0


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key of an import that is already here: in which pools, or in the bin."""

    provider: str
    fingerprint: bytes
    binned: bool
    pools: tuple[str, ...]
    here: bool


@dataclass(frozen=True, slots=True)
class Rest:
    """What a key rests for: for one model, or (model "") for all. `text` is the upstream's own, redacted."""

    model: str
    reason: str
    status: int | None
    since: float
    until: float | None
    text: str


def key_page(
    session: Session,
    wanted: Wanted,
    order: Order = BY_ID,
    *,
    after: tuple[Any, int] | None = None,
    size: int = 50,
) -> list[KeyRow]:
    """Up to `size` keys in their order; `after` is what the last one before them is sorted by, and its id."""
    # Their ids first: to sort 100,000 rows is cheap where none of their other columns is carried along.
    query = select(Key.id).where(*conditions(wanted)).order_by(*sorting(order)).limit(size)
    if after is not None:
        query = query.where(beyond(order, *after))
    ids = list(session.scalars(query))
    found = {row.id: row for row in session.execute(_rows().where(Key.id.in_(ids)))}
    return _with_places(session, [found[key_id] for key_id in ids])


def key_ids(session: Session, wanted: Wanted, after: int = 0, size: int = 500) -> list[int]:
    """The ids of up to `size` keys after one, in their order: how a long list is gone through in slices."""
    query = select(Key.id).where(*conditions(wanted), Key.id > after).order_by(Key.id).limit(size)
    return list(session.scalars(query))


def key_count(session: Session, wanted: Wanted) -> int:
    """How many keys there are of a kind."""
    return session.scalar(select(func.count()).select_from(Key).where(*conditions(wanted))) or 0


def some_keys(session: Session, key_ids: Sequence[int], binned: bool = False) -> list[KeyRow]:
    """Those of the keys that are not in the bin (or are), in their order."""
    found: list[KeyRow] = []
    for at in range(0, len(key_ids), 500):
        query = _rows().where(Key.id.in_(key_ids[at : at + 500]), *of_pool_and_search(None, "", binned))
        found += _with_places(session, list(session.execute(query).all()))
    return sorted(found, key=lambda row: row.id)


def seats_of(session: Session, key_ids: Sequence[int]) -> dict[int, list[int]]:
    """The pools each key is in, by their ids."""
    seats: dict[int, list[int]] = {}
    for at in range(0, len(key_ids), 500):
        for key_id, places in _places_of(session, list(key_ids[at : at + 500])).items():
            seats[key_id] = [seat.pool_id for seat in places]
    return seats


def key_row(session: Session, key_id: int, binned: bool = False) -> KeyRow | None:
    rows = some_keys(session, [key_id], binned)
    return rows[0] if rows else None


def key_ids_of(session: Session, public_ids: Sequence[str]) -> dict[str, int]:
    """The ids of keys by those that programs know them by."""
    found: dict[str, int] = {}
    for at in range(0, len(public_ids), 500):
        named = select(Key.public_id, Key.id).where(Key.public_id.in_(public_ids[at : at + 500]))
        found.update((public_id, key_id) for public_id, key_id in session.execute(named))
    return found


def rests_of(session: Session, key_id: int, now: float) -> list[Rest]:
    """What a key rests for now, the longest first."""
    rest = KeyHealth
    columns = (rest.model, rest.reason, rest.status, rest.since, rest.until, rest.upstream_text)
    query = select(*columns).where(rest.key_id == key_id, or_(rest.until.is_(None), rest.until > now))
    rows = session.execute(query.order_by(rest.until.is_(None).desc(), rest.until.desc()).limit(MOST_REASONS))
    return [Rest(*row) for row in rows]


def latency_of(session: Session, key_ids: Sequence[int], since: float) -> dict[int, float]:
    """How long the requests that each key answered took on average (ms); keys without any are left out."""
    hour = UsageHour
    sums = select(hour.key_id, func.sum(hour.latency_ms), func.sum(hour.requests))
    query = sums.where(hour.key_id.in_(key_ids), hour.hour >= since, hour.requests > 0).group_by(hour.key_id)
    return {key_id: round(float(ms) / int(requests), 1) for key_id, ms, requests in session.execute(query)}


def attempts_of(session: Session, key_ids: Sequence[int], since: float) -> dict[int, int]:
    """How often each key was tried since the beginning of an hour; keys that were not are left out."""
    hour, found = UsageHour, dict[int, int]()
    for at in range(0, len(key_ids), 500):
        of_these = hour.key_id.in_(key_ids[at : at + 500]), hour.hour >= since
        query = select(hour.key_id, func.sum(hour.attempts)).where(*of_these).group_by(hour.key_id)
        found.update((key_id, int(attempts)) for key_id, attempts in session.execute(query))
    return found


def rest_reasons(session: Session, now: float, size: int) -> list[str]:
    """What keys rest for now, by how often."""
    found = select(KeyHealth.reason).where(in_force(now)).group_by(KeyHealth.reason)
    return list(session.scalars(found.order_by(func.count().desc(), KeyHealth.reason).limit(size)))


def known_keys(session: Session, fingerprints: Sequence[bytes], pool_id: int) -> list[KnownKey]:
    """Which of these fingerprints are here already, `here` meaning: in that very pool."""
    found: list[KnownKey] = []
    for at in range(0, len(fingerprints), 500):
        columns = (Key.id, Provider.slug, Key.fingerprint, Key.deleted_at)
        # Both columns of the index: by the fingerprint alone every key there is would be looked at.
        named = Key.provider_id.in_(select(Provider.id)), Key.fingerprint.in_(fingerprints[at : at + 500])
        query = select(*columns).join(Provider).where(*named)
        rows = session.execute(query).all()
        places = _places_of(session, [row[0] for row in rows])
        for key_id, slug, print_, deleted_at in rows:
            seats = places.get(key_id, [])
            names = tuple(seat.pool for seat in seats)
            here = any(seat.pool_id == pool_id for seat in seats)
            found.append(KnownKey(slug, print_, deleted_at is not None, names, here))
    return found


def _rows() -> Select[*tuple[Any, ...]]:
    return select(
        Key.id, Key.public_id, Provider.slug, Key.hint_prefix, Key.hint_suffix, Key.tags, Key.name, Key.note,
        Key.disabled_at, Key.disabled_until, Key.dead_at, Key.dead_reason, Key.requests, Key.successes, Key.errors,
        Key.last_used_at, Key.last_error, Key.last_error_at, Key.origin, Key.created_at, Key.email, Key.tokens,
        Key.checked_at, Key.cost_nano, Key.project, Key.max_requests, Key.max_requests_window, Key.limits,
        Key.fallback_to_direct, Key.import_id, Key.updated_at, Key.deleted_at, Key.details,
    ).join(Provider)  # fmt: skip


def _with_places(session: Session, rows: list[Any]) -> list[KeyRow]:
    places = _places_of(session, [row.id for row in rows])
    return [_key(row, places.get(row.id, [])) for row in rows]


def _key(row: Any, places: list[Seat]) -> KeyRow:
    fields = dict(row._mapping)
    prefix, suffix, tags = fields.pop("hint_prefix"), fields.pop("hint_suffix"), fields.pop("tags")
    hint = f"{prefix}...{suffix}" if prefix else "***"
    return KeyRow(
        provider=fields.pop("slug"), hint=hint, places=tuple(places), tags=tuple(tags or ()), **fields
    )  # fmt: skip


def _places_of(session: Session, key_ids: list[int]) -> dict[int, list[Seat]]:
    """Every pool a key is in."""
    places: dict[int, list[Seat]] = {}
    seats = (
        select(Membership.key_id, Pool.id, Pool.name, Membership.weight, Membership.tier, Membership.enabled)
        .join(Pool, Pool.id == Membership.pool_id)
        .where(Membership.key_id.in_(key_ids), Membership.removed_at.is_(None))
        .order_by(Pool.id)
    )
    for row in session.execute(seats):
        places.setdefault(row[0], []).append(Seat(*row[1:]))
    return places
