"""How the readers of other products' databases ask for rows, and say what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, inspect, select, table
from sqlalchemy import column as named


def columns_of(connection: Connection, name: str) -> set[str]:
    """The columns of a table, which differ between versions of a product."""
    return {each["name"] for each in inspect(connection).get_columns(name)}


def rows_of(connection: Connection, name: str, columns: Sequence[str], order: str = "id") -> Iterator[dict[str, Any]]:
    """The rows of a table, with those of the columns that this version of the product has; the others are None."""
    have = columns_of(connection, name)
    wanted = [each for each in columns if each in have]
    query: Any = select(*(named(each) for each in wanted)).select_from(table(name))
    if order in have:
        query = query.order_by(named(order))
    missing = dict.fromkeys(set(columns) - have)
    for row in connection.execute(query).mappings():
        yield {**missing, **row}


def parsed(value: Any, usual: Any) -> Any:
    """JSON of a column, which a driver may have read already; `usual` where there is none, or none that can be read."""
    if isinstance(value, str | bytes | memoryview):
        try:
            value = orjson.loads(bytes(value) if isinstance(value, memoryview) else value)
        except orjson.JSONDecodeError:
            return usual
    return value if isinstance(value, type(usual)) else usual


def split(value: Any) -> list[str]:
    """A list that is kept as text: by commas or lines, each once."""
    pieces = str(value or "").replace("\n", ",").split(",")
    return list(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))
