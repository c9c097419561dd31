"""Taking keys in: slices, each a transaction of its own, make one import, which is whole after every one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from secrets import token_hex
from typing import Any

import gevent
import orjson
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import Database, next_revision
from pool.adapters.tables.base import storable
from pool.adapters.upserts import insert_rows
from pool.adapters.vault import Vault
from pool.core.heap import uncollected
from pool.core.masking import mask

from .keys import SENDABLE, NewKey, Taken, put_in, seat_again, seats_in

REFRESHED_S = 1.0
"""How long keys that are in may wait to be used while others are still being taken in."""

ENVIRONMENT = "env"

_Place = tuple[int, bytes]
"""Where a key belongs: its provider's id and its fingerprint, which no two keys share."""


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A key as its row will hold it: encrypted before the database is asked to wait."""

    key: NewKey
    fingerprint: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Slice:
    """What the rows of one transaction have in common."""

    import_id: int
    pool_id: int
    origin: str
    revision: int
    now: float


class Batch:
    """One import. `take` its keys, some hundreds at a time, then `end` it; what was taken before a crash stays one
    import, too. `refresh`: the catalogue takes over what is new."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Callable[[], float],
        pool_id: int,
        origin: str,
        who: str,
        name: str = "",
        job_id: int | None = None,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._database, self._vault, self._clock, self._refresh = database, vault, clock, refresh
        self._about = {"origin": origin, "who": who, "pool_id": pool_id, "name": name, "job_id": job_id}
        self._refreshed_at = clock()
        self.id: int | None = None
        self.fates: Counter[str] = Counter()

    def take(self, keys: Sequence[NewKey]) -> list[Taken]:
        """Take one slice in, in one transaction; what became of each. Raises ValueError for what no header carries."""
        return [each for taken in self.take_all([keys]) for each in taken]

    def take_all(self, slices: Iterable[Sequence[NewKey]]) -> Iterator[list[Taken]]:
        """Take slice after slice in. While one is written the next one is encrypted: that saves a third of the time."""
        ahead: gevent.Greenlet | None = None
        for keys in slices:
            if any(not SENDABLE.fullmatch(key.secret) for key in keys):
                raise ValueError("a key holds a space, a control character or a letter outside ASCII")
            sealing = gevent.spawn(gevent.get_hub().threadpool.apply, _seal, (keys, self._vault))
            if ahead is not None:
                yield self._write(ahead)
            ahead = sealing
        if ahead is not None:
            yield self._write(ahead)

    def _write(self, sealing: gevent.Greenlet) -> list[Taken]:
        with uncollected():
            sealed, now = sealing.get(), self._clock()
            if not sealed:
                return []
            self.id, taken = self._database.write(_take, sealed, self.id, self._about, now)
            self.fates.update(each.fate for each in taken)
            if now - self._refreshed_at > REFRESHED_S:
                self._refreshed_at = now
                self._refresh()
        return taken

    @property
    def brought(self) -> bool:
        """Is there anything new, so far?"""
        return bool(self.fates.keys() - {"duplicate"})

    def end(self) -> None:
        """Nothing more comes. An import that brought nothing leaves no trace."""
        if self.id is not None:
            self._database.write(_end, self.id, self.brought, self._clock())
            with uncollected():
                self._refresh()


def _seal(keys: Sequence[NewKey], vault: Vault) -> list[_Sealed]:
    return [_Sealed(key, vault.fingerprint(key.provider, key.secret), vault.encrypt(key.secret)) for key in keys]


def _take(
    session: Session, keys: list[_Sealed], import_id: int | None, about: dict[str, Any], now: float
) -> tuple[int, list[Taken]]:
    revision = next_revision(session)
    batch = session.get(tables.Import, import_id) if import_id else None
    if batch is None:
        batch = tables.Import(at=now, **about)
        session.add(batch)
        session.flush()
    providers = dict(session.execute(select(tables.Provider.slug, tables.Provider.id)).all())
    taken = _take_some(session, keys, providers, _Slice(batch.id, about["pool_id"], about["origin"], revision, now))
    batch.counts = dict(Counter(batch.counts or {}) + Counter(each.fate for each in taken))
    return batch.id, taken


def _end(session: Session, import_id: int, brought: bool, now: float) -> None:
    batch = tables.Import
    if brought:
        session.execute(update(batch).where(batch.id == import_id).values(ended_at=now))
    else:
        session.execute(delete(batch).where(batch.id == import_id))


def _take_some(session: Session, keys: list[_Sealed], providers: dict[str, int], of: _Slice) -> list[Taken]:
    prints = [(providers[each.key.provider], each.fingerprint) for each in keys]
    known = _known(session, prints)
    fresh: dict[_Place, _Sealed] = {}
    for each, place in zip(keys, prints, strict=True):
        if place not in known:
            fresh.setdefault(place, each)
    made = _insert(session, fresh, of)
    seats = seats_in(session, of.pool_id, [row.id for row in known.values()])
    taken, restored = [], []
    for each, place in zip(keys, prints, strict=True):
        row = known.get(place)
        if row is None:
            taken.append(Taken(made[place], "added" if fresh.pop(place, None) else "duplicate"))
            continue
        fate = _fate(row, seats.get(row.id), of)
        if fate == "restored":
            _restore(row, each, of)
            restored.append(row.id)
        if fate != "duplicate":
            seats[row.id] = put_in(
                session, seats.get(row.id), of.pool_id, row.id, each.key.weight, of.revision, of.now, of.import_id
            )
        taken.append(Taken(row.id, fate))
    seat_again(session, restored, of.revision)
    return taken


def _known(session: Session, prints: list[_Place]) -> dict[_Place, tables.Key]:
    # Both columns of the index: by the fingerprint alone every key there is would be looked at.
    provider_ids, fingerprints = {place[0] for place in prints}, {place[1] for place in prints}
    named = tables.Key.provider_id.in_(provider_ids), tables.Key.fingerprint.in_(fingerprints)
    return {(row.provider_id, row.fingerprint): row for row in session.scalars(select(tables.Key).where(*named))}


def _fate(row: tables.Key, seat: tables.Membership | None, of: _Slice) -> str:
    """What becomes of a key that is known. The environment brings nothing back that was deleted here."""
    by_environment = of.origin == ENVIRONMENT
    if row.deleted_at is not None:
        return "duplicate" if by_environment else "restored"
    return "duplicate" if seat and (seat.removed_at is None or by_environment) else "linked"


def _restore(row: tables.Key, each: _Sealed, of: _Slice) -> None:
    row.deleted_at, row.revision, row.restored_by, row.updated_at = None, of.revision, of.import_id, of.now
    row.secret = row.secret or each.secret


def _insert(session: Session, fresh: dict[_Place, _Sealed], of: _Slice) -> dict[_Place, int]:
    """Write new keys and seat them, in their order. As plain rows, whose ids are asked for afterwards: objects, and
    statements that return the ids, take several times as long."""
    if not fresh:
        return {}
    key: Any = tables.Key.__table__
    connection = session.connection()
    insert_rows(session, tables.Key, _KEY, [_row(each, place, of) for place, each in fresh.items()])
    # Nobody else writes at this revision, and only its index is short.
    mine = select(key.c.provider_id, key.c.fingerprint, key.c.id).where(key.c.revision == of.revision)
    made = {(provider_id, print_): key_id for provider_id, print_, key_id in connection.execute(mine)}
    common = (of.pool_id, of.import_id, of.revision, of.now, 0, True, 0)
    seats = [(*common, made[place], each.key.weight) for place, each in fresh.items()]
    insert_rows(session, tables.Membership, _SEAT, seats)
    return made


_SEAT = (
    "pool_id", "import_id", "revision", "created_at", "tier", "enabled", "position", "key_id", "weight",
)  # fmt: skip
_KEY = (
    "public_id", "provider_id", "secret", "fingerprint", "hint_prefix", "hint_suffix", "name", "note", "email", "tags",
    "project", "fallback_to_direct", "max_requests", "max_requests_window", "origin", "import_id", "dead_reason",
    "last_error", "requests", "successes", "errors", "tokens", "cost_nano", "created_at", "updated_at", "revision",
)  # fmt: skip


def _row(each: _Sealed, place: _Place, of: _Slice) -> tuple[Any, ...]:
    key = each.key
    prefix, _, suffix = mask(key.secret).partition("...")
    tags = orjson.dumps(list(key.tags)).decode() if key.tags else None
    return (
        f"key_{int(of.now * 1000)}_{_numbers.getrandbits(40):010x}", place[0], each.secret, place[1],
        prefix if suffix else "", suffix, storable(key.name, 200), storable(key.note), storable(key.email, 200), tags,
        storable(key.project, 200), False, key.max_requests, "none", of.origin, of.import_id, "", "", 0, 0, 0, 0, 0,
        of.now, of.now, of.revision,
    )  # fmt: skip


_numbers = Random(token_hex(16))
