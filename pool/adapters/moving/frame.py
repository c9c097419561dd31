"""The few things round the keys of a document: providers, pools, client keys and settings, planned and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import next_revision
from pool.adapters.vault import Vault
from pool.core.documents import ClientEntry, Document, PoolEntry, ProviderEntry, possible_provider, sendable
from pool.core.masking import is_masked, mask


@dataclass(slots=True)
class Plan:
    """What of a document is new here, and where its names lead. Read before anything is written.

    `pool_ids` has the pools that are here, by the document's names; those of `pools` join it when they are written.
    """

    target: str = ""
    """The name of the pool for keys that name none."""
    providers: list[ProviderEntry] = field(default_factory=list)
    pools: list[PoolEntry] = field(default_factory=list)
    clients: list[ClientEntry] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    known_providers: int = 0
    known_pools: int = 0
    known_clients: int = 0
    known_settings: int = 0
    left_clients: int = 0
    provider_ids: dict[str, int] = field(default_factory=dict)
    pool_ids: dict[str, int] = field(default_factory=dict)
    taken: set[bytes] = field(default_factory=set)
    """Digests that mean a client key or an auth key already."""
    notes: list[str] = field(default_factory=list)


def plan(
    session: Session,
    vault: Vault,
    document: Document,
    pool_id: int | None,
    check: Callable[[str, Any], tuple[str, Any]],
) -> Plan:
    """Compare a document with what is here. Only reads."""
    made = Plan(notes=list(document.notes))
    _plan_providers(session, document, made)
    _plan_pools(session, document, pool_id, made)
    _plan_clients(session, vault, document, made)
    _plan_settings(session, document.settings, check, made)
    return made


def _plan_providers(session: Session, document: Document, made: Plan) -> None:
    known = {row.slug: row for row in session.scalars(select(tables.Provider))}
    made.provider_ids = {slug: row.id for slug, row in known.items()}
    for entry in document.providers:
        row = known.get(entry.slug)
        if row is not None:
            made.known_providers += 1
            if row.base_url.rstrip("/") != entry.base_url.rstrip("/"):
                made.notes.append(f"Provider {entry.slug} has another base URL here; that one stays.")
        elif wrong := possible_provider(replace(entry, proxy_url=None)):
            made.notes.append(f"Provider {entry.slug} {wrong}; it is left out.")
        elif all(entry.slug != each.slug for each in made.providers):
            made.providers.append(entry)


def _plan_pools(session: Session, document: Document, pool_id: int | None, made: Plan) -> None:
    rows = session.execute(select(tables.Pool.id, tables.Pool.name, tables.Pool.is_default)).all()
    made.pool_ids = {name: row_id for row_id, name, _ in rows}
    made.target = next(name for row_id, name, is_default in rows if (row_id == pool_id if pool_id else is_default))
    default_id = next(row_id for row_id, _, is_default in rows if is_default)
    made.pool_ids.setdefault("default", default_id)
    for entry in document.pools:
        if entry.default:
            made.pool_ids[entry.name] = default_id
        if entry.name in made.pool_ids:
            made.known_pools += 1
        elif all(entry.name != each.name for each in made.pools):
            made.pools.append(entry)


def _plan_clients(session: Session, vault: Vault, document: Document, made: Plan) -> None:
    client = tables.ClientKey
    rows = session.execute(select(client.digest, client.name, client.revoked_at)).all()
    known, names = {row[0] for row in rows}, {row[1] for row in rows if row[2] is None}
    auths = set(session.scalars(select(tables.Pool.auth_digest)))
    made.taken = known | auths
    pools = made.pool_ids.keys() | {each.name for each in made.pools}
    for entry in document.clients:
        usable = entry.token and sendable(entry.token) and not is_masked(entry.token)
        digest = entry.digest or (vault.digest(entry.token or "") if usable else None)
        if digest is None or entry.pool not in pools:
            made.left_clients += 1
        elif digest in known:
            made.known_clients += 1
        elif digest in auths:
            made.notes.append(f"Client key {entry.name} is the auth key of a pool here; it is left out.")
            made.left_clients += 1
        else:
            known.add(digest)
            made.clients.append(replace(entry, digest=digest, name=_free(entry.name, names)))
    if any(entry.token is None and entry.digest is None for entry in document.clients):
        made.notes.append("Client keys without their secret are left out: only a backup brings those along.")


def _free(name: str, names: set[str]) -> str:
    """The name itself, or the first of `name 2`, `name 3`… that nobody has."""
    wanted, number = name, 1
    while wanted in names:
        number += 1
        wanted = f"{name} {number}"
    names.add(wanted)
    return wanted


def _plan_settings(
    session: Session, stated: Mapping[str, Any], check: Callable[[str, Any], tuple[str, Any]], made: Plan
) -> None:
    known = set(session.scalars(select(tables.Setting.name)))
    for name, value in stated.items():
        try:
            canonical, typed = check(name, value)
        except ValueError as error:
            made.notes.append(f"Setting {str(error)[:200]}; it is left out.")
            continue
        if canonical in known:
            made.known_settings += 1
        else:
            made.settings[canonical] = typed


def put(session: Session, vault: Vault, made: Plan, now: float) -> None:
    """Write what is new. The plan then knows the ids of its pools and providers."""
    next_revision(session)
    for provider in made.providers:
        row = _provider(provider, vault, len(made.provider_ids), now)
        session.add(row)
        session.flush()
        made.provider_ids[provider.slug] = row.id
    for pool in made.pools:
        made.pool_ids[pool.name] = _put_pool(session, vault, pool, made.taken, now)
    for pool in made.pools:
        fallback = made.pool_ids.get(pool.fallback or "")
        if fallback and fallback != made.pool_ids[pool.name]:
            own = tables.Pool.id == made.pool_ids[pool.name]
            session.execute(update(tables.Pool).where(own).values(fallback_pool_id=fallback))
    for client in made.clients:
        if client.digest not in made.taken:
            session.add(_client(client, made.pool_ids[client.pool], now))


def _provider(entry: ProviderEntry, vault: Vault, position: int, now: float) -> tables.Provider:
    return tables.Provider(
        slug=entry.slug, dialect=entry.dialect, base_url=entry.base_url.rstrip("/"), key_header=entry.key_header,
        proxy_url=sealed_proxy(vault, entry.proxy_url), fallback_to_direct=entry.fallback_to_direct,
        timeouts=dict(entry.timeouts) if entry.timeouts else None, enabled=entry.enabled, position=position,
        created_at=now, updated_at=now,
    )  # fmt: skip


def sealed_proxy(vault: Vault, url: str | None) -> bytes | None:
    """A proxy's URL, sealed; none where it came masked."""
    return vault.encrypt(url) if url and not is_masked(url) else None


def _put_pool(session: Session, vault: Vault, entry: PoolEntry, taken: set[bytes], now: float) -> int:
    token = entry.auth_key or ""
    if not sendable(token) or is_masked(token) or vault.digest(token) in taken:
        token = "sk-pool-" + token_hex(16)
    digest = vault.digest(token)
    taken.add(digest)
    row = tables.Pool(
        public_id="pool-" + token_hex(16), name=entry.name, description=entry.description, enabled=entry.enabled,
        policy=entry.policy, allowed_models=list(entry.allowed_models) or None, aliases=dict(entry.aliases) or None,
        limits=dict(entry.limits) or None, auth_digest=digest, auth_sealed=vault.encrypt(token), auth_hint=mask(token),
        created_at=now, updated_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row.id


def _client(entry: ClientEntry, pool_id: int, now: float) -> tables.ClientKey:
    return tables.ClientKey(
        name=entry.name, pool_id=pool_id, digest=entry.digest, hint=mask(entry.token) if entry.token else entry.hint,
        permissions=list(entry.permissions) or None, allowed_models=list(entry.allowed_models) or None,
        allowed_ips=list(entry.allowed_ips) or None, expires_at=entry.expires_at, revoked_at=entry.revoked_at,
        created_at=now, updated_at=now, **entry.limits,
    )  # fmt: skip


def store_settings(session: Session, settings: Mapping[str, Any], now: float) -> None:
    session.add_all(tables.Setting(name=name, value=value, updated_at=now) for name, value in settings.items())
