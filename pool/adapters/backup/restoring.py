"""Reading a backup back: first all of it, to see that it is whole and ours, then its rows, in their order."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import next_revision
from pool.adapters.days import begin_days_anew
from pool.adapters.schema import revisions
from pool.adapters.vault import FINGERPRINT_KEY, Vault

from . import records
from .envelope import BadBackup, Lock, lines_of, unlock

SLICE = 150
RESTORED = "restored"
"""Counts in `meta` how often everything was replaced: workers that knew another number begin anew."""

_HISTORY: tuple[Any, ...] = (tables.Attempt, tables.Request)
_DAMAGED = "This backup is damaged: {}."


@dataclass(frozen=True, slots=True)
class Contents:
    """A backup that is whole: what it says of itself, and how many rows of each table it has."""

    path: Path
    lock: Lock = field(repr=False)
    made_at: float
    version: str
    schema: str
    fingerprint_key: str = field(repr=False)
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one table, as they are to be written but for what is sealed."""

    model: Any
    rows: list[dict[str, Any]] = field(repr=False)


def contents(path: Path, passphrase: str) -> Contents:
    """Read all of it, keep nothing. Raises `BadBackup`. To be run in a thread."""
    with path.open("rb") as file:
        reader = _Reader(path, unlock(file, passphrase))
    for _ in reader.slices():
        pass
    return reader.contents()


def slices(found: Contents) -> Iterator[Rows]:
    """The rows of a backup, some at a time."""
    return _Reader(found.path, found.lock).slices()


class _Reader:
    """Walks through the lines once; what it met is known at the end."""

    def __init__(self, path: Path, lock: Lock) -> None:
        self._path = path
        self._lock = lock
        self._first: dict[str, Any] = {}
        self._counted: dict[str, int] = {}
        self._ended = False

    def slices(self) -> Iterator[Rows]:
        model: Any = None
        columns: list[Any] = []
        kept: list[dict[str, Any]] = []
        with self._path.open("rb") as file:
            for line in lines_of(file, self._lock):
                value = _parsed(line)
                if isinstance(value, list) and model is not None and len(value) == len(columns):
                    kept.append(_row(model, columns, value))
                    if len(kept) == SLICE:
                        yield self._counting(model, kept)
                        kept = []
                    continue
                if kept:
                    yield self._counting(model, kept)
                    kept = []
                if not isinstance(value, dict):
                    raise BadBackup(_DAMAGED.format("a row does not fit its table"))
                if not self._first:
                    self._first = _first(value)
                elif value.get("end") is True:
                    self._end(value)
                else:
                    model, columns = _table(value)

    def _counting(self, model: Any, rows: list[dict[str, Any]]) -> Rows:
        name = model.__tablename__
        self._counted[name] = self._counted.get(name, 0) + len(rows)
        return Rows(model, rows)

    def _end(self, value: dict[str, Any]) -> None:
        stated = {name: count for name, count in (value.get("rows") or {}).items() if count}
        if stated != self._counted:
            raise BadBackup(_DAMAGED.format("it has not the rows it says it has"))
        self._ended = True

    def contents(self) -> Contents:
        if not self._ended:
            raise BadBackup(_DAMAGED.format("its last line is missing"))
        said = {name: self._first[name] for name in ("made_at", "version", "schema", "fingerprint_key")}
        return Contents(self._path, self._lock, **said, rows=self._counted)


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        raise BadBackup(_DAMAGED.format("a line of it cannot be read")) from None


def _first(value: dict[str, Any]) -> dict[str, Any]:
    """The line that says what follows. Raises `BadBackup` for what only a newer version understands."""
    texts = all(isinstance(value.get(name), str) for name in ("version", "schema", "fingerprint_key"))
    numbers = isinstance(value.get("made_at"), int | float) and isinstance(value.get("format"), int)
    if value.get("keypool") != "backup" or not (texts and numbers):
        raise BadBackup(_DAMAGED.format("its first line says nothing of a backup"))
    if value["format"] > records.FORMAT or value["schema"] > revisions()[-1]:
        raise BadBackup(
            f"This backup was made by Keypool {value['version']}, which is newer than this one: restore it with that."
        )
    return value


def _table(value: dict[str, Any]) -> tuple[Any, list[Any]]:
    model = records.BY_NAME.get(value.get("table", ""))
    if model is None or not isinstance(value.get("columns"), list):
        raise BadBackup(_DAMAGED.format("it has a table that nobody knows"))
    known = {column.name: column for column in records.columns_of(model)}
    if not known.keys() >= set(value["columns"]):
        raise BadBackup(_DAMAGED.format(f"{model.__tablename__} has a column that nobody knows"))
    return model, [known[name] for name in value["columns"]]


def _row(model: Any, columns: Sequence[Any], cells: list[Any]) -> dict[str, Any]:
    row = {}
    for column, cell in zip(columns, cells, strict=True):
        if cell is not None and records.is_digest(model, column):
            try:
                cell = base64.b64decode(cell, validate=True)
            except (ValueError, TypeError):
                raise BadBackup(_DAMAGED.format(f"{column.name} is not what it should be")) from None
        row[column.name] = cell
    return row


def replace_all(session: Session, vault: Vault, found: Contents) -> dict[str, int]:
    """Put what a backup has in the place of all there is, in the caller's transaction. How many rows there are now."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL statement_timeout = 0"))
    revision = next_revision(session)
    _clear(session, same=found.fingerprint_key == vault.exported())
    known = tables.Meta.name == FINGERPRINT_KEY
    session.execute(update(tables.Meta).where(known).values(value=vault.wrapped(found.fingerprint_key)))
    written, ids, fallbacks = dict[str, int](), dict[str, set[int]](), list[tuple[int, int]]()
    for some in slices(found):
        rows = [row for row in some.rows if _belongs(some.model, row, ids)]
        for row in rows:
            _settle(some.model, row, revision, ids, fallbacks, vault)
        if rows:
            session.execute(insert(some.model.__table__), rows)
        name = some.model.__tablename__
        written[name] = written.get(name, 0) + len(rows)
    for pool_id, fallback in fallbacks:
        if fallback in ids.get("pools", ()):
            session.execute(update(tables.Pool).where(tables.Pool.id == pool_id).values(fallback_pool_id=fallback))
    _begin_anew(session)
    return written


def _clear(session: Session, same: bool) -> None:
    """Nothing of before stays but the password, and who is signed in where tokens are found as before."""
    if not same:
        session.execute(delete(tables.LoginSession))
    session.execute(update(tables.Pool).values(fallback_pool_id=None))
    for model in (*_HISTORY, *reversed(records.INVENTORY), *records.USAGE):
        session.execute(delete(model))
    begin_days_anew(session)


_REFERS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "client_keys": (("pool_id", "pools", True),),
    "imports": (("pool_id", "pools", False),),
    "keys": (("provider_id", "providers", True), ("import_id", "imports", False)),
    "memberships": (("pool_id", "pools", True), ("key_id", "keys", True), ("import_id", "imports", False)),
    "key_health": (("key_id", "keys", True),),
}
"""Columns that lead to rows of another table, and whether a row without that one is left out."""


def _belongs(model: Any, row: dict[str, Any], ids: dict[str, set[int]]) -> bool:
    """Is all there that it leads to? A backup is read table by table, while others change them."""
    for column, table, needed in _REFERS.get(model.__tablename__, ()):
        if row.get(column) is not None and row[column] not in ids.get(table, ()):
            if needed:
                return False
            row[column] = None
    return True


def _settle(
    model: Any,
    row: dict[str, Any],
    revision: int,
    ids: dict[str, set[int]],
    fallbacks: list[tuple[int, int]],
    vault: Vault,
) -> None:
    """Seal what is secret with this machine's ring, and let the catalogue hear of the row."""
    for column in records.columns_of(model):
        if row.get(column.name) is not None and records.is_sealed(model, column):
            row[column.name] = vault.encrypt(row[column.name])
    if "revision" in row:
        row["revision"] = revision
    if model is tables.Pool and row.get("fallback_pool_id") is not None:
        fallbacks.append((row["id"], row["fallback_pool_id"]))
        row["fallback_pool_id"] = None
    if "id" in row:
        ids.setdefault(model.__tablename__, set()).add(row["id"])


def _begin_anew(session: Session) -> None:
    """Rows that come next get ids of their own, and every worker drops what it knew."""
    count = "INSERT INTO meta (name, value, number) VALUES (:name, '', 1)"
    session.execute(text(f"{count} ON CONFLICT (name) DO UPDATE SET number = meta.number + 1"), {"name": RESTORED})
    if session.get_bind().dialect.name != "postgresql":
        return
    for model in records.INVENTORY:
        if "id" in model.__table__.columns:
            table = model.__tablename__
            newest = session.scalar(select(model.id).order_by(model.id.desc()).limit(1)) or 0
            session.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, 'id'), :newest)"),
                {"table": table, "newest": max(1, newest)},
            )
