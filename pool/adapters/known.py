"""What the journal tells of keys, as rows: why they rest, that they are dead, their quotas, projects and objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from pool.core import records as lines
from pool.core.masking import redact

from . import tables
from .upserts import insert_into, upsert


def store(session: Session, fields: list[Any]) -> None:
    """One journal line (`records.parse_line`) of a kind that is about a key; other kinds are left alone."""
    keep = _KEEPERS.get(fields[0])
    if keep is not None:
        keep(session, *fields[1:])


def _store_bench(
    session: Session,
    key_id: int,
    model: str,
    reason: str,
    until: float | None,
    text: str,
    at: float,
    quota: list[Any] | None,
) -> None:
    if session.get(tables.Key, key_id) is None:
        return
    state = reason if reason in ("not_entitled", "suspected") else "cooling"
    row = {
        "key_id": key_id, "model": model, "state": state, "reason": reason, "since": at, "until": until,
        "upstream_text": redact(text)[:2000], "streak": 0, "quota": _quota(quota),
    }  # fmt: skip
    # As in memory: a later word extends an earlier one and never shortens it.
    table = tables.KeyHealth
    statement = insert_into(session, table)
    said = statement.excluded
    changes = {name: said[name] for name in ("state", "reason", "since", "until", "upstream_text", "quota")}
    longer = said.until.is_(None) | (said.until > table.until)
    session.execute(
        statement.on_conflict_do_update(index_elements=["key_id", "model"], set_=changes, where=longer), [row]
    )


def _quota(told: list[Any] | None) -> dict[str, Any] | None:
    if told is None:
        return None
    window, unit, limit, tier = told
    return {"window": str(window), "unit": str(unit), "limit": limit, "tier": str(tier)}


def _store_death(session: Session, key_id: int, text: str, at: float) -> None:
    key = tables.Key
    session.execute(
        update(key).where(key.id == key_id, key.dead_at.is_(None)).values(dead_at=at, dead_reason=redact(text)[:2000])
    )


def _store_release(session: Session, key_id: int, model: str | None, at: float) -> None:
    """One bench of a key ended; with model None all of them, and its death."""
    health, key = tables.KeyHealth, tables.Key
    query = delete(health).where(health.key_id == key_id)
    session.execute(query if model is None else query.where(health.model == model))
    if model is None:
        session.execute(update(key).where(key.id == key_id).values(dead_at=None, dead_reason=""))


def _store_limit(
    session: Session, key_id: int, project: str, model: str, window: str, unit: str, limit: int, tier: str, at: float
) -> None:
    """A quota's size. It belongs to the project where that is known; the last word counts."""
    row = {
        "key_id": 0 if project else key_id, "project": project, "model": model, "window": window[:10],
        "unit": unit[:10], "limit_value": limit, "tier": tier[:40], "seen_at": at,
    }  # fmt: skip
    keys = ("key_id", "project", "model", "window", "unit")
    upsert(session, tables.LearnedLimit, [row], keys, replace=("limit_value", "tier", "seen_at"))


def _store_project(session: Session, key_id: int, project: str, at: float) -> None:
    """What an error named; what a person typed stays."""
    key = tables.Key
    session.execute(update(key).where(key.id == key_id, key.project == "").values(project=project))


def _store_made(
    session: Session, provider: str, name: str, key_id: int, holder: int, at: float, expires_at: float | None
) -> None:
    """Which key made an object; the last word counts."""
    provider_id = _provider(session, provider)
    if provider_id is None:
        return
    row = {
        "name": name, "provider_id": provider_id, "key_id": key_id, "client_key_id": holder if holder > 0 else None,
        "pool_id": -holder if holder < 0 else None, "created_at": at, "expires_at": expires_at,
    }  # fmt: skip
    replaced = ("key_id", "client_key_id", "pool_id", "created_at", "expires_at")
    upsert(session, tables.Affinity, [row], ("name", "provider_id"), replace=replaced)


def _store_forgotten(session: Session, provider: str, name: str, at: float) -> None:
    table, provider_id = tables.Affinity, _provider(session, provider)
    session.execute(delete(table).where(table.name == name, table.provider_id == provider_id))


def _provider(session: Session, slug: str) -> int | None:
    return session.scalar(select(tables.Provider.id).where(tables.Provider.slug == slug))


_KEEPERS: dict[str, Callable[..., None]] = {
    lines.BENCH: _store_bench,
    lines.DEAD: _store_death,
    lines.RELEASE: _store_release,
    lines.LIMIT: _store_limit,
    lines.PROJECT: _store_project,
    lines.MADE: _store_made,
    lines.FORGET: _store_forgotten,
}
