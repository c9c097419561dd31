"""PostgreSQL and Redis beneath the houses of a whole run, where KEYPOOL_TEST_STORES says `shared`."""

from __future__ import annotations

import atexit
import os
import secrets
import tempfile
from collections import Counter
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import make_url

from faults.services import Postgres, free_ports
from tests.redis_server import RedisServer

SHARED = os.environ.get("KEYPOOL_TEST_STORES") == "shared"
on_sqlite = pytest.mark.skipif(SHARED, reason="looks at SQLite or at the state in memory itself")

IN_A_HURRY = (
    "fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=300", "autovacuum=off",
)  # fmt: skip
REDIS_NUMBERS = 100_000
MOST_CLOSED = 12
"""Databases of houses that are closed and may open again; of more, the oldest are dropped."""


class Stores:
    """A database and a Redis number for every instance folder that opens, copied from its template's."""

    def __init__(self, server_url: str, redis_url: str) -> None:
        self._server = make_url(server_url)
        self._redis = redis_url
        self._numbers = iter(range(1, REDIS_NUMBERS))
        self._of: dict[Path, dict[str, str]] = {}
        self._open: Counter[Path] = Counter()
        self._closed: list[Path] = []
        self._admin = psycopg.connect(server_url.replace("+psycopg", ""), autocommit=True)

    def make(self, folder: Path) -> dict[str, str]:
        """The variables of an empty instance."""
        return self._made(folder, "template1", Fernet.generate_key().decode())

    def copy(self, template: Path, folder: Path) -> dict[str, str]:
        """Those of a folder: what it had when it was open before, or a copy of the template's."""
        self._open[folder] += 1
        if folder in self._closed:
            self._closed.remove(folder)
        if folder in self._of:
            return self._of[folder]
        like = self._of[template]
        return self._made(folder, make_url(like["DATABASE_URL"]).database or "", like["KEY_ENCRYPTION_SECRET"])

    def close(self, folder: Path) -> None:
        self._open[folder] -= 1
        if self._open[folder] > 0:
            return
        self._closed.append(folder)
        while len(self._closed) > MOST_CLOSED:
            name = make_url(self._of.pop(self._closed.pop(0))["DATABASE_URL"]).database
            self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def end(self) -> None:
        for variables in self._of.values():
            self._admin.execute(f"DROP DATABASE {make_url(variables['DATABASE_URL']).database} WITH (FORCE)")
        self._admin.close()

    def _made(self, folder: Path, like: str, encryption: str) -> dict[str, str]:
        name = f"house_{secrets.token_hex(6)}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
        url = self._server.set(drivername="postgresql+psycopg", database=name)
        self._of[folder] = {
            "DATABASE_URL": url.render_as_string(hide_password=False),
            "REDIS_URL": f"{self._redis}/{next(self._numbers)}",
            "SECRET_KEY": "a secret of the tests, the same for all",
            "KEY_ENCRYPTION_SECRET": encryption,
        }
        return self._of[folder]


@cache
def shared() -> Stores | None:
    """Started when first asked for, and ended with the run; None where it is to be on SQLite and memory."""
    if not SHARED:
        return None
    stack = ExitStack()
    atexit.register(stack.close)
    server = os.environ.get("TEST_DATABASE_URL")
    if server is None:
        server = stack.enter_context(Postgres(free_ports(1)[0], IN_A_HURRY)).url
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keypool-redis-")))
    numbers = ("--databases", str(REDIS_NUMBERS), "--save", "", "--appendonly", "no")
    redis = stack.enter_context(RedisServer(folder, *numbers))
    made = Stores(server, redis.url.rpartition("/")[0])
    stack.callback(made.end)
    return made
