"""What an export tells: the few things round the keys at once, the keys page by page, secrets still sealed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pool.adapters.tables import ClientKey, Key, Membership, Pool, Provider, Setting
from pool.core.limits import LIMIT_NAMES


def export_frame(session: Session) -> dict[str, Any]:
    """Providers, pools, client keys and settings. What is bytes is sealed."""
    pools = list(session.scalars(select(Pool).order_by(Pool.is_default.desc(), Pool.id)))
    names = {pool.id: pool.name for pool in pools}
    clients = session.scalars(select(ClientKey).order_by(ClientKey.id))
    settings = session.execute(select(Setting.name, Setting.value).order_by(Setting.name))
    return {
        "providers": [_provider(row) for row in session.scalars(select(Provider).order_by(Provider.id))],
        "pools": [_pool(row, names) for row in pools],
        "clients": [_client(row, names) for row in clients],
        "settings": {row[0]: row[1] for row in settings},
    }


def export_keys(session: Session, after: int, size: int, pool_id: int | None) -> list[dict[str, Any]]:
    """Keys by id after `after`, those in the bin left out; `id` and `hint` are not for the export itself."""
    # An outer join, or SQLite may begin with the providers and sort all of their keys for every page.
    query = select(Key, Provider.slug).outerjoin(Provider).where(Key.id > after, Key.deleted_at.is_(None))
    if pool_id is not None:
        query = query.where(Key.id.in_(_seated(pool_id)))
    rows = session.execute(query.order_by(Key.id).limit(size)).all()
    seats = _seats(session, [row[0].id for row in rows])
    return [_key(row[0], row[1], seats.get(row[0].id, [])) for row in rows]


def _provider(row: Provider) -> dict[str, Any]:
    return {
        "slug": row.slug, "dialect": row.dialect, "base_url": row.base_url, "proxy_url": row.proxy_url,
        "fallback_to_direct": row.fallback_to_direct, "key_header": row.key_header, "timeouts": row.timeouts,
        "enabled": row.enabled,
    }  # fmt: skip


def _pool(row: Pool, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "name": row.name, "description": row.description, "enabled": row.enabled, "default": row.is_default,
        "policy": row.policy, "allowed_models": row.allowed_models or [], "aliases": row.aliases or {},
        "limits": _held(row.limits or {}), "fallback": names.get(row.fallback_pool_id or 0),
        "auth_key": row.auth_sealed, "hint": row.auth_hint,
    }  # fmt: skip


def _held(limits: Mapping[str, Any]) -> dict[str, Any]:
    return {name: limits[name] for name in LIMIT_NAMES if limits.get(name) is not None}


def _client(row: ClientKey, names: Mapping[int, str]) -> dict[str, Any]:
    """It is stored as a digest: an export tells of it, and only a backup moves it."""
    limits = {name: getattr(row, name) for name in LIMIT_NAMES}
    return {
        "name": row.name, "pool": names.get(row.pool_id, ""), "hint": row.hint, "permissions": row.permissions or [],
        "allowed_models": row.allowed_models or [], "allowed_ips": row.allowed_ips or [], "limits": _held(limits),
        "expires_at": row.expires_at, "revoked_at": row.revoked_at, "created_at": row.created_at,
    }  # fmt: skip


def _key(row: Key, provider: str, seats: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": row.id, "key": row.secret, "hint": f"{row.hint_prefix}...{row.hint_suffix}" if row.hint_prefix else "***",
        "provider": provider, "name": row.name, "note": row.note, "email": row.email, "tags": row.tags or [],
        "project": row.project, "limits": row.limits, "max_requests": row.max_requests,
        "max_requests_window": row.max_requests_window, "proxy_url": row.proxy_url,
        "fallback_to_direct": row.fallback_to_direct, "disabled": row.disabled_at is not None,
        "disabled_until": row.disabled_until,
        "dead_reason": None if row.dead_at is None else row.dead_reason or "refused",
        "pools": seats, "created_at": row.created_at,
    }  # fmt: skip


def _seated(pool_id: int) -> Any:
    return select(Membership.key_id).where(Membership.pool_id == pool_id, Membership.removed_at.is_(None))


def _seats(session: Session, key_ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    member = Membership
    query = (
        select(member.key_id, Pool.name, member.weight, member.tier, member.enabled)
        .join(Pool, Pool.id == member.pool_id)
        .where(member.key_id.in_(key_ids), member.removed_at.is_(None))
        .order_by(member.key_id, Pool.id)
    )
    seats: dict[int, list[dict[str, Any]]] = {}
    for key_id, name, weight, tier, enabled in session.execute(query):
        seats.setdefault(key_id, []).append({"name": name, "weight": weight, "tier": tier, "enabled": enabled})
    return seats
