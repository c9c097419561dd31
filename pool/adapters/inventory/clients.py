"""Writing client keys. Each function is one transaction and moves the revision."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_bytes, token_hex
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import next_revision
from pool.adapters.queries.clients import GONE
from pool.adapters.vault import Vault
from pool.core.masking import mask
from pool.core.twice import NameTaken

from .forms import begin, keep_answer


def fresh_token() -> str:
    return "sk-" + token_hex(24)


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
    begin(session, form, now)
    _free_name(session, name)
    client = tables.ClientKey(
        name=name, pool_id=pool_id, digest=vault.digest(token), hint=mask(token), created_at=now, updated_at=now,
        **fields,
    )  # fmt: skip
    session.add(client)
    session.flush()
    keep_answer(session, vault, form, (client.id, token), now)
    return client.id


def update_client(session: Session, client_id: int, fields: Mapping[str, Any], now: float) -> None:
    next_revision(session)
    client = session.get_one(tables.ClientKey, client_id)
    if "name" in fields or "revoked_at" in fields:
        wanted = {"name": client.name, "revoked_at": client.revoked_at, **fields}
        if wanted["revoked_at"] is None:
            _free_name(session, wanted["name"], client_id)
    session.execute(update(tables.ClientKey).where(tables.ClientKey.id == client_id).values(**fields, updated_at=now))


def rotate_client(
    session: Session, vault: Vault, token: str, client_id: int, overlap_s: float, form: str, now: float
) -> None:
    """Only the key before this one has an overlap: whatever came before that ends.

    Raises `AnsweredBefore` where the one-time token `form` was seen before.
    """
    begin(session, form, now)
    client = session.get_one(tables.ClientKey, client_id)
    client.previous_digest = client.digest if overlap_s else None
    client.overlap_until = now + overlap_s if overlap_s else None
    client.digest, client.hint, client.updated_at = vault.digest(token), mask(token), now
    keep_answer(session, vault, form, (client_id, token), now)
    _sign_out(session, client_id)


def revoke_client(session: Session, client_id: int, now: float) -> None:
    next_revision(session)
    client = tables.ClientKey
    session.execute(update(client).where(client.id == client_id, client.revoked_at.is_(None)).values(revoked_at=now))


def delete_client(session: Session, client_id: int, now: float) -> None:
    """No token finds the row any more, and nobody can enable it again."""
    next_revision(session)
    client = session.get_one(tables.ClientKey, client_id)
    client.digest, client.previous_digest, client.overlap_until = token_bytes(32), None, None
    client.revoked_at, client.origin, client.updated_at = client.revoked_at or now, GONE, now
    _sign_out(session, client_id)


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


def _free_name(session: Session, name: str, known: int = 0) -> None:
    """Raises `NameTaken` where another one that is not revoked has that name."""
    client = tables.ClientKey
    named = select(client.id).where(client.name == name, client.revoked_at.is_(None), client.id != known)
    if session.scalar(named.limit(1)) is not None:
        raise NameTaken(name)


def _sign_out(session: Session, client_id: int) -> None:
    """End the sessions of who signed in with a token that is no more."""
    session.execute(delete(tables.LoginSession).where(tables.LoginSession.client_key_id == client_id))
