"""An export as text: JSON that an import takes back, CSV for spreadsheets, lines and `.env` of keys alone.

Each writer is handed rows page by page and yields text page by page: no export is too long.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

import orjson

from pool.core.addresses import masked_proxy
from pool.core.documents import FORMAT
from pool.web.key_formats import env
from pool.web.sheets import safe

Row = dict[str, Any]
SECTIONS = ("providers", "pools", "clients", "settings")

_KEY_COLUMNS = (
    "key", "provider", "name", "email", "note", "tags", "project", "weight", "pools", "max_requests",
    "max_requests_window", "disabled", "disabled_until", "dead_reason", "created_at",
)  # fmt: skip


def bared(row: Row, opened: Callable[[bytes], str], whole: bool) -> Row:
    """A row fit for JSON: its secrets opened, or (unless `whole`) as their masks."""
    told = {name: value for name, value in row.items() if name not in ("id", "hint")}
    for name in ("key", "auth_key"):
        if name in told:
            told[name] = opened(told[name]) if whole and told[name] else row["hint"]
    if told.get("proxy_url"):
        url = opened(told["proxy_url"])
        told["proxy_url"] = url if whole else masked_proxy(url)
    if "key" not in told and "auth_key" not in told and "hint" in row:
        told["hint"] = row["hint"]
    return told


def as_json(told: Mapping[str, Any], pages: Iterable[Sequence[Row]] | None) -> Iterator[bytes]:
    """A document with the members given, and with keys unless `pages` is None."""
    head = orjson.dumps({"keypool": "export", "format": FORMAT, **told}, option=orjson.OPT_INDENT_2)
    if pages is None:
        yield head + b"\n"
        return
    yield head[:-2] + b',\n  "keys": ['
    comma = b"\n    "
    for page in pages:
        text = comma + b",\n    ".join(orjson.dumps(row) for row in page)
        yield text
        comma = b",\n    "
    yield b"\n  ]\n}\n"


def as_lines(pages: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    for page in pages:
        yield "".join(f"{row['key']}\n" for row in page).encode()


def as_env(pages: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    """As the environment of a Keypool takes them: a variable a provider."""
    yield env((row["provider"], row["key"]) for page in pages for row in page).encode()


def keys_as_csv(pages: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    """The import takes it back."""
    yield _csv([_KEY_COLUMNS])
    for page in pages:
        yield _csv([[_cell(_flat(row).get(name)) for name in _KEY_COLUMNS] for row in page])


def _flat(row: Row) -> Row:
    seats = row["pools"]
    return {**row, "pools": [seat["name"] for seat in seats], "weight": seats[0]["weight"] if seats else None}


def as_csv(rows: Any) -> Iterator[bytes]:
    """One of the tables round the keys."""
    if isinstance(rows, dict):
        rows = [{"name": name, "value": value} for name, value in rows.items()]
    names = list(rows[0]) if rows else []
    yield _csv([names, *([_cell(row.get(name)) for name in names] for row in rows)])


def _cell(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return value


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    out = StringIO()
    csv.writer(out).writerows([safe(cell) for cell in row] for row in rows)
    return out.getvalue().encode()
