"""Client keys in whole: who they belong to, what they are held to, whether they are in force. Never a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from pool.adapters.tables import ClientKey, Pool
from pool.core.limits import LIMIT_NAMES

GONE = "deleted"
"""The origin of those that were deleted: their rows stay only for the names beside their requests."""


@dataclass(frozen=True, slots=True)
class ClientWhole:
    """A client key with its limits, by their names; `overlap_until` is when the token before this one ends."""

    id: int
    name: str
    pool_id: int
    pool: str
    hint: str
    origin: str
    permissions: tuple[str, ...]
    allowed_models: tuple[str, ...]
    allowed_ips: tuple[str, ...]
    expires_at: float | None
    revoked_at: float | None
    overlap_until: float | None
    last_used_at: float | None
    created_at: float
    updated_at: float
    limits: Mapping[str, Any]

    @property
    def enabled(self) -> bool:
        return self.revoked_at is None


def client_page(
    session: Session,
    *,
    after: int = 0,
    size: int = 50,
    search: str = "",
    pool_id: int | None = None,
    enabled: bool | None = None,
    newest: bool = False,
) -> list[ClientWhole]:
    """Up to `size` client keys by id after `after`; the newest first where that is said."""
    query = _rows().order_by(ClientKey.id.desc() if newest else ClientKey.id).limit(size)
    if after or not newest:
        query = query.where(ClientKey.id < after if newest else ClientKey.id > after)
    if search:
        shown = (ClientKey.name.icontains(search, autoescape=True), ClientKey.hint.icontains(search, autoescape=True))
        query = query.where(or_(*shown))
    if pool_id is not None:
        query = query.where(ClientKey.pool_id == pool_id)
    if enabled is not None:
        query = query.where(ClientKey.revoked_at.is_(None) == enabled)
    return [_whole(row) for row in session.execute(query)]


def client_whole(session: Session, client_id: int) -> ClientWhole | None:
    row = session.execute(_rows().where(ClientKey.id == client_id)).first()
    return _whole(row) if row else None


def _rows() -> Select[*tuple[Any, ...]]:
    limits = (getattr(ClientKey, name) for name in LIMIT_NAMES)
    return (
        select(
            ClientKey.id, ClientKey.name, ClientKey.pool_id, Pool.name, ClientKey.hint, ClientKey.origin,
            ClientKey.permissions, ClientKey.allowed_models, ClientKey.allowed_ips, ClientKey.expires_at,
            ClientKey.revoked_at, ClientKey.overlap_until, ClientKey.last_used_at, ClientKey.created_at,
            ClientKey.updated_at, *limits,
        )
        .join(Pool, Pool.id == ClientKey.pool_id)
        .where(ClientKey.origin != GONE)
    )  # fmt: skip


def _whole(row: Any) -> ClientWhole:
    limits: Any = dict(zip(LIMIT_NAMES, row[15:], strict=True))
    fields: list[Any] = [*row[:6], *(tuple(each or ()) for each in row[6:9]), *row[9:15], limits]
    return ClientWhole(*fields)
