"""Inserts that meet rows of their own key, in the words both databases share."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert_into(session: Session, table: Any) -> Any:
    """An insert that knows `on_conflict_do_…`."""
    return (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(table)


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
