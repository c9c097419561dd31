"""The keys of a document: which are new here, and how a slice of them is written in one short transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import next_revision
from pool.adapters.vault import Vault
from pool.core.documents import KeyEntry, Seat, sendable
from pool.core.masking import is_masked, mask

from .frame import Plan, sealed_proxy

ADDED, LINKED, RESTORED, DUPLICATE = "added", "linked", "restored", "duplicate"
MASKED, IMPOSSIBLE = "masked", "impossible"

_Place = tuple[int, bytes]


class Counts(Counter[str]):
    """How many keys met which fate."""

    def count(self, fate: str) -> None:
        self[fate] += 1

    def as_dict(self) -> dict[str, int]:
        return {fate: self[fate] for fate in (ADDED, LINKED, RESTORED, DUPLICATE, MASKED, IMPOSSIBLE)}


@dataclass(frozen=True, slots=True)
class Batch:
    """The import that rows are made by."""

    id: int
    origin: str


def begin(session: Session, plan: Plan, origin: str, who: str, now: float) -> Batch:
    row = tables.Import(at=now, who=who, origin=origin, pool_id=plan.pool_ids[plan.target])
    session.add(row)
    session.flush()
    return Batch(row.id, origin)


def end(session: Session, batch: Batch, counts: Counts, now: float) -> bool:
    """Keep what became of it; False where no row is its own, and it is forgotten."""
    row = session.get(tables.Import, batch.id)
    if row is None:
        return False
    if not any(counts[fate] for fate in (ADDED, LINKED, RESTORED)):
        session.delete(row)
        return False
    row.counts = {fate: count for fate, count in counts.items() if count}
    row.ended_at = now
    return True


def foresee(session: Session, vault: Vault, entries: Sequence[KeyEntry], plan: Plan, seen: set[_Place]) -> list[str]:
    """What would become of each. Only reads, but for `seen`."""
    coming = {each.slug for each in plan.providers}
    places = [_place(entry, vault, plan) for entry in entries]
    known = _known(session, [place for place in places if place])
    seats = _seats(session, [row.id for row in known.values()])
    fates = []
    for entry, place in zip(entries, places, strict=True):
        if place is None:
            place = _coming(entry, vault) if entry.provider in coming and sendable(entry.secret) else None
            if is_masked(entry.secret) or place is None:
                fates.append(MASKED if is_masked(entry.secret) else IMPOSSIBLE)
                continue
        row = known.get(place)
        if place in seen:
            fates.append(DUPLICATE)
        elif row is None:
            fates.append(ADDED)
        elif row.deleted_at is not None:
            fates.append(RESTORED)
        else:
            live = {seat.pool_id for seat in seats.get(row.id, []) if seat.removed_at is None}
            wanted = {plan.pool_ids.get(seat.pool) for seat in _wanted(entry, plan)}
            fates.append(DUPLICATE if wanted <= live else LINKED)
        seen.add(place)
    return fates


def put(
    session: Session,
    vault: Vault,
    entries: Sequence[KeyEntry],
    plan: Plan,
    seen: set[_Place],
    batch: Batch,
    now: float,
) -> list[str]:
    """Write a slice; what became of each."""
    revision = next_revision(session)
    places = [_place(entry, vault, plan) for entry in entries]
    known = _known(session, [place for place in places if place])
    seats = _seats(session, [row.id for row in known.values()])
    fresh: dict[_Place, KeyEntry] = {}
    fates = []
    for entry, place in zip(entries, places, strict=True):
        if place is None:
            fates.append(MASKED if is_masked(entry.secret) else IMPOSSIBLE)
        elif place in seen:
            fates.append(DUPLICATE)
        elif (row := known.get(place)) is not None:
            fates.append(_meet(session, vault, row, entry, plan, seats.get(row.id, []), batch, revision, now))
        else:
            fresh[place] = entry
            fates.append(ADDED)
        if place is not None:
            seen.add(place)
    _insert(session, vault, fresh, plan, batch, revision, now)
    return fates


def _place(entry: KeyEntry, vault: Vault, plan: Plan) -> _Place | None:
    """Where a key belongs; None where it cannot be taken in."""
    provider_id = plan.provider_ids.get(entry.provider)
    if provider_id is None or is_masked(entry.secret) or not sendable(entry.secret):
        return None
    return provider_id, vault.fingerprint(entry.provider, entry.secret)


def _coming(entry: KeyEntry, vault: Vault) -> _Place:
    """The place at a provider that has no id yet."""
    return 0, vault.fingerprint(entry.provider, entry.secret)


def _known(session: Session, places: Iterable[_Place]) -> dict[_Place, tables.Key]:
    provider_ids, fingerprints = {place[0] for place in places}, {place[1] for place in places}
    named = tables.Key.provider_id.in_(provider_ids), tables.Key.fingerprint.in_(fingerprints)
    return {(row.provider_id, row.fingerprint): row for row in session.scalars(select(tables.Key).where(*named))}


def _seats(session: Session, key_ids: Sequence[int]) -> dict[int, list[tables.Membership]]:
    found: dict[int, list[tables.Membership]] = {}
    member = tables.Membership
    for seat in session.scalars(select(member).where(member.key_id.in_(key_ids))) if key_ids else ():
        found.setdefault(seat.key_id, []).append(seat)
    return found


def _wanted(entry: KeyEntry, plan: Plan) -> list[Seat]:
    """The seats of a key in pools there are or will be, each pool once; the target where it has none."""
    coming = {each.name for each in plan.pools}
    seats = {
        plan.pool_ids.get(seat.pool, seat.pool): seat
        for seat in entry.seats
        if seat.pool in plan.pool_ids or seat.pool in coming
    }
    return list(seats.values()) or [Seat(plan.target)]


def _meet(
    session: Session,
    vault: Vault,
    row: tables.Key,
    entry: KeyEntry,
    plan: Plan,
    seats: list[tables.Membership],
    batch: Batch,
    revision: int,
    now: float,
) -> str:
    """A key that is here: nothing said of it changes, but it may come back from the bin, and join pools."""
    fate = DUPLICATE
    if row.deleted_at is not None:
        row.deleted_at, row.revision, fate = None, revision, RESTORED
        row.restored_by, row.updated_at = batch.id, now
        row.secret = row.secret or vault.encrypt(entry.secret)
        for each in seats:
            each.revision = revision  # the catalogue dropped the seats with the key
    known = {each.pool_id: each for each in seats}
    for seat in _wanted(entry, plan):
        pool_id = plan.pool_ids[seat.pool]
        there = known.get(pool_id)
        if there is not None and there.removed_at is None:
            continue
        if there is None:
            there = tables.Membership(pool_id=pool_id, key_id=row.id, created_at=now)
            session.add(there)
        there.weight, there.tier, there.enabled, there.removed_at = seat.weight, seat.tier, seat.enabled, None
        there.revision, there.import_id = revision, batch.id
        fate = LINKED if fate == DUPLICATE else fate
    return fate


def _insert(
    session: Session,
    vault: Vault,
    fresh: dict[_Place, KeyEntry],
    plan: Plan,
    batch: Batch,
    revision: int,
    now: float,
) -> None:
    if not fresh:
        return
    rows = [_row(entry, place, vault, batch, revision, now) for place, entry in fresh.items()]
    ids = session.scalars(insert(tables.Key).returning(tables.Key.id, sort_by_parameter_order=True), rows)
    common = {"import_id": batch.id, "revision": revision, "created_at": now}
    members = [
        {**common, "key_id": key_id, "pool_id": plan.pool_ids[seat.pool], "weight": seat.weight, "tier": seat.tier,
         "enabled": seat.enabled}
        for key_id, entry in zip(ids, fresh.values(), strict=True)
        for seat in _wanted(entry, plan)
    ]  # fmt: skip
    session.execute(insert(tables.Membership), members)


def _row(entry: KeyEntry, place: _Place, vault: Vault, batch: Batch, revision: int, now: float) -> dict[str, Any]:
    prefix, _, suffix = mask(entry.secret).partition("...")
    return {
        "public_id": f"key_{int(now * 1000)}_{token_hex(5)}", "provider_id": place[0],
        "secret": vault.encrypt(entry.secret), "fingerprint": place[1], "hint_prefix": prefix if suffix else "",
        "hint_suffix": suffix, "name": entry.name, "note": entry.note, "email": entry.email,
        "tags": list(entry.tags) or None, "project": entry.project, "limits": dict(entry.limits or {}) or None,
        "max_requests": entry.max_requests, "max_requests_window": entry.max_requests_window,
        "proxy_url": sealed_proxy(vault, entry.proxy_url), "fallback_to_direct": entry.fallback_to_direct,
        "disabled_at": now if entry.disabled else None, "disabled_until": entry.disabled_until,
        "dead_at": None if entry.dead_reason is None else now, "dead_reason": entry.dead_reason or "",
        "origin": batch.origin, "import_id": batch.id, "created_at": now, "updated_at": now, "revision": revision,
    }  # fmt: skip
