"""What a backup holds: the rows of the tables that an empty machine needs, as lines of JSON, secrets in the clear.

Only `envelope` writes them anywhere. A page is read at a time, so that neither the hub nor the writer waits; what is
changed meanwhile may be in it or not, and what refers to a row that came too late is left out.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import LargeBinary, select, tuple_
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import Database
from pool.adapters.vault import SEALED, Vault

FORMAT = 1
PAGE = 400

INVENTORY: tuple[Any, ...] = (
    tables.Provider, tables.Pool, tables.Import, tables.ClientKey, tables.Setting, tables.Key, tables.Membership,
    tables.KeyHealth, tables.LearnedLimit, tables.Affinity, tables.AuditEntry,
)  # fmt: skip
USAGE: tuple[Any, ...] = (tables.Counter, tables.UsageHour, tables.TrafficHour, tables.OutcomeHour)
BY_NAME = {model.__tablename__: model for model in (*INVENTORY, *USAGE)}
"""In the order in which they can be written: nothing refers to a later one, but a pool to its fallback."""

_SEALED = {(model.__tablename__, column.key) for model, column in SEALED}


def columns_of(model: Any) -> list[Any]:
    return list(model.__table__.columns)


def is_sealed(model: Any, column: Any) -> bool:
    return (model.__tablename__, column.name) in _SEALED


def is_digest(model: Any, column: Any) -> bool:
    return isinstance(column.type, LargeBinary) and not is_sealed(model, column)


def records(
    database: Database, vault: Vault, first: dict[str, Any], usage: bool, aside: Callable[..., Any]
) -> Iterator[bytes]:
    """The lines of a backup, some hundred at a time. `aside` runs what is long in a thread."""
    yield _line({"keypool": "backup", "format": FORMAT, **first, "fingerprint_key": vault.exported()})
    rows = {}
    for model in INVENTORY + (USAGE if usage else ()):
        rows[model.__tablename__] = 0
        yield _line({"table": model.__tablename__, "columns": [column.name for column in columns_of(model)]})
        for page in _pages(database, model):
            rows[model.__tablename__] += len(page)
            yield aside(_rendered, model, page, vault)
    yield _line({"end": True, "rows": rows})


def _pages(database: Database, model: Any) -> Iterator[Sequence[Any]]:
    after: tuple[Any, ...] | None = None
    places = [index for index, column in enumerate(columns_of(model)) if column.primary_key]
    while page := database.read(_page, model, after):
        yield page
        after = tuple(page[-1][place] for place in places)


def _page(session: Session, model: Any, after: tuple[Any, ...] | None) -> Sequence[Any]:
    table = model.__table__
    ids = [column for column in table.columns if column.primary_key]
    query = select(*table.columns).order_by(*ids).limit(PAGE)
    if after is not None:
        query = query.where(tuple_(*ids) > tuple_(*after) if len(ids) > 1 else ids[0] > after[0])
    return [tuple(row) for row in session.execute(query)]


def _rendered(model: Any, page: Sequence[Any], vault: Vault) -> bytes:
    columns = columns_of(model)
    opened = [index for index, column in enumerate(columns) if is_sealed(model, column)]
    digests = [index for index, column in enumerate(columns) if is_digest(model, column)]
    lines = []
    for row in page:
        cells = list(row)
        for index in opened:
            cells[index] = vault.decrypt(cells[index]) if cells[index] is not None else None
        for index in digests:
            cells[index] = base64.b64encode(cells[index]).decode() if cells[index] is not None else None
        lines.append(_line(cells))
    return b"".join(lines)


def _line(value: Any) -> bytes:
    return orjson.dumps(value) + b"\n"
