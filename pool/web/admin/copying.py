"""Keys in full, to be pasted elsewhere: only with the password, and never without a line in the audit trail."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from flask import Response, flash, request
from flask_babel import gettext as _

from pool.adapters import queries
from pool.web import htmx
from pool.web.admin import admin
from pool.web.admin.keys import back_of
from pool.web.admin.selection import hints, named, selected
from pool.web.here import audit, keypool
from pool.web.login import unlocked
from pool.web.sheets import safe

_PLAIN = re.compile(r"[\w.\-+/=:,]*")


@dataclass(frozen=True, slots=True)
class Whole:
    """A key with its secret."""

    row: queries.KeyRow
    secret: str


@admin.post("/keys/selected/copy")
def copy_selected() -> Response:
    rows, back = selected(), back_of(request.form)
    wanted = request.form.get("format", "")
    wanted = wanted if wanted in FORMATS else "lines"
    if not rows:
        flash(_("Tick some keys first."))
        return htmx.moved(back)
    context: dict[str, Any] = {"rows": rows, "back": back, "format": wanted, "formats": tuple(FORMATS)}
    allowed, error = unlocked()
    if not allowed:
        return htmx.page("keys/copy.html", "keys/_copy.html", 403, **context, text="", error=error)
    secrets = keypool().inventory.secrets([row.id for row in rows])
    audit("key.copy", named(rows), after={"keys": hints(rows), "format": wanted})
    text = FORMATS[wanted]([Whole(row, secrets[row.id]) for row in rows if row.id in secrets])
    return htmx.page("keys/copy.html", "keys/_copy.html", **context, text=text, error="")


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
    """As the environment of a Keypool takes them: a variable a provider."""
    by_variable: dict[str, list[str]] = {}
    for key in keys:
        slug = key.row.provider
        variable = "API_KEYS" if slug == "gemini" else re.sub(r"\W", "_", slug).upper() + "_API_KEYS"
        by_variable.setdefault(variable, []).append(key.secret)
    return "".join(f"{variable}={_quoted(','.join(secrets))}\n" for variable, secrets in by_variable.items())


def _quoted(value: str) -> str:
    """A value that readers of .env files take as it is."""
    if _PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


FORMATS: dict[str, Callable[[Sequence[Whole]], str]] = {"lines": _lines, "csv": _csv, "json": _json, "env": _env}
