"""Keys in full as text to be pasted elsewhere: lines, CSV, JSON, `.env`. What it makes is secret."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from io import StringIO

from pool.adapters.queries import KeyRow
from pool.web.sheets import safe

_PLAIN = re.compile(r"[\w.\-+/=:,]*")


@dataclass(frozen=True, slots=True)
class Whole:
    """A key with its secret."""

    row: KeyRow
    secret: str = field(repr=False)


def _lines(keys: Sequence[Whole]) -> str:
    return "".join(f"{key.secret}\n" for key in keys)


def _csv(keys: Sequence[Whole]) -> str:
    """The import takes it back. Cells that a spreadsheet would run are made text."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(["key", "provider", "name", "email", "note", "pools"])
    for key in keys:
        row = key.row
        cells = (key.secret, row.provider, row.name, row.email, row.note, " ".join(row.pools))
        writer.writerow([safe(cell) for cell in cells])
    return out.getvalue()


def _json(keys: Sequence[Whole]) -> str:
    rows = [
        {
            "key": key.secret,
            "provider": key.row.provider,
            "name": key.row.name,
            "email": key.row.email,
            "note": key.row.note,
            "pools": list(key.row.pools),
        }
        for key in keys
    ]
    return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def _env(keys: Sequence[Whole]) -> str:
    return env((key.row.provider, key.secret) for key in keys)


def env(secrets: Iterable[tuple[str, str]]) -> str:
    """Providers and their keys as the environment of a Keypool takes them: a variable a provider."""
    by_variable: dict[str, list[str]] = {}
    for slug, secret in secrets:
        variable = "API_KEYS" if slug == "gemini" else re.sub(r"\W", "_", slug).upper() + "_API_KEYS"
        by_variable.setdefault(variable, []).append(secret)
    return "".join(f"{variable}={_quoted(','.join(each))}\n" for variable, each in by_variable.items())


def _quoted(value: str) -> str:
    """A value that readers of .env files take as it is."""
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


FORMATS: dict[str, Callable[[Sequence[Whole]], str]] = {"lines": _lines, "csv": _csv, "json": _json, "env": _env}
