"""A Keypool under a real gunicorn for the faults, and the hand of its admin."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import gevent
import psycopg
import requests

from tests.house import PASSWORD
from tests.server import Server

ROWS_WITHIN_S = 8.0
QUICK = {"connect_timeout_s": 0.5, "first_byte_timeout_s": 1, "idle_timeout_s": 1, "rate_limit_requests": 0}
"""No fault is waited for longer than a second or so."""

Database = Callable[[str], list[tuple[Any, ...]]]
_numbers = itertools.count(1)


def keys(word: str, count: int) -> list[str]:
    """Secrets nobody else has."""
    return [f"sk-fault-{word}-{next(_numbers):030d}" for _ in range(count)]


class Admin:
    """Calls the management API; a call that is refused raises. Given a `token`, it signs in no more."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self.token = ""
        self.token = token or self.call("POST", "/admin/login", password=PASSWORD)["token"]

    def call(self, method: str, path: str, **fields: Any) -> Any:
        answer = self.ask(method, path, **fields)
        answer.raise_for_status()
        return answer.json()

    def ask(self, method: str, path: str, **fields: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return requests.request(method, self._url + path, json=fields or None, headers=headers, timeout=30)

    def set(self, **settings: Any) -> None:
        self.call("PATCH", "/admin/settings", **settings)

    def add_provider(self, slug: str, base_url: str, dialect: str = "openai") -> None:
        self.call("POST", "/admin/providers", slug=slug, base_url=base_url, dialect=dialect)

    def add_pool(self, name: str) -> tuple[int, str]:
        """Its id and its auth key."""
        pool = self.call("POST", "/admin/pools", name=name)
        return pool["id"], pool["auth_key"]

    def add_keys(self, pool: str, provider: str, secrets: Iterable[str]) -> int:
        told = self.call("POST", "/admin/keys/import", text="\n".join(secrets), provider=provider, pool=pool)
        return told["imported"]


def instance(template: Path, folder: Path) -> Path:
    """A fresh instance folder in which the admin's password is set."""
    shutil.copytree(template, folder / "instance")
    return folder / "instance"


def of_sqlite(server: Server) -> Database:
    return server.rows


def of_postgres(url: str) -> Database:
    def rows(query: str) -> list[tuple[Any, ...]]:
        with closing(psycopg.connect(url.replace("+psycopg", ""))) as connection:
            return connection.execute(query).fetchall()

    return rows


def rows_lost(rows: Database, pool_id: int, sent: int) -> int:
    """How many of the requests of a pool have no row once the journal had its time."""
    deadline = time.monotonic() + ROWS_WITHIN_S
    while True:
        ((found,),) = rows(f"SELECT count(*) FROM requests WHERE pool_id = {pool_id}")  # noqa: S608
        if found >= sent or time.monotonic() > deadline:
            return sent - found
        gevent.sleep(0.1)


def unknown(rows: Database, ids: Iterable[str]) -> int:
    """How many of the requests that clients saw answered have no row."""
    stored = {row[0] for row in rows("SELECT request_id FROM requests")}
    return len(set(ids) - stored)


def blamed(rows: Database, pool_id: int, culprits: Iterable[str] = ()) -> int:
    """Keys of a pool that an attempt was held against, or that are dead, though they did nothing."""
    theirs = {secret[-4:] for secret in culprits}
    found = rows(
        "SELECT DISTINCT keys.id, keys.hint_suffix FROM keys JOIN memberships m ON m.key_id = keys.id"  # noqa: S608
        f" WHERE m.pool_id = {pool_id} AND (keys.dead_at IS NOT NULL OR keys.id IN"
        f" (SELECT attempts.key_id FROM attempts JOIN requests ON requests.id = attempts.request_row"
        f" WHERE requests.pool_id = {pool_id} AND attempts.blamed = 'key'))"
    )
    return sum(hint[-4:] not in theirs for _, hint in found)
