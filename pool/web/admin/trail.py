"""The audit trail: who changed what, how they came in, and what was there before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response, abort, request, url_for
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from pool.adapters import queries
from pool.web import htmx
from pool.web.admin import admin
from pool.web.admin.requests import PIECE, SIZE, after_of
from pool.web.api.paging import Place, cursor
from pool.web.here import read
from pool.web.moments import parse_moment
from pool.web.origin import own_path
from pool.web.sheets import csv_file
from pool.web.stat_words import iso
from pool.web.trail_words import ACTIONS, action_text, differences, object_text, object_url, via_text

for _name, _words in (("action", action_text), ("via", via_text), ("thing", object_text), ("thing_url", object_url)):
    admin.add_app_template_filter(_words, _name)

NAMES = ("action", "object", "who", "since", "until")


@dataclass(frozen=True, slots=True)
class Filters:
    """`args` is what the URL says, as it says it."""

    args: dict[str, str]
    troubles: dict[str, str]
    wanted: queries.TrailWanted


@admin.get("/audit")
def audit_trail() -> Response:
    filters, after = _filters(request.args), after_of(request.args.get("after"))
    rows = _page(filters, SIZE + 1, after)
    return htmx.page(
        "audit/page.html",
        "audit/_found.html",
        rows=rows[:SIZE],
        filters=filters,
        actions=ACTIONS,
        after=after,
        more=cursor(rows[SIZE - 1].at, rows[SIZE - 1].id) if len(rows) > SIZE else "",
        back=request.full_path.rstrip("?"),
    )


@admin.get("/audit/<int:entry_id>")
def one_change(entry_id: int) -> Response:
    """A change with what was there before; for htmx its rows in the list, unfolded or not."""
    row = read(queries.trail_entry, entry_id)
    if row is None:
        abort(404)
    back = own_path(request.args.get("back", ""), url_for(".audit_trail"))
    members = None if "folded" in request.args else differences(row)
    return htmx.page("audit/one.html", "audit/_row.html", row=row, members=members, back=back)


@admin.get("/audit.csv")
def audit_sheet() -> Response:
    """What is filtered, whole."""
    header = ("at", "who", "via", "ip", "action", "object", "before", "after")
    return csv_file("keypool-audit.csv", header, _lines(_filters(request.args)))


def _lines(filters: Filters) -> Iterator[tuple[Any, ...]]:
    after: Place | None = None
    while rows := _page(filters, PIECE, after):
        after = rows[-1].at, rows[-1].id
        for row in rows:
            yield iso(row.at), row.who, row.via, row.ip, row.action, row.object, _json(row.before), _json(row.after)


def _json(table: dict[str, Any] | None) -> str:
    return orjson.dumps(table).decode() if table else ""


def _page(filters: Filters, size: int, after: Place | None) -> list[queries.Changed]:
    return [] if filters.troubles else read(queries.trail_page, filters.wanted, size, after)


def _filters(given: MultiDict[str, str]) -> Filters:
    args = {name: given.get(name, "").strip()[:200] for name in NAMES}
    args = {name: value for name, value in args.items() if value}
    troubles: dict[str, str] = {}
    moments: dict[str, float | None] = {}
    for name in ("since", "until"):
        try:
            moments[name] = parse_moment(args.get(name, ""))
        except (ValueError, OverflowError):
            troubles[name] = _("A moment looks like 2026-01-31T18:00.")
    words = {name: args.get(name, "") for name in ("action", "object", "who")}
    return Filters(args, troubles, queries.TrailWanted(**words, **moments))  # type: ignore[arg-type]
