"""A database of the first release, all that people keep in one, and the journal its server left when it was killed.

Written by the last version whose only migration was 0001 (commit 4c66e6c), on SQLite and on PostgreSQL: a sign-in, an
import, a draft of another one, two pools, keys in every state, user keys, changed settings, fourteen requests in the
database, and two more in the journal alone.
"""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg

HERE = Path(__file__).parent
SECRET_KEY = "the session secret of the first release"
ENCRYPTION_KEY = "Ym9va3Nob3A6IHNlYWxlZCBieSBmaXJzdCBvbmUhISE="
RESEARCH_BEFORE, RESEARCH, DEFAULT = (f"sk-pool-{number:032x}" for number in (3, 5, 1))
"""Auth keys: of the pool `research` the one that was replaced and is good for fifty years more, and its successor."""

ANN, BOB = (f"sk-{number:048x}" for number in (16, 17))
"""User keys; Bob's is revoked."""

JOURNAL = "01795292493035792366-1-first.jsonl"
REQUESTS, IN_THE_JOURNAL = 14, 2
KEYS, DEAD, DISABLED, BINNED = 9, 5, 7, 9
"""How many keys are there, the deleted one left out; and the ids of some."""


def leave(folder: Path) -> dict[str, str]:
    """Make the instance folder of a server on SQLite; the variables of its successor."""
    _leave_journal(folder, "sqlite")
    (folder / "encryption_key").write_text(f"{ENCRYPTION_KEY}\n")
    (folder / "secret_key").write_text(SECRET_KEY)
    with closing(sqlite3.connect(folder / "pool.sqlite")) as connection:
        connection.executescript(_stored("sqlite.sql"))
    return {"DATABASE_URL": f"sqlite:///{folder}/pool.sqlite"}


def leave_on_postgres(folder: Path, url: str) -> dict[str, str]:
    """The same of one on PostgreSQL, into an empty database."""
    _leave_journal(folder, "postgresql")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(_stored("postgresql.sql").encode())
    return {"DATABASE_URL": url, "SECRET_KEY": SECRET_KEY, "KEY_ENCRYPTION_SECRET": ENCRYPTION_KEY}


def _leave_journal(folder: Path, database: str) -> None:
    (folder / "spool").mkdir(parents=True)
    (folder / "spool" / JOURNAL).write_text(_stored(f"{database}.jsonl"))


def _stored(name: str) -> str:
    return gzip.decompress((HERE / f"{name}.gz").read_bytes()).decode()
