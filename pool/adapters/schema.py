"""Brings a database to the version this code needs, before anything else touches it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from pool.adapters.database import sqlite_engine

MIGRATIONS = Path(__file__).parents[2] / "migrations"
# Foreign keys stay off: on SQLite a batch migration drops and recreates tables, which would cascade.
PRAGMAS = ("PRAGMA busy_timeout=30000", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")
ADVISORY_LOCK = 0x6B6579706F6F6C  # "keypool"

log = logging.getLogger(__name__)


class NewerDatabase(RuntimeError):
    """The database was written by a later version than this one."""


def upgrade(app: Flask, ready: Callable[[], object] = lambda: None) -> None:
    """Apply the migrations that are missing: all of them in one transaction, one server at a time.

    Costs one query where nothing is missing. Raises `NewerDatabase` for a revision this code does not know, and what
    `ready` raises, which is asked before a database that has anything in it is changed.
    """
    url = app.config["SQLALCHEMY_DATABASE_URI"]
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            missing, is_new = _missing(connection), _current(connection) is None
        if missing:
            if not is_new:
                ready()
            with locked(url) as connection:
                before = _current(connection)
                migrate(connection)
                after = _current(connection)
            if before not in (None, after):  # None is new; the same: another server was quicker
                log.info("upgraded the database from revision %s to %s", before, after)
    finally:
        engine.dispose()


@contextmanager
def locked(url: str) -> Iterator[Connection]:
    """A connection in one transaction that no other server can migrate beside; committed at the end."""
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
            yield connection
    finally:
        engine.dispose()


@contextmanager
def first_come(url: str) -> Iterator[None]:
    """Let servers that start at the same moment found what must exist one after another: the second finds it there.

    Nothing on SQLite, whose file a second server is refused anyway.
    """
    if make_url(url).get_backend_name() == "sqlite":
        yield
    else:
        with locked(url):
            yield


def migrate(connection: Connection) -> None:
    """Run what is missing on a connection that is `locked`; nothing where another server was quicker."""
    # Imported here: a start with nothing to do should not pay for Alembic.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def revisions() -> list[str]:
    """The revisions this code knows, oldest first: the four digits each file of `migrations/versions` begins with."""
    return sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def _missing(connection: Connection) -> bool:
    known, current = revisions(), _current(connection)
    if current is not None and current not in known:
        raise NewerDatabase(
            f"The database is at revision {current}, this version of Keypool knows none after {known[-1]}:"
            " start the version that wrote it, or restore a backup."
        )
    return current != known[-1]


def _current(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return sqlite_engine(parsed.database or "", PRAGMAS)
    return create_engine(parsed, hide_parameters=True)
