"""What the catalogue reads: the small tables whole, keys and memberships by what changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from sys import intern
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.vault import FINGERPRINT_KEY, Vault, packed
from pool.core.catalogue import Client, Credential, Pool
from pool.core.keys import FOREVER, Key
from pool.core.limits import KEY_LIMITS, LIMIT_NAMES
from pool.core.providers import Provider


@dataclass(frozen=True, slots=True)
class Few:
    """The tables that are small enough to be read whole at every change. `slugs`: switched-off providers', too.

    `restored` counts the backups that replaced everything; `fingerprint_key` is as it is stored.
    """

    providers: dict[str, Provider]
    slugs: frozenset[str]
    pools: list[Pool]
    credentials: dict[bytes, Credential]
    revision: int
    restored: int
    fingerprint_key: str


def few(session: Session, vault: Vault) -> Few:
    rows = list(session.scalars(select(tables.Provider).order_by(tables.Provider.id)))
    providers = {row.slug: _provider(row, vault) for row in rows if row.enabled}
    pools, credentials = [], {}
    for pool in session.scalars(select(tables.Pool).order_by(tables.Pool.id)):
        pools.append(
            Pool(
                pool.id, pool.public_id, pool.name, pool.enabled, pool.policy, tuple(pool.allowed_models or ()),
                dict(pool.aliases or {}), pool.fallback_pool_id, pool.is_default, holder_limits(pool.limits or {}),
            )
        )  # fmt: skip
        credentials[pool.auth_digest] = Credential(pool.id)
        if pool.previous_auth_digest and pool.previous_auth_until:
            credentials[pool.previous_auth_digest] = Credential(pool.id, None, pool.previous_auth_until)
        for digest, until in (pool.older_auth or {}).items():
            credentials[bytes.fromhex(digest)] = Credential(pool.id, None, until)
    client_key = tables.ClientKey
    # Columns, not objects: there may be thousands of client keys, and each change of any key reads them.
    for holder in session.execute(select(*(getattr(client_key, name) for name in _CLIENT))):
        client = _client(holder)
        credentials[holder.digest] = Credential(holder.pool_id, client)
        if holder.previous_digest and holder.overlap_until:
            credentials[holder.previous_digest] = Credential(holder.pool_id, client, holder.overlap_until)
    slugs = frozenset(row.slug for row in rows)
    restored = session.scalar(select(tables.Meta.number).where(tables.Meta.name == "restored")) or 0
    fingerprint_key = session.scalar(select(tables.Meta.value).where(tables.Meta.name == FINGERPRINT_KEY)) or ""
    return Few(
        _with_openai_layer(providers), slugs, pools, credentials, revision(session), restored, fingerprint_key
    )  # fmt: skip


def _provider(row: tables.Provider, vault: Vault) -> Provider:
    return Provider(
        row.slug, row.dialect, row.base_url, vault.decrypt(row.proxy_url) if row.proxy_url else None,
        row.fallback_to_direct, key_header=row.key_header, timeouts=row.timeouts or None,
    )  # fmt: skip


def revision(session: Session) -> int:
    """Grows with every change of the inventory."""
    return session.scalar(select(tables.Meta.number).where(tables.Meta.name == "revision")) or 0


def _with_openai_layer(providers: dict[str, Provider]) -> dict[str, Provider]:
    """`OPENAI_UPSTREAM_URL` may name Google's own OpenAI-style endpoint: it then takes the Gemini keys' chats."""
    url = providers["openai"].base_url if "openai" in providers else ""
    if url.endswith("/openai") and "gemini" in providers:
        providers["gemini"] = replace(providers["gemini"], openai_url=url)
    return providers


_CLIENT = (
    "id", "name", "pool_id", "digest", "previous_digest", "overlap_until", "expires_at", "revoked_at", "allowed_models",
    "allowed_ips", "permissions", *LIMIT_NAMES,
)  # fmt: skip
"""Columns of a client key."""


def _client(row: Any) -> Client:
    limits = {name: value for name in LIMIT_NAMES if (value := getattr(row, name)) is not None}
    return Client(
        row.id, row.name, row.pool_id, row.expires_at, row.revoked_at, tuple(row.allowed_models or ()),
        tuple(row.allowed_ips or ()), frozenset(row.permissions or ()), limits,
    )  # fmt: skip


def holder_limits(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A pool's limits as the hot path wants them: numbers only, in the order of their names."""
    return {name: stored[name] for name in LIMIT_NAMES if isinstance(stored.get(name), int | float)}


def key_limits(stored: Mapping[str, Any] | None) -> dict[str, dict[str, int]] | None:
    """A key's limits by model, as far as they are whole numbers."""
    limits = {
        model: {name: each[name] for name in KEY_LIMITS if isinstance(each.get(name), int)}
        for model, each in (stored or {}).items()
        if isinstance(each, dict)
    }
    return {model: each for model, each in limits.items() if each} or None


Place = tuple[int, ...]
"""The revision of a row and its primary key: where the next page begins."""

BEGINNING: Place = (0, 0, 0)


def keys_since(session: Session, known: int, after: Place, size: int) -> tuple[list[Any], Place]:
    """Keys that changed since, and the place after them; what changes meanwhile is among them, too.

    A key that was left out because it is newer than the rest would miss when its memberships are read, and these are
    not read again. Page by page along the index of revisions. An outer join, because SQLite's statistics take a
    provider's keys for few: it would begin with the providers, and look through all of their keys for the changed ones.
    """
    key, (revision, key_id, _) = tables.Key, after
    query = (
        select(
            key.id, tables.Provider.slug, key.hint_prefix, key.hint_suffix, key.secret, key.project,
            key.disabled_at, key.disabled_until, key.dead_at, key.dead_reason, key.max_requests,
            key.max_requests_window, key.proxy_url, key.limits, key.fallback_to_direct, key.deleted_at, key.revision,
        )
        .outerjoin(tables.Provider)
        .where(tuple_(key.revision, key.id) > (max(revision, known + 1), key_id))
        .order_by(key.revision, key.id)
        .limit(size)
    )  # fmt: skip
    if not known:
        query = query.where(key.deleted_at.is_(None))
    rows = [tuple(row) for row in session.execute(query)]
    return [row[:-1] for row in rows], (rows[-1][-1], rows[-1][0], 0) if rows else after


def key(row: Sequence[Any], vault: Vault) -> Key:
    (key_id, provider, prefix, suffix, sealed, project, disabled_at, disabled_until, dead_at, dead_reason,
     max_requests, window, proxy_url, limits, to_direct, _) = row  # fmt: skip
    until = None if disabled_at is None else FOREVER if disabled_until is None else disabled_until
    dead = None if dead_at is None else dead_reason or "refused"
    return Key(
        key_id, intern(provider), f"{prefix}...{suffix}" if prefix else "***", packed(sealed or b""),
        intern(project) or None, until, dead, max_requests, intern(window),
        vault.decrypt(proxy_url) if proxy_url else None, limits=key_limits(limits), fallback_to_direct=to_direct,
    )  # fmt: skip


def members_since(session: Session, known: int, after: Place, size: int) -> tuple[list[Any], Place]:
    """Memberships that changed since, and the place after them."""
    member, (revision, *place) = tables.Membership, after
    seated = member.removed_at.is_(None) & member.enabled
    query = (
        select(member.pool_id, member.key_id, member.weight, member.tier, seated, member.revision)
        .where(tuple_(member.revision, member.pool_id, member.key_id) > (max(revision, known + 1), *place))
        .order_by(member.revision, member.pool_id, member.key_id)
        .limit(size)
    )
    rows = [tuple(row) for row in session.execute(query)]
    return [row[:-1] for row in rows], (rows[-1][-1], *rows[-1][:2]) if rows else after


def health(
    session: Session, now: float, after: tuple[int, str], size: int
) -> list[tuple[int, str, str, float | None]]:
    """(key, model, reason, until) of what is in force, behind the key and model `after`."""
    health = tables.KeyHealth
    query = (
        select(health.key_id, health.model, health.reason, health.until)
        .where(health.until.is_(None) | (health.until > now), tuple_(health.key_id, health.model) > after)
        .order_by(health.key_id, health.model)
        .limit(size)
    )
    return [(row[0], row[1], row[2], row[3]) for row in session.execute(query)]


def default_pool(session: Session) -> int:
    pool_id = session.scalar(select(tables.Pool.id).where(tables.Pool.is_default))
    assert pool_id is not None
    return pool_id


def sealed_auth(session: Session, pool_id: int) -> bytes:
    sealed = session.scalar(select(tables.Pool.auth_sealed).where(tables.Pool.id == pool_id))
    if sealed is None:
        raise LookupError(pool_id)
    return sealed
