"""The pages of pools and client keys: rows without any secret."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session, aliased

from pool.adapters.tables import ClientKey, Key, Membership, Pool
from pool.core.limits import LIMIT_NAMES


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool as pages show it. `policy` empty means: as the settings say; `fallback` empty: there is none."""

    id: int
    name: str
    description: str
    enabled: bool
    is_default: bool
    policy: str
    allowed_models: tuple[str, ...]
    auth_hint: str
    previous_auth_until: float
    created_at: float
    keys: int
    fallback_id: int | None = None
    fallback: str = ""
    graces: tuple[float, ...] = ()
    """Until when auth keys before this one work, moments that are over included."""

    public_id: str = ""
    updated_at: float = 0.0
    aliases: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A user key as pages show it: its hint, never itself."""

    id: int
    name: str
    pool_id: int
    pool: str
    hint: str
    origin: str
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    created_at: float


def pool_rows(session: Session) -> list[PoolRow]:
    """Every pool, the default one first."""
    return _told(session, _pools().order_by(Pool.is_default.desc(), Pool.name, Pool.id))


def pool_page(session: Session, *, after: int = 0, size: int = 50, search: str = "") -> list[PoolRow]:
    """Up to `size` pools by id after `after`."""
    query = _pools().where(Pool.id > after).order_by(Pool.id).limit(size)
    if search:
        query = query.where(Pool.name.icontains(search, autoescape=True))
    return _told(session, query)


def pool_row(session: Session, pool_id: int) -> PoolRow | None:
    return next(iter(_told(session, _pools().where(Pool.id == pool_id))), None)


def seated(session: Session, *of_pools: ColumnElement[bool]) -> dict[int, int]:
    """How many keys are in each pool, by its id; none is not there.

    All seats by their index, less those of keys in the bin, which are few: no key that is not there is looked at.
    """
    seat = Membership
    counted = select(seat.pool_id, func.count()).where(seat.removed_at.is_(None), *of_pools).group_by(seat.pool_id)
    binned = counted.join(Key, Key.id == seat.key_id).where(Key.deleted_at.is_not(None))
    found = Counter(dict(session.execute(counted).all()))
    found.subtract(dict(session.execute(binned).all()))
    return found


def enabled_keys(session: Session, pool_id: int, now: float) -> int:
    """How many keys of a pool neither the pool nor a person has switched off."""
    allowed = or_(Key.disabled_at.is_(None), Key.disabled_until <= now)
    query = select(func.count()).select_from(Membership).join(Key, Key.id == Membership.key_id)
    live = (Membership.removed_at.is_(None), Membership.enabled, Key.deleted_at.is_(None), allowed)
    return session.scalar(query.where(Membership.pool_id == pool_id, *live)) or 0


def client_rows(session: Session, size: int = 500) -> list[ClientRow]:
    """User keys, those in force first, then by age."""
    return [_client(row) for row in session.execute(_clients().order_by(*_NEWEST).limit(size))]


def client_row(session: Session, client_id: int) -> ClientRow | None:
    row = session.execute(_clients().where(ClientKey.id == client_id)).first()
    return _client(row) if row else None


def client_limits(session: Session, client_id: int) -> dict[str, Any] | None:
    """What a user key is held to: its limits by name, and the models and addresses it is good for."""
    names = (*LIMIT_NAMES, "allowed_models", "allowed_ips")
    row = session.execute(
        select(*(getattr(ClientKey, name) for name in names)).where(ClientKey.id == client_id)
    ).first()
    return dict(zip(names, row, strict=True)) if row else None


_NEWEST = (ClientKey.revoked_at.is_not(None), ClientKey.id.desc())


def _pools() -> Select[*tuple[Any, ...]]:
    fallback = aliased(Pool)
    return select(
        Pool.id, Pool.name, Pool.description, Pool.enabled, Pool.is_default, Pool.policy, Pool.allowed_models,
        Pool.auth_hint, Pool.previous_auth_until, Pool.created_at, fallback.id, fallback.name, Pool.older_auth,
        Pool.public_id, Pool.updated_at, Pool.aliases, Pool.limits,
    ).outerjoin(fallback, fallback.id == Pool.fallback_pool_id)  # fmt: skip


def _told(session: Session, pools: Select[*tuple[Any, ...]]) -> list[PoolRow]:
    rows = session.execute(pools).all()
    of_pools = [Membership.pool_id == rows[0][0]] if len(rows) == 1 else []
    keys = seated(session, *of_pools) if rows else {}
    return [_pool(row, keys.get(row[0], 0)) for row in rows]


def _pool(row: Any, keys: int) -> PoolRow:
    return PoolRow(
        id=row[0], name=row[1], description=row[2], enabled=row[3], is_default=row[4], policy=row[5] or "",
        allowed_models=tuple(row[6] or ()), auth_hint=row[7], previous_auth_until=row[8] or 0.0, created_at=row[9],
        keys=keys, fallback_id=row[10], fallback=row[11] or "", graces=(row[8] or 0.0, *(row[12] or {}).values()),
        public_id=row[13], updated_at=row[14], aliases=row[15] or {}, limits=row[16] or {},
    )  # fmt: skip


def _clients() -> Select[*tuple[Any, ...]]:
    return select(
        ClientKey.id, ClientKey.name, ClientKey.pool_id, Pool.name, ClientKey.hint, ClientKey.origin,
        ClientKey.expires_at, ClientKey.revoked_at, ClientKey.last_used_at, ClientKey.created_at,
    ).join(Pool, Pool.id == ClientKey.pool_id)  # fmt: skip


def _client(row: Any) -> ClientRow:
    return ClientRow(*row)
