"""A backup as a document, to be merged into a machine that has something already."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pool.core.documents import ClientEntry, Document, KeyEntry, PoolEntry, ProviderEntry, Seat
from pool.core.limits import LIMIT_NAMES

from .restoring import Contents, slices


def document_of(found: Contents, same: bool) -> Document:
    """What of a backup can be merged; usage and the audit trail cannot. To be run in a thread.

    `same`: this machine finds client keys as the backup's did, so that they can be taken along.
    """
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for some in slices(found):
        if some.model.__tablename__ in ("providers", "pools", "client_keys", "settings", "keys", "memberships"):
            rows[some.model.__tablename__] += some.rows
    slugs = {row["id"]: row["slug"] for row in rows["providers"]}
    names = {row["id"]: row["name"] for row in rows["pools"]}
    seats = _seats(rows["memberships"], names)
    return Document(
        providers=tuple(_provider(row) for row in rows["providers"]),
        pools=tuple(_pool(row, names) for row in rows["pools"]),
        clients=tuple(_client(row, names, same) for row in rows["client_keys"] if row["pool_id"] in names),
        settings={row["name"]: row["value"] for row in rows["settings"]},
        keys=[
            _key(row, slugs[row["provider_id"]], tuple(seats[row["id"]]))
            for row in rows["keys"]
            if row["deleted_at"] is None and row["secret"] and row["provider_id"] in slugs
        ],
    )


def _seats(rows: list[dict[str, Any]], names: dict[int, str]) -> dict[int, list[Seat]]:
    seats: dict[int, list[Seat]] = defaultdict(list)
    for row in rows:
        if row["removed_at"] is None and row["pool_id"] in names:
            seats[row["key_id"]].append(Seat(names[row["pool_id"]], row["weight"], row["tier"], row["enabled"]))
    return seats


def _provider(row: dict[str, Any]) -> ProviderEntry:
    return ProviderEntry(
        row["slug"], row["dialect"], row["base_url"], row["proxy_url"], bool(row["fallback_to_direct"]),
        row["key_header"], row["timeouts"], bool(row["enabled"]),
    )  # fmt: skip


def _pool(row: dict[str, Any], names: dict[int, str]) -> PoolEntry:
    return PoolEntry(
        row["name"], row["description"], bool(row["enabled"]), bool(row["is_default"]), row["policy"],
        tuple(row["allowed_models"] or ()), row["aliases"] or {}, row["limits"] or {},
        names.get(row["fallback_pool_id"] or 0), row["auth_sealed"],
    )  # fmt: skip


def _client(row: dict[str, Any], names: dict[int, str], same: bool) -> ClientEntry:
    limits = {name: row[name] for name in LIMIT_NAMES if row[name] is not None}
    return ClientEntry(
        row["name"], names[row["pool_id"]], None, tuple(row["permissions"] or ()), tuple(row["allowed_models"] or ()),
        tuple(row["allowed_ips"] or ()), limits, row["expires_at"], row["revoked_at"],
        row["digest"] if same else None, row["hint"],
    )  # fmt: skip


def _key(row: dict[str, Any], provider: str, seats: tuple[Seat, ...]) -> KeyEntry:
    return KeyEntry(
        row["secret"], provider, row["name"], row["note"], row["email"], tuple(row["tags"] or ()), row["project"],
        row["limits"], row["max_requests"], row["max_requests_window"], row["proxy_url"],
        bool(row["fallback_to_direct"]), row["disabled_at"] is not None, row["disabled_until"],
        row["dead_reason"] or "refused" if row["dead_at"] is not None else None, seats,
    )  # fmt: skip
