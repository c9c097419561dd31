"""Tokens of one-api and new-api: client keys of their group's pool, within what they were held to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pool.core.documents import ClientEntry
from pool.core.limits import MOST_USD

from .stating import rows_of, split

MODEL_LIMITS = "model_limits_enabled"
"""new-api's column: whether `model_limits` holds."""

_TOKEN = (
    "id", "user_id", "key", "status", "name", "expired_time", "remain_quota", "unlimited_quota", "deleted_at", "group",
    "models", "subnet", MODEL_LIMITS, "model_limits", "allow_ips",
)  # fmt: skip
USUAL_GROUP = "default"
_USER = ("id", "status", "group", "deleted_at")
_ON = 1
_UNITS = 500_000
"""Of quota, in a dollar."""


def clients(connection: Connection, tables: set[str], pools: Mapping[str, str], notes: list[str]) -> list[ClientEntry]:
    """Those that worked there. They are stored without the `sk-` they are shown with. `pools` names that of each group
    with a channel that came along."""
    if "tokens" not in tables:
        return []
    users = {row["id"]: row for row in rows_of(connection, "users", _USER)} if "users" in tables else {}
    rows = [row for row in rows_of(connection, "tokens", _TOKEN) if row["key"] and not row["deleted_at"]]
    pool_of = {row["id"]: pools.get(_group(row, users.get(row["user_id"]))) for row in rows}
    on = [row for row in rows if _works(row, users.get(row["user_id"])) and pool_of[row["id"]]]
    if len(on) < len(rows):
        notes.append(f"Tokens left out: {len(rows) - len(on)}. They or their users were off, or could ask for nothing.")
    if not all(row["unlimited_quota"] for row in on):
        notes.append("What was left of a token's quota is its budget of a month here, which comes back every month.")
    if users and on:
        notes.append("Quotas of users have no place here: set budgets of the pools, or of their client keys.")
    return [_client(row, pool_of[row["id"]] or "") for row in on]


def _group(row: Mapping[str, Any], user: Mapping[str, Any] | None) -> str:
    """The token's own, or its user's. `auto` looks for one, the user's among them."""
    own = row["group"] if row["group"] != "auto" else None
    return own or (user or {}).get("group") or USUAL_GROUP


def _works(row: Mapping[str, Any], user: Mapping[str, Any] | None) -> bool:
    spent = not row["unlimited_quota"] and (row["remain_quota"] or 0) <= 0
    barred = row[MODEL_LIMITS] and not split(row["model_limits"])
    gone = user is not None and (user["status"] != _ON or user["deleted_at"])
    return row["status"] == _ON and not (spent or barred or gone)


def _client(row: Mapping[str, Any], pool: str) -> ClientEntry:
    expires, left_usd = row["expired_time"] or -1, (row["remain_quota"] or 0) / _UNITS
    return ClientEntry(
        str(row["name"] or f"token {row['id']}"),
        pool,
        f"sk-{str(row['key']).strip()}",
        allowed_models=tuple(split(row["model_limits"] if row[MODEL_LIMITS] else row["models"])),
        allowed_ips=tuple(split(f"{row['subnet'] or ''},{row['allow_ips'] or ''}")),
        limits={} if row["unlimited_quota"] else {"budget_usd_month": min(round(left_usd, 6), MOST_USD)},
        expires_at=float(expires) if expires > 0 else None,
    )
