"""What the operator owns, in SQL and in memory at once: every change is written, then taken over by the catalogue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any

import gevent
from gevent.lock import RLock
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from pool.core.catalogue import Catalogue, Client, Credential, Pool
from pool.core.keys import FOREVER, Key
from pool.core.masking import mask
from pool.core.providers import PROVIDERS, Provider
from pool.core.rotation import Member

from . import tables
from .database import Database, next_revision
from .vault import Vault

PIECE = 2_000
"""Rows taken over between two yields of the hub."""

BIN_S = 7 * 86_400.0


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


class Inventory:
    """The one writer of pools, keys, memberships and client keys."""

    def __init__(
        self, database: Database, vault: Vault, catalogue: Catalogue, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._vault = vault
        self._catalogue = catalogue
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self._refreshing = RLock()

    def on_change(self, hear: Callable[[], None]) -> None:
        """Call `hear` after the catalogue took over a change."""
        self._listeners.append(hear)

    # -- from SQL into memory -------------------------------------------------------------------------------

    def load(self) -> None:
        """Fill the empty catalogue, with what is known against keys."""
        self.refresh()
        now = self._clock()
        for key_id, model, reason, until in self._database.read(_health, now):
            self._catalogue.bench(key_id, reason, FOREVER if until is None else until, model)

    def refresh(self) -> None:
        """Take over what changed since the last time."""
        with self._refreshing:
            self._refresh()
        for hear in self._listeners:
            hear()

    def _refresh(self) -> None:
        catalogue, now = self._catalogue, self._clock()
        few = self._database.read(_few, self._vault)
        catalogue.providers = few.providers
        catalogue.keep_pools(few.pools)
        catalogue.credentials = few.credentials
        known = catalogue.revision
        newest = few.revision
        for rows in self._pages(_keys_since, known, newest):
            for row in rows:
                if row[-1]:
                    catalogue.drop_key(row[0])
                else:
                    catalogue.put_key(_key(row, self._vault), now)
        for rows in self._pages(_members_since, known, newest):
            for pool_id, key_id, weight, tier, seated in rows:
                if seated and pool_id in catalogue.pools and key_id in catalogue.keys:
                    catalogue.put_member(pool_id, Member(key_id, weight, tier), now)
                else:
                    catalogue.drop_member(pool_id, key_id)
        catalogue.drop_rotations()
        catalogue.revision = newest

    def _pages(self, query: Callable[..., Any], known: int, newest: int) -> Iterator[Sequence[Any]]:
        after: tuple[int, int] = (0, 0)
        while rows := self._database.read(query, known, newest, after, PIECE):
            yield rows
            after = (rows[-1][0], rows[-1][1]) if query is _members_since else (rows[-1][0], 0)
            gevent.sleep(0)

    def unseal(self, key: Key) -> str:
        """The key itself; decrypted once, then kept."""
        if key.secret is None:
            key.secret = self._vault.decrypt(key.sealed)
        return key.secret

    # -- at the start ---------------------------------------------------------------------------------------

    def found(self, urls: dict[str, str]) -> None:
        """Make what must exist: the built-in providers (at the URLs given) and the pool `default`."""
        self._database.write(_found, self._vault, urls, self._clock())

    def merge_environment(self, secrets: Iterable[tuple[str, str]], proxy_key: str | None) -> None:
        """Keys of the environment join the pool `default`; one that was disabled or deleted here stays so."""
        keys = [NewKey(provider, secret) for provider, secret in secrets]
        pool_id = self._database.read(_default_pool)
        if keys:
            self._database.write(_add_keys, self._vault, keys, pool_id, "env", "environment", self._clock())
        self._database.write(_set_proxy_key, self._vault, pool_id, proxy_key, self._clock())

    # -- changes --------------------------------------------------------------------------------------------

    def add_keys(self, keys: Sequence[NewKey], pool_id: int, origin: str, who: str) -> list[Taken]:
        """Take keys into a pool, in one transaction. Known ones are linked; a binned one is restored."""
        taken = self._database.write(_add_keys, self._vault, list(keys), pool_id, origin, who, self._clock())
        self.refresh()
        return taken

    def set_disabled(self, key_ids: Sequence[int], until: float | None) -> int:
        """Disable keys until a moment (FOREVER: until somebody says otherwise), or enable them with None."""
        count = self._database.write(_set_disabled, list(key_ids), until, self._clock())
        self.refresh()
        return count

    def revive(self, key_ids: Sequence[int]) -> None:
        """Forget what is known against keys: they are used again at once."""
        self._database.write(_revive, list(key_ids))
        for key_id in key_ids:
            self._catalogue.release(key_id)
        self.refresh()

    def bin_keys(self, key_ids: Sequence[int]) -> int:
        """Delete keys; the bin keeps them for seven days."""
        count = self._database.write(_bin_keys, list(key_ids), self._clock())
        self.refresh()
        return count

    def restore_keys(self, key_ids: Sequence[int]) -> int:
        count = self._database.write(_restore_keys, list(key_ids))
        self.refresh()
        return count

    def create_pool(self, name: str, **fields: Any) -> tuple[int, str]:
        """A new pool: its id and its auth key."""
        made = self._database.write(_create_pool, self._vault, name, fields, self._clock())
        self.refresh()
        return made

    def update_pool(self, pool_id: int, **fields: Any) -> None:
        self._database.write(_update_pool, pool_id, fields, self._clock())
        self.refresh()

    def regenerate_auth(self, pool_id: int, grace_s: float = 0.0) -> str:
        """A new auth key for a pool; the old one works on for `grace_s` seconds."""
        token = self._database.write(_regenerate_auth, self._vault, pool_id, grace_s, self._clock())
        self.refresh()
        return token

    def auth_key(self, pool_id: int) -> str:
        """A pool's auth key, as it was given out."""
        return self._vault.decrypt(self._database.read(_sealed_auth, pool_id))

    def delete_pool(self, pool_id: int) -> None:
        """Unlink its keys; those left in no pool go to `default`. Raises ValueError for `default` itself."""
        self._database.write(_delete_pool, pool_id, self._clock())
        self.refresh()

    def create_client(self, name: str, pool_id: int, **fields: Any) -> tuple[int, str]:
        """A new user key: its id and the key itself, which is stored nowhere."""
        token = "sk-" + token_hex(24)
        client_id = self._database.write(_create_client, self._vault, token, name, pool_id, fields, self._clock())
        self.refresh()
        return client_id, token

    def revoke_client(self, client_id: int) -> None:
        self._database.write(_revoke_client, client_id, self._clock())
        self.refresh()


# -- reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Few:
    """The tables that are small enough to be read whole at every change."""

    providers: dict[str, Provider]
    pools: list[Pool]
    credentials: dict[bytes, Credential]
    revision: int


def _few(session: Session, vault: Vault) -> _Few:
    providers = {}
    for row in session.scalars(select(tables.Provider).where(tables.Provider.enabled).order_by(tables.Provider.id)):
        proxy_url = vault.decrypt(row.proxy_url) if row.proxy_url else None
        providers[row.slug] = Provider(row.slug, row.dialect, row.base_url, proxy_url, row.fallback_to_direct)
    pools, credentials = [], {}
    for pool in session.scalars(select(tables.Pool).order_by(tables.Pool.id)):
        pools.append(
            Pool(
                pool.id, pool.public_id, pool.name, pool.enabled, pool.policy, tuple(pool.allowed_models or ()),
                dict(pool.aliases or {}), pool.fallback_pool_id, pool.is_default,
            )
        )  # fmt: skip
        credentials[pool.auth_digest] = Credential(pool.id)
        if pool.previous_auth_digest and pool.previous_auth_until:
            credentials[pool.previous_auth_digest] = Credential(pool.id, None, pool.previous_auth_until)
    for holder in session.scalars(select(tables.ClientKey)):
        client = _client(holder)
        credentials[holder.digest] = Credential(holder.pool_id, client)
        if holder.previous_digest and holder.overlap_until:
            credentials[holder.previous_digest] = Credential(holder.pool_id, client, holder.overlap_until)
    revision = session.scalar(select(tables.Meta.number).where(tables.Meta.name == "revision")) or 0
    return _Few(_with_openai_layer(providers), pools, credentials, revision)


def _with_openai_layer(providers: dict[str, Provider]) -> dict[str, Provider]:
    """`OPENAI_UPSTREAM_URL` may name Google's own OpenAI-style endpoint: it then takes the Gemini keys' chats."""
    url = providers["openai"].base_url if "openai" in providers else ""
    if url.endswith("/openai") and "gemini" in providers:
        providers["gemini"] = replace(providers["gemini"], openai_url=url)
    return providers


def _client(row: tables.ClientKey) -> Client:
    limits = {
        name: value
        for name in ("rpm_limit", "tpm_limit", "rpd_limit", "concurrency_limit", "budget_usd_day", "budget_usd_month")
        if (value := getattr(row, name)) is not None
    }
    return Client(
        row.id, row.name, row.pool_id, row.expires_at, row.revoked_at, tuple(row.allowed_models or ()),
        tuple(row.allowed_ips or ()), frozenset(row.permissions or ()), limits,
    )  # fmt: skip


def _keys_since(session: Session, known: int, newest: int, after: tuple[int, int], size: int) -> Sequence[Any]:
    key = tables.Key
    query = (
        select(
            key.id, key.public_id, tables.Provider.slug, key.hint_prefix, key.hint_suffix, key.secret, key.project,
            key.disabled_at, key.disabled_until, key.dead_at, key.dead_reason, key.max_requests,
            key.max_requests_window, key.proxy_url, key.deleted_at,
        )
        .join(tables.Provider)
        .where(key.revision > known, key.revision <= newest, key.id > after[0])
        .order_by(key.id)
        .limit(size)
    )  # fmt: skip
    if not known:
        query = query.where(key.deleted_at.is_(None))
    return [tuple(row) for row in session.execute(query)]


def _key(row: Sequence[Any], vault: Vault) -> Key:
    (key_id, public_id, provider, prefix, suffix, sealed, project, disabled_at, disabled_until, dead_at, dead_reason,
     max_requests, window, proxy_url, _) = row  # fmt: skip
    until = None if disabled_at is None else FOREVER if disabled_until is None else disabled_until
    return Key(
        key_id, public_id, provider, f"{prefix}...{suffix}" if prefix else "***", sealed or b"", project or None,
        until, None if dead_at is None else dead_reason or "refused", max_requests, window,
        vault.decrypt(proxy_url) if proxy_url else None,
    )  # fmt: skip


def _members_since(session: Session, known: int, newest: int, after: tuple[int, int], size: int) -> Sequence[Any]:
    member = tables.Membership
    query = (
        select(
            member.pool_id, member.key_id, member.weight, member.tier, member.removed_at.is_(None) & member.enabled
        )
        .where(
            member.revision > known,
            member.revision <= newest,
            (member.pool_id > after[0]) | ((member.pool_id == after[0]) & (member.key_id > after[1])),
        )
        .order_by(member.pool_id, member.key_id)
        .limit(size)
    )
    return [tuple(row) for row in session.execute(query)]


def _health(session: Session, now: float) -> list[tuple[int, str, str, float | None]]:
    health = tables.KeyHealth
    query = select(health.key_id, health.model, health.reason, health.until).where(
        health.until.is_(None) | (health.until > now)
    )
    return [(row[0], row[1], row[2], row[3]) for row in session.execute(query)]


def _default_pool(session: Session) -> int:
    pool_id = session.scalar(select(tables.Pool.id).where(tables.Pool.is_default))
    assert pool_id is not None
    return pool_id


def _sealed_auth(session: Session, pool_id: int) -> bytes:
    sealed = session.scalar(select(tables.Pool.auth_sealed).where(tables.Pool.id == pool_id))
    if sealed is None:
        raise LookupError(pool_id)
    return sealed


# -- writing ------------------------------------------------------------------------------------------------


def _found(session: Session, vault: Vault, urls: dict[str, str], now: float) -> None:
    known = {row.slug: row for row in session.scalars(select(tables.Provider))}
    for position, (slug, provider) in enumerate(PROVIDERS.items()):
        url = urls.get(slug) or provider.base_url
        if slug not in known:
            session.add(
                tables.Provider(slug=slug, dialect=provider.dialect, base_url=url, builtin=True, position=position)
            )
        elif urls.get(slug) or known[slug].base_url == "":
            known[slug].base_url = url
    if session.scalar(select(tables.Pool.id).where(tables.Pool.is_default)) is None:
        _new_pool(session, vault, "default", {"is_default": True}, now)
    next_revision(session)


def _new_pool(session: Session, vault: Vault, name: str, fields: dict[str, Any], now: float) -> tuple[int, str]:
    token = "sk-pool-" + token_hex(16)
    pool = tables.Pool(
        public_id="pool-" + token_hex(16), name=name, auth_digest=vault.digest(token),
        auth_sealed=vault.encrypt(token), auth_hint=mask(token), created_at=now, updated_at=now, **fields,
    )  # fmt: skip
    session.add(pool)
    session.flush()
    return pool.id, token


def _create_pool(session: Session, vault: Vault, name: str, fields: dict[str, Any], now: float) -> tuple[int, str]:
    next_revision(session)
    return _new_pool(session, vault, name, fields, now)


def _update_pool(session: Session, pool_id: int, fields: dict[str, Any], now: float) -> None:
    next_revision(session)
    session.execute(update(tables.Pool).where(tables.Pool.id == pool_id).values(**fields, updated_at=now))


def _regenerate_auth(session: Session, vault: Vault, pool_id: int, grace_s: float, now: float) -> str:
    next_revision(session)
    pool = session.get_one(tables.Pool, pool_id)
    token = "sk-pool-" + token_hex(16)
    pool.previous_auth_digest = pool.auth_digest if grace_s else None
    pool.previous_auth_until = now + grace_s if grace_s else None
    pool.auth_digest, pool.auth_sealed, pool.auth_hint = vault.digest(token), vault.encrypt(token), mask(token)
    pool.updated_at = now
    return token


def _delete_pool(session: Session, pool_id: int, now: float) -> None:
    revision = next_revision(session)
    default_id = _default_pool(session)
    if pool_id == default_id:
        raise ValueError("the pool `default` cannot be deleted")
    member = tables.Membership
    mine = select(member.key_id).where(member.pool_id == pool_id, member.removed_at.is_(None))
    elsewhere = select(member.key_id).where(member.pool_id != pool_id, member.removed_at.is_(None))
    homeless = list(session.scalars(mine.where(member.key_id.not_in(elsewhere))))
    for piece in _pieces(homeless):
        seats = _seats(session, default_id, piece)
        for key_id in piece:
            _seat(session, seats.get(key_id), default_id, key_id, 1, revision, now)
    pool = session.get(tables.Pool, pool_id)
    if pool is not None:
        session.delete(pool)


def _add_keys(
    session: Session, vault: Vault, keys: list[NewKey], pool_id: int, origin: str, who: str, now: float
) -> list[Taken]:
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
    rows = session.scalars(select(tables.Key).where(tables.Key.fingerprint.in_({print_ for _, print_ in prints})))
    known = {(row.provider_id, row.fingerprint): row for row in rows}
    fresh: dict[tuple[int, bytes], tables.Key] = {}
    for key, place in zip(keys, prints, strict=True):
        if place not in known and place not in fresh:
            fresh[place] = _new_key(key, place, vault, batch, revision, now)
    session.add_all(fresh.values())
    session.flush()
    known |= fresh
    seats = _seats(session, pool_id, [row.id for row in known.values()])
    taken, restored = [], []
    for key, place in zip(keys, prints, strict=True):
        row = known[place]
        seat = seats.get(row.id)
        if fresh.pop(place, None):
            fate = "added"
        elif row.deleted_at is not None and batch.origin != "env":
            row.deleted_at, row.revision, fate = None, revision, "restored"
            row.secret = row.secret or vault.encrypt(key.secret)
            restored.append(row.id)
        elif row.deleted_at is not None or (seat and (seat.removed_at is None or batch.origin == "env")):
            fate = "duplicate"
        else:
            fate = "linked"
        if fate != "duplicate":
            seats[row.id] = _seat(session, seat, pool_id, row.id, key.weight, revision, now, batch.id)
        taken.append(Taken(row.id, fate))
    _seat_again(session, restored, revision)
    return taken


def _seats(session: Session, pool_id: int, key_ids: list[int]) -> dict[int, tables.Membership]:
    """The memberships of keys in a pool, removed ones too."""
    member = tables.Membership
    query = select(member).where(member.pool_id == pool_id, member.key_id.in_(key_ids))
    return {seat.key_id: seat for seat in session.scalars(query)}


def _seat_again(session: Session, key_ids: list[int], revision: int) -> None:
    """The catalogue drops the seats of a binned key: it must read those of a restored one again."""
    member = tables.Membership
    for piece in _pieces(key_ids):
        session.execute(update(member).where(member.key_id.in_(piece)).values(revision=revision))


def _new_key(
    key: NewKey, place: tuple[int, bytes], vault: Vault, batch: tables.Import, revision: int, now: float
) -> tables.Key:
    prefix, _, suffix = mask(key.secret).partition("...")
    return tables.Key(
        public_id=f"key_{int(now * 1000)}_{token_hex(5)}", provider_id=place[0], secret=vault.encrypt(key.secret),
        fingerprint=place[1], hint_prefix=prefix if suffix else "", hint_suffix=suffix, name=key.name, note=key.note,
        email=key.email, tags=list(key.tags) or None, project=key.project, max_requests=key.max_requests,
        origin=batch.origin, import_id=batch.id, created_at=now, updated_at=now, revision=revision,
    )  # fmt: skip


def _seat(
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


def _set_disabled(session: Session, key_ids: list[int], until: float | None, now: float) -> int:
    revision = next_revision(session)
    values = {
        "disabled_at": None if until is None else now,
        "disabled_until": None if until in (None, FOREVER) else until,
        "revision": revision,
        "updated_at": now,
    }
    return _update_keys(session, key_ids, values)


def _revive(session: Session, key_ids: list[int]) -> None:
    revision = next_revision(session)
    _update_keys(session, key_ids, {"dead_at": None, "dead_reason": "", "revision": revision})
    health = tables.KeyHealth
    for piece in _pieces(key_ids):
        for row in session.scalars(select(health).where(health.key_id.in_(piece))):
            session.delete(row)


def _bin_keys(session: Session, key_ids: list[int], now: float) -> int:
    revision = next_revision(session)
    return _update_keys(session, key_ids, {"deleted_at": now, "revision": revision})


def _restore_keys(session: Session, key_ids: list[int]) -> int:
    revision = next_revision(session)
    count = _update_keys(session, key_ids, {"deleted_at": None, "revision": revision})
    _seat_again(session, key_ids, revision)
    return count


def _update_keys(session: Session, key_ids: list[int], values: dict[str, Any]) -> int:
    count = 0
    for piece in _pieces(key_ids):
        result = session.execute(update(tables.Key).where(tables.Key.id.in_(piece)).values(**values))
        count += result.rowcount  # type: ignore[attr-defined]
    return count


def _pieces(key_ids: list[int]) -> Iterator[list[int]]:
    return (key_ids[at : at + 500] for at in range(0, len(key_ids), 500))


def _create_client(
    session: Session, vault: Vault, token: str, name: str, pool_id: int, fields: dict[str, Any], now: float
) -> int:
    next_revision(session)
    client = tables.ClientKey(
        name=name, pool_id=pool_id, digest=vault.digest(token), hint=mask(token), created_at=now, updated_at=now,
        **fields,
    )  # fmt: skip
    session.add(client)
    session.flush()
    return client.id


def _revoke_client(session: Session, client_id: int, now: float) -> None:
    next_revision(session)
    client = tables.ClientKey
    session.execute(update(client).where(client.id == client_id, client.revoked_at.is_(None)).values(revoked_at=now))


def _set_proxy_key(session: Session, vault: Vault, pool_id: int, token: str | None, now: float) -> None:
    """`PROXY_API_KEY` is a client key of `default`; without the variable the one it made before ends."""
    next_revision(session)
    client = tables.ClientKey
    digest = vault.digest(token) if token else b""
    made_here = select(client).where(client.origin == "env", client.revoked_at.is_(None), client.digest != digest)
    for row in session.scalars(made_here):
        row.revoked_at = now
    if not token:
        return
    known = session.scalar(select(client).where(client.digest == digest))
    if known is None:
        session.add(client(name="PROXY_API_KEY", pool_id=pool_id, digest=digest, hint=mask(token), origin="env"))
    elif known.origin == "env":
        known.revoked_at = None


def count_keys(session: Session) -> int:
    """Keys that are not in the bin."""
    return session.scalar(select(func.count()).select_from(tables.Key).where(tables.Key.deleted_at.is_(None))) or 0
