"""Inserts of many rows, and of rows that meet others of their own key, in the words both databases share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert_into(session: Session, table: Any) -> Any:
    """An insert that knows `on_conflict_do_…`."""
    return (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(table)


def insert_rows(
    session: Session,
    table: Any,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    keys: tuple[str, ...] = (),
    add: tuple[str, ...] = (),
) -> None:
    """Insert plain values as the driver takes them: no column's type has a say in them, which makes it cheap.

    So text must be `storable`, and JSON be written out. With `keys` a row that is there gets the columns `add` added.
    """
    run_rows(session, _insert(table.__tablename__, columns, keys, add), rows)


def run_rows(session: Session, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run a statement once for each row of values for its marks (`?`), which are bound as in `insert_rows`."""
    if rows:
        connection = session.connection()
        words = statement.replace("?", "%s") if connection.dialect.name == "postgresql" else statement
        connection.exec_driver_sql(words, list(rows))


@lru_cache(maxsize=16)
def _insert(table: str, columns: tuple[str, ...], keys: tuple[str, ...], add: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 — names of our own
    if not keys:
        return statement
    sums = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in add)
    return f"{statement} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sums}"


def upsert(
    session: Session,
    table: Any,
    rows: list[dict[str, Any]],
    keys: tuple[str, ...],
    *,
    add: tuple[str, ...] = (),
    replace: tuple[str, ...] = (),
) -> None:
    """Insert, or add to and replace columns of the row that is there."""
    if not rows:
        return
    statement = insert_into(session, table)
    changes: dict[str, Any] = {name: getattr(table, name) + statement.excluded[name] for name in add}
    changes |= {name: statement.excluded[name] for name in replace}
    session.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changes), rows)
