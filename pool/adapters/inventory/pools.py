"""Writing providers, pools and client keys. Each function is one transaction and moves the revision."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import next_revision
from pool.adapters.queries import answers
from pool.adapters.vault import Vault
from pool.core.masking import mask
from pool.core.providers import PROVIDERS
from pool.core.twice import AnsweredBefore, NameTaken

from . import keys
from .reading import default_pool


def found(session: Session, vault: Vault, urls: dict[str, str], now: float) -> None:
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


def create_pool(
    session: Session, vault: Vault, name: str, fields: dict[str, Any], now: float, form: str = ""
) -> tuple[int, str]:
    _begin(session, form, now)
    _free_name(session, name)
    pool_id, token = _new_pool(session, vault, name, fields, now)
    _answer(session, vault, form, (pool_id,), now)
    return pool_id, token


def update_pool(session: Session, pool_id: int, fields: dict[str, Any], now: float) -> None:
    next_revision(session)
    if "name" in fields:
        _free_name(session, fields["name"], pool_id)
    session.execute(update(tables.Pool).where(tables.Pool.id == pool_id).values(**fields, updated_at=now))


def regenerate_auth(session: Session, vault: Vault, pool_id: int, grace_s: float, now: float, form: str = "") -> str:
    """Keys that were given a grace before go on until theirs ends, unless the one before this one has none."""
    _begin(session, form, now)
    pool = session.get_one(tables.Pool, pool_id)
    older = dict(pool.older_auth or {})
    if pool.previous_auth_digest and pool.previous_auth_until:
        older[pool.previous_auth_digest.hex()] = pool.previous_auth_until
    pool.older_auth = {digest: until for digest, until in older.items() if until > now} if grace_s else None
    token = "sk-pool-" + token_hex(16)
    pool.previous_auth_digest = pool.auth_digest if grace_s else None
    pool.previous_auth_until = now + grace_s if grace_s else None
    pool.auth_digest, pool.auth_sealed, pool.auth_hint = vault.digest(token), vault.encrypt(token), mask(token)
    pool.updated_at = now
    _answer(session, vault, form, (token, pool.previous_auth_until or 0), now)
    return token


def delete_pool(session: Session, pool_id: int, now: float) -> None:
    revision = next_revision(session)
    default_id = default_pool(session)
    if pool_id == default_id:
        raise ValueError("the pool `default` cannot be deleted")
    member = tables.Membership
    mine = select(member.key_id).where(member.pool_id == pool_id, member.removed_at.is_(None))
    elsewhere = select(member.key_id).where(member.pool_id != pool_id, member.removed_at.is_(None))
    homeless = list(session.scalars(mine.where(member.key_id.not_in(elsewhere))))
    for piece in keys.pieces(homeless):
        seats = keys.seats_in(session, default_id, piece)
        for key_id in piece:
            keys.put_in(session, seats.get(key_id), default_id, key_id, 1, revision, now)
    pool = session.get(tables.Pool, pool_id)
    if pool is not None:
        session.delete(pool)


def create_client(
    session: Session,
    vault: Vault,
    token: str,
    name: str,
    pool_id: int,
    fields: dict[str, Any],
    now: float,
    form: str = "",
) -> int:
    _begin(session, form, now)
    named = select(tables.ClientKey.id).where(tables.ClientKey.name == name, tables.ClientKey.revoked_at.is_(None))
    if session.scalar(named.limit(1)) is not None:
        raise NameTaken(name)
    client = tables.ClientKey(
        name=name, pool_id=pool_id, digest=vault.digest(token), hint=mask(token), created_at=now, updated_at=now,
        **fields,
    )  # fmt: skip
    session.add(client)
    session.flush()
    _answer(session, vault, form, (client.id, token), now)
    return client.id


def update_client(session: Session, client_id: int, fields: dict[str, Any], now: float) -> None:
    next_revision(session)
    session.execute(update(tables.ClientKey).where(tables.ClientKey.id == client_id).values(**fields, updated_at=now))


def revoke_client(session: Session, client_id: int, now: float) -> None:
    next_revision(session)
    client = tables.ClientKey
    session.execute(update(client).where(client.id == client_id, client.revoked_at.is_(None)).values(revoked_at=now))


def set_proxy_key(session: Session, vault: Vault, pool_id: int, token: str | None, now: float) -> None:
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


def _begin(session: Session, form: str, now: float) -> None:
    """Let no other writer in before the commit, so that who comes second sees what the first did.

    Raises `AnsweredBefore` where the one-time token `form` was seen before.
    """
    next_revision(session)
    if form and answers.answer(session, form, now) is not None:
        raise AnsweredBefore


def _answer(session: Session, vault: Vault, form: str, parts: tuple[object, ...], now: float) -> None:
    if form:
        answers.keep_answer(session, form, vault.encrypt("\n".join(map(str, parts))), now)


def _free_name(session: Session, name: str, known: int = 0) -> None:
    """Raises `NameTaken` where another pool has that name."""
    if session.scalar(select(tables.Pool.id).where(tables.Pool.name == name, tables.Pool.id != known).limit(1)):
        raise NameTaken(name)
