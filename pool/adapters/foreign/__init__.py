"""Reads what other products left: their databases, opened for reading only, as one of our documents."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, SQLAlchemyError

from pool.core.documents import Document, Unreadable

from . import gemini_balance, gpt_load, one_api

__all__ = ["Unreadable", "read_file", "read_url"]

READERS: dict[str, Callable[[Connection, set[str], str], Document]] = {
    "gpt-load": gpt_load.read,
    "gemini-balance": gemini_balance.read,
    "one-api": one_api.read,
}
"""How each product's database is read: a connection, its tables, and the product's own encryption key or ""."""

MOST_VALUE_BYTES = 64_000_000
LONGEST_S = 120.0
STEPS = 100_000
"""Of SQLite's machine, between two looks at the clock."""

_SQLITE = b"SQLite format 3\0"


def read_file(product: str, path: Path, encryption_key: str = "") -> Document:
    """An SQLite file of a product. Raises `Unreadable`. Blocks: to be run in a thread."""
    _look_at(path)
    # Immutable: nothing is written beside it, and no journal that lies there is played into it.
    return read_url(product, f"sqlite:///file:{path}?mode=ro&immutable=1&uri=true", encryption_key)


def read_url(product: str, url: str, encryption_key: str = "") -> Document:
    """A product's database, by its URL: SQLite, PostgreSQL, or MySQL where its driver is installed."""
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite" and parsed.database and not parsed.query:
            _look_at(Path(parsed.database))
        engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True)
        if parsed.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _mistrust)
    except (ArgumentError, ModuleNotFoundError, SQLAlchemyError) as error:
        raise Unreadable(f"That database cannot be opened: {_told(error)}.") from None
    try:
        with engine.connect() as connection:
            return READERS[product](connection, set(inspect(connection).get_table_names()), encryption_key)
    except DatabaseError as error:
        raise Unreadable(f"That database cannot be read: {_told(error)}.") from None
    finally:
        engine.dispose()


def _look_at(path: Path) -> None:
    """SQLite would make a file where there is none."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(_SQLITE))
    except OSError as error:
        raise Unreadable(f"That file cannot be read: {error.strerror}.") from None
    if begins != _SQLITE:
        raise Unreadable("That is no SQLite database.")


def _mistrust(connection: Any, _record: object) -> None:
    """A file somebody sent may compute its columns: it calls nothing, and takes neither all memory nor all time."""
    for pragma in ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0"):
        connection.execute(f"PRAGMA {pragma}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE_BYTES)
    end = time.monotonic() + LONGEST_S
    connection.set_progress_handler(lambda: time.monotonic() > end, STEPS)


def _told(error: Exception) -> str:
    """What went wrong, in one line, without the URL: it may hold a password."""
    inner = getattr(error, "orig", None) or error
    return type(inner).__name__ if isinstance(inner, ArgumentError) else str(inner).strip().split("\n")[0][:200]
