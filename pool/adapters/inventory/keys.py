"""Writing keys and their seats in pools. Each function is one transaction and moves the revision."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import next_revision
from pool.adapters.vault import Vault
from pool.core.keys import FOREVER
from pool.core.limits import KEY_LIMITS
from pool.core.masking import mask

Disabled = tuple[float | None, float | None]
"""Since when a key is disabled (None: it is not), and until when (None: until somebody says otherwise)."""

_Place = tuple[int, bytes]
"""Where a key belongs: its provider's id and its fingerprint, which no two keys share."""


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


def add_keys(
    session: Session, vault: Vault, keys: list[NewKey], pool_id: int, origin: str, who: str, now: float
) -> list[Taken]:
    if any(not SENDABLE.fullmatch(key.secret) for key in keys):
        raise ValueError("a key holds a space, a control character or a letter outside ASCII")
    revision = next_revision(session)
    providers = dict(session.execute(select(tables.Provider.slug, tables.Provider.id)).all())
    batch = tables.Import(at=now, who=who, origin=origin, pool_id=pool_id)
    session.add(batch)
    session.flush()
    taken: list[Taken] = []
    for at in range(0, len(keys), 500):
        taken += _add_some(session, vault, keys[at : at + 500], providers, pool_id, batch, revision, now)
    counts: dict[str, int] = {}
    for each in taken:
        counts[each.fate] = counts.get(each.fate, 0) + 1
    batch.counts = counts
    if not counts.get("added") and not counts.get("linked") and not counts.get("restored"):
        session.delete(batch)
    return taken


def _add_some(
    session: Session,
    vault: Vault,
    keys: list[NewKey],
    providers: dict[str, int],
    pool_id: int,
    batch: tables.Import,
    revision: int,
    now: float,
) -> list[Taken]:
    prints = [(providers[key.provider], vault.fingerprint(key.provider, key.secret)) for key in keys]
    # Both columns of the index: by the fingerprint alone every key there is would be looked at.
    provider_ids, fingerprints = {place[0] for place in prints}, {place[1] for place in prints}
    named = tables.Key.provider_id.in_(provider_ids), tables.Key.fingerprint.in_(fingerprints)
    rows = session.scalars(select(tables.Key).where(*named))
    known = {(row.provider_id, row.fingerprint): row for row in rows}
    fresh: dict[_Place, NewKey] = {}
    for key, place in zip(keys, prints, strict=True):
        if place not in known:
            fresh.setdefault(place, key)
    made = _insert(session, vault, fresh, pool_id, batch, revision, now)
    seats = seats_in(session, pool_id, [row.id for row in known.values()])
    taken, restored = [], []
    for key, place in zip(keys, prints, strict=True):
        row = known.get(place)
        if row is None:
            taken.append(Taken(made[place], "added" if fresh.pop(place, None) else "duplicate"))
            continue
        seat = seats.get(row.id)
        if row.deleted_at is not None and batch.origin != "env":
            row.deleted_at, row.revision, fate = None, revision, "restored"
            row.secret = row.secret or vault.encrypt(key.secret)
            restored.append(row.id)
        elif row.deleted_at is not None or (seat and (seat.removed_at is None or batch.origin == "env")):
            fate = "duplicate"
        else:
            fate = "linked"
        if fate != "duplicate":
            seats[row.id] = put_in(session, seat, pool_id, row.id, key.weight, revision, now, batch.id)
        taken.append(Taken(row.id, fate))
    _seat_again(session, restored, revision)
    return taken


def seats_in(session: Session, pool_id: int, key_ids: list[int]) -> dict[int, tables.Membership]:
    """The memberships of keys in a pool, removed ones too."""
    member = tables.Membership
    query = select(member).where(member.pool_id == pool_id, member.key_id.in_(key_ids))
    return {seat.key_id: seat for seat in session.scalars(query)}


def _seat_again(session: Session, key_ids: list[int], revision: int) -> None:
    """The catalogue drops the seats of a binned key: it must read those of a restored one again."""
    member = tables.Membership
    for piece in pieces(key_ids):
        session.execute(update(member).where(member.key_id.in_(piece)).values(revision=revision))


def _insert(
    session: Session,
    vault: Vault,
    fresh: dict[_Place, NewKey],
    pool_id: int,
    batch: tables.Import,
    revision: int,
    now: float,
) -> dict[_Place, int]:
    """Write new keys and seat them, in their order. As rows, not objects: those take three times as long."""
    if not fresh:
        return {}
    rows = [_row(key, place, vault, batch, revision, now) for place, key in fresh.items()]
    ids = session.scalars(insert(tables.Key).returning(tables.Key.id, sort_by_parameter_order=True), rows)
    made = dict(zip(fresh, ids, strict=True))
    common = {"pool_id": pool_id, "import_id": batch.id, "revision": revision, "created_at": now}
    seats = [{**common, "key_id": made[place], "weight": key.weight} for place, key in fresh.items()]
    session.execute(insert(tables.Membership), seats)
    return made


def _row(key: NewKey, place: _Place, vault: Vault, batch: tables.Import, revision: int, now: float) -> dict[str, Any]:
    prefix, _, suffix = mask(key.secret).partition("...")
    return {
        "public_id": f"key_{int(now * 1000)}_{token_hex(5)}", "provider_id": place[0],
        "secret": vault.encrypt(key.secret), "fingerprint": place[1], "hint_prefix": prefix if suffix else "",
        "hint_suffix": suffix, "name": key.name, "note": key.note, "email": key.email, "tags": list(key.tags) or None,
        "project": key.project, "max_requests": key.max_requests, "origin": batch.origin, "import_id": batch.id,
        "created_at": now, "updated_at": now, "revision": revision,
    }  # fmt: skip


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
    return _update_keys(session, key_ids, values)


LIMIT_FIELDS = frozenset({"limits", "max_requests", "max_requests_window"})


def set_limits(session: Session, key_ids: list[int], fields: Mapping[str, Any], now: float) -> int:
    unknown = fields.keys() - LIMIT_FIELDS
    if unknown:
        raise TypeError(f"no limits: {', '.join(sorted(unknown))}")
    for model, each in (fields.get("limits") or {}).items():
        if not each.keys() <= set(KEY_LIMITS):
            raise TypeError(f"no limits of {model}: {', '.join(sorted(each.keys() - set(KEY_LIMITS)))}")
    return _update_keys(session, key_ids, {**fields, "revision": next_revision(session), "updated_at": now})


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
    _update_keys(session, key_ids, {"checked_at": at})


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
    _update_keys(session, key_ids, {"dead_at": None, "dead_reason": "", "revision": revision})
    health = tables.KeyHealth
    for piece in pieces(key_ids):
        for row in session.scalars(select(health).where(health.key_id.in_(piece))):
            session.delete(row)


def bin_keys(session: Session, key_ids: list[int], now: float) -> int:
    revision = next_revision(session)
    return _update_keys(session, key_ids, {"deleted_at": now, "revision": revision})


def restore_keys(session: Session, key_ids: list[int]) -> int:
    revision = next_revision(session)
    count = _update_keys(session, key_ids, {"deleted_at": None, "revision": revision})
    _seat_again(session, key_ids, revision)
    return count


def _update_keys(session: Session, key_ids: list[int], values: dict[str, Any]) -> int:
    count = 0
    for piece in pieces(key_ids):
        result = session.execute(update(tables.Key).where(tables.Key.id.in_(piece)).values(**values))
        count += result.rowcount  # type: ignore[attr-defined]
    return count


def pieces(key_ids: list[int]) -> Iterator[list[int]]:
    return (key_ids[at : at + 500] for at in range(0, len(key_ids), 500))
