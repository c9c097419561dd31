"""Changing what a person says of keys: words beside them, their secret, their places in pools, their counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import Database, next_revision
from pool.adapters.vault import Vault
from pool.core.catalogue import LIMITED, Catalogue
from pool.core.masking import mask
from pool.core.records import release_line
from pool.core.state import Word
from pool.core.twice import KeyTaken

from .keys import SENDABLE, Disabled, arrange, pieces, put_disabled, update_keys

COLUMNS = frozenset(
    "name note email tags details project fallback_to_direct limits max_requests max_requests_window proxy_url".split()
)
"""What `edit_keys` writes; the proxy's URL is sealed on the way."""


Place = Sequence[Any]
"""A key's place in a pool, as somebody wants it: the pool's id, weight, tier, enabled. What is None or left out stays
as it is, or is what is usual."""


class KeyEditing:
    """The part of `Inventory` that changes single keys, and what many have in common."""

    _database: Database
    _vault: Vault
    _catalogue: Catalogue
    _clock: Callable[[], float]
    _remember: Callable[[bytes], None]
    announce: Callable[[Word], None]

    def refresh(self) -> None:
        raise NotImplementedError

    def edit_keys(self, key_ids: Sequence[int], **fields: Any) -> None:
        """Change columns of keys: those of `COLUMNS`."""
        self._database.write(edit_keys, self._vault, list(key_ids), fields, self._clock())
        self.refresh()

    def change_key(
        self,
        key_id: int,
        secret: str | None = None,
        columns: Mapping[str, Any] | None = None,
        places: Sequence[Place] | None = None,
        disabled: Disabled | None = None,
    ) -> None:
        """Change a key in all of these ways at once or, where it raises `KeyTaken`, in none of them."""
        now = self._clock()

        def change(session: Session) -> None:
            if secret is not None:
                replace_secret(session, self._vault, key_id, secret, now)
            if columns:
                edit_keys(session, self._vault, [key_id], columns, now)
            if places is not None:
                put_places(session, {key_id: places}, now)
            if disabled is not None:
                put_disabled(session, {key_id: disabled}, now)

        self._database.write(change)
        if secret is not None:
            # Into the journal too: what it holds of the key already is drained after this transaction.
            self._remember(release_line(key_id, None, now))
            self.announce(Word(key_id, "", 0.0, None))
        self.refresh()

    def replace_secret(self, key_id: int, secret: str) -> None:
        """Another secret in the place of a key's, of which nothing is known yet. Raises `KeyTaken`."""
        self.change_key(key_id, secret)

    def put_places(self, places: Mapping[int, Sequence[Place]]) -> None:
        """Give each key exactly these places. What a place leaves open stays as it is."""
        self._database.write(put_places, places, self._clock())
        self.refresh()

    def put_weight(self, key_ids: Sequence[int], pool_id: int | None, **fields: int) -> None:
        """Set `weight` or `tier` of keys in a pool, or (None) in all they are in."""
        self._database.write(put_weight, list(key_ids), pool_id, fields)
        self.refresh()

    def put_tags(self, tags: Mapping[int, Sequence[str]]) -> None:
        """Set the tags of each key. The catalogue need not know."""
        self._database.write(put_tags, tags, self._clock())

    def reset_counters(self, key_ids: Sequence[int]) -> None:
        """Count the requests of keys from 0 again. Those that were at their cap are used again at once."""
        self._database.write(reset_counters, list(key_ids))
        for key_id in key_ids:
            for model, bench in self._catalogue.benches(key_id).items():
                if bench.reason == LIMITED:
                    self.announce(Word(key_id, LIMITED, 0.0, model))


def edit_keys(session: Session, vault: Vault, key_ids: list[int], fields: Mapping[str, Any], now: float) -> None:
    unknown = fields.keys() - COLUMNS
    if unknown:
        raise TypeError(f"no columns of a key: {', '.join(sorted(unknown))}")
    values = dict(fields)
    if values.get("proxy_url"):
        values["proxy_url"] = vault.encrypt(values["proxy_url"])
    if "tags" in values:
        values["tags"] = list(values["tags"]) or None
    update_keys(session, key_ids, {**values, "revision": next_revision(session), "updated_at": now})


def replace_secret(session: Session, vault: Vault, key_id: int, secret: str, now: float) -> None:
    if not SENDABLE.fullmatch(secret):
        raise ValueError("a key holds a space, a control character or a letter outside ASCII")
    # First, so that no other writer comes in between.
    revision, key, provider = next_revision(session), tables.Key, tables.Provider
    row = session.get_one(key, key_id)
    slug = session.get_one(provider, row.provider_id).slug
    fingerprint = vault.fingerprint(slug, secret)
    same = select(key.id).where(key.provider_id == row.provider_id, key.fingerprint == fingerprint, key.id != key_id)
    taken = session.scalar(same)
    if taken is not None:
        raise KeyTaken(taken)
    prefix, _, suffix = mask(secret).partition("...")
    row.secret, row.fingerprint = vault.encrypt(secret), fingerprint
    row.hint_prefix, row.hint_suffix = prefix if suffix else "", suffix
    row.dead_at, row.dead_reason, row.checked_at = None, "", None
    row.updated_at, row.revision = now, revision
    session.execute(delete(tables.KeyHealth).where(tables.KeyHealth.key_id == key_id))


def put_places(session: Session, places: Mapping[int, Sequence[Place]], now: float) -> None:
    arrange(session, {key_id: [place[0] for place in each] for key_id, each in places.items()}, now)
    session.flush()
    revision = session.scalar(select(tables.Meta.number).where(tables.Meta.name == "revision")) or 0
    wanted = {(place[0], key_id): place[1:] for key_id, each in places.items() for place in each}
    member = tables.Membership
    for piece in pieces(list(places)):
        for seat in session.scalars(select(member).where(member.key_id.in_(piece), member.removed_at.is_(None))):
            said = zip(("weight", "tier", "enabled"), wanted.get((seat.pool_id, seat.key_id), ()), strict=False)
            for name, value in said:
                if value is not None:
                    setattr(seat, name, value)
            seat.revision = revision


def put_weight(session: Session, key_ids: list[int], pool_id: int | None, fields: Mapping[str, int]) -> None:
    member, revision = tables.Membership, next_revision(session)
    for piece in pieces(key_ids):
        seats = update(member).where(member.key_id.in_(piece), member.removed_at.is_(None))
        if pool_id is not None:
            seats = seats.where(member.pool_id == pool_id)
        session.execute(seats.values(**fields, revision=revision))


def put_tags(session: Session, tags: Mapping[int, Sequence[str]], now: float) -> None:
    columns: Any = tables.Key.__table__
    statement = (
        update(columns)
        .where(columns.c.id == bindparam("at_key"))
        .values(tags=bindparam("words", type_=columns.c.tags.type), updated_at=now)
    )
    rows = [{"at_key": key_id, "words": list(words) or None} for key_id, words in tags.items()]
    if rows:
        session.connection().execute(statement, rows)


def reset_counters(session: Session, key_ids: list[int]) -> None:
    update_keys(session, key_ids, {"requests": 0, "successes": 0, "errors": 0})
