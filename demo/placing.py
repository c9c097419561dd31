"""Puts the cast into an empty Keypool, as an operator would have done over the last days."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from app import Keypool
from demo import cast
from demo.cast import Part, Program
from pool.adapters import tables
from pool.adapters.inventory import Inventory
from pool.core.keys import FOREVER

DAYS = 9
"""How long ago the first keys came."""

FIRST_POOL = 1
"""The id of `default`, which is there from the beginning."""


@dataclass(slots=True)
class Placed:
    """Who got which id, and what each program presents."""

    pools: dict[str, int] = field(default_factory=dict)
    parts: dict[int, Part] = field(default_factory=dict)
    seats: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """The ids of the keys in a (pool, provider), standby ones left out."""
    disabled: list[int] = field(default_factory=list)
    clients: dict[str, int] = field(default_factory=dict)
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    """Client keys by (pool, name of the user key); the name is empty for the pool's auth key."""

    def token(self, program: Program) -> str:
        return self.tokens[program.pool, program.client]


def place(keypool: Keypool, now: float) -> Placed:
    placed, inventory = Placed(), keypool.inventory
    for pool in cast.pools():
        _found(inventory, placed, pool)
        shared = [part for part in placed.parts.values() if part.role == cast.STEADY][: pool.shares]
        _seat(inventory, placed, pool.name, [*pool.parts, *shared])
    _disable_some(inventory, placed, now)
    for program in cast.PROGRAMS:
        pool_id = placed.pools[program.pool]
        if program.client:
            made = inventory.create_client(program.client, pool_id, rpm_limit=600)
            placed.clients[program.client], placed.tokens[program.pool, program.client] = made
        else:
            placed.tokens[program.pool, ""] = inventory.auth_key(pool_id)
    revoked, placed.tokens[cast.DEFAULT, cast.REVOKED] = inventory.create_client(cast.REVOKED, placed.pools["default"])
    inventory.revoke_client(revoked)
    keypool.database.write(_backdate, now - DAYS * 86_400)
    return placed


def _found(inventory: Inventory, placed: Placed, pool: cast.PoolPart) -> None:
    fields: dict[str, Any] = {"description": pool.description, "policy": pool.policy}
    if pool.falls_back:
        fields["fallback_pool_id"] = placed.pools[cast.DEFAULT]
    if pool.name == cast.DEFAULT:
        inventory.update_pool(FIRST_POOL, **fields)
        placed.pools[pool.name] = FIRST_POOL
    else:
        placed.pools[pool.name], _ = inventory.create_pool(pool.name, **fields)


def _seat(inventory: Inventory, placed: Placed, pool: str, parts: list[Part]) -> None:
    taken = inventory.add_keys([part.key for part in parts], placed.pools[pool], "paste", "demo")
    for part, each in zip(parts, taken, strict=True):
        placed.parts[each.key_id] = part
        if part.key.weight:
            placed.seats.setdefault((pool, part.key.provider), []).append(each.key_id)


def _disable_some(inventory: Inventory, placed: Placed, now: float) -> None:
    """Two for good, two for some days."""
    steady = [key_id for key_id, part in placed.parts.items() if part.role == cast.STEADY][11:60:13]
    inventory.set_disabled(steady[:2], FOREVER)
    inventory.set_disabled(steady[2:], now + 3 * 86_400)
    placed.disabled = steady


def _backdate(session: Session, begun: float) -> None:
    """Pools came a day after one another, their keys and programs with them."""
    places: tuple[tuple[Any, str, Any], ...] = (
        (tables.Pool, "created_at", tables.Pool.id),
        (tables.Import, "at", tables.Import.id),
        (tables.Key, "created_at", tables.Key.import_id),
        (tables.ClientKey, "created_at", tables.ClientKey.pool_id),
    )
    for table, column, day in places:
        session.execute(update(table).values({column: begun + (day - 1) * 86_400}))
    client, until = tables.ClientKey, begun + 6 * 86_400
    session.execute(
        update(client).where(client.revoked_at.is_not(None)).values(revoked_at=until, last_used_at=until - 7_200)
    )
