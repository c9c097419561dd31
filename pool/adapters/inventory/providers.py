"""Writing and reading providers. Each function is one transaction; those that change something move the revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, delete, func, select
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import next_revision
from pool.adapters.vault import Vault
from pool.core.twice import NameTaken

FIELDS = frozenset(
    ("dialect", "base_url", "proxy_url", "key_header", "fallback_to_direct", "timeouts", "enabled")
)  # fmt: skip

AT_ONCE = 500
"""Keys that one transaction deletes: nobody who writes waits longer than that takes."""


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A provider whole. `keys` are those in use or at rest, `binned` those that can be restored."""

    id: int
    slug: str
    dialect: str
    base_url: str
    key_header: str | None
    proxy_url: str | None = field(repr=False)
    fallback_to_direct: bool
    timeouts: Mapping[str, float]
    builtin: bool
    enabled: bool
    created_at: float
    updated_at: float
    keys: int
    binned: int


def provider_rows(session: Session, vault: Vault, slug: str | None = None) -> list[ProviderRow]:
    """All of them in their order, or the one of a slug."""
    table = tables.Provider
    query = select(table).order_by(table.position, table.id)
    rows = list(session.scalars(query if slug is None else query.where(table.slug == slug)))
    counts = _keys_of(session, [row.id for row in rows])
    return [
        ProviderRow(
            row.id, row.slug, row.dialect, row.base_url, row.key_header,
            vault.decrypt(row.proxy_url) if row.proxy_url else None, row.fallback_to_direct, row.timeouts or {},
            row.builtin, row.enabled, row.created_at, row.updated_at, *counts.get(row.id, (0, 0)),
        )
        for row in rows
    ]  # fmt: skip


def _keys_of(session: Session, provider_ids: list[int]) -> dict[int, tuple[int, int]]:
    """By provider: keys that are there, and keys in the bin. Counted by indexes: no key that is there is looked at."""
    key = tables.Key
    counted = select(key.provider_id, func.count()).where(key.provider_id.in_(provider_ids)).group_by(key.provider_id)
    whole = func.sum(case((key.secret.is_not(None), 1), else_=0))
    deleted = counted.add_columns(whole).where(key.deleted_at.is_not(None))
    gone = {row[0]: (row[1], int(row[2])) for row in session.execute(deleted)}
    found = {}
    for provider_id, every in session.execute(counted):
        number, binned = gone.get(provider_id, (0, 0))
        found[provider_id] = (every - number, binned)
    return found


def create_provider(session: Session, vault: Vault, slug: str, fields: Mapping[str, Any], now: float) -> None:
    """Raises `NameTaken` where the slug is there."""
    next_revision(session)
    table = tables.Provider
    if session.scalar(select(table.id).where(table.slug == slug)) is not None:
        raise NameTaken(slug)
    position = (session.scalar(select(func.max(table.position))) or 0) + 1
    session.add(table(slug=slug, position=position, created_at=now, updated_at=now, **_columns(vault, fields)))


def update_provider(session: Session, vault: Vault, slug: str, fields: Mapping[str, Any], now: float) -> None:
    """Raises LookupError where there is none."""
    next_revision(session)
    row = _row(session, slug)
    for name, value in _columns(vault, fields).items():
        setattr(row, name, value)
    row.updated_at = now


def delete_some_keys(session: Session, slug: str) -> int:
    """Up to `AT_ONCE` of a provider's keys, for good; how many."""
    key = tables.Key
    ids = list(session.scalars(select(key.id).where(key.provider_id == _row(session, slug).id).limit(AT_ONCE)))
    session.execute(delete(tables.LearnedLimit).where(tables.LearnedLimit.key_id.in_(ids)))
    session.execute(delete(key).where(key.id.in_(ids)))
    return len(ids)


def delete_provider(session: Session, slug: str) -> None:
    """Once it has no keys."""
    next_revision(session)
    row = _row(session, slug)
    session.execute(delete(tables.Affinity).where(tables.Affinity.provider_id == row.id))
    session.delete(row)


def _row(session: Session, slug: str) -> tables.Provider:
    row = session.scalar(select(tables.Provider).where(tables.Provider.slug == slug))
    if row is None:
        raise LookupError(slug)
    return row


def _columns(vault: Vault, fields: Mapping[str, Any]) -> dict[str, Any]:
    unknown = fields.keys() - FIELDS
    if unknown:
        raise TypeError(f"no columns of providers: {', '.join(sorted(unknown))}")
    columns = dict(fields)
    if columns.get("proxy_url"):
        columns["proxy_url"] = vault.encrypt(columns["proxy_url"])
    if "timeouts" in columns:
        columns["timeouts"] = columns["timeouts"] or None
    return columns
