"""Keys in full, to be pasted elsewhere: only with the password, and never without a line in the audit trail."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, request
from flask_babel import gettext as _

from pool.core.faults import Fault
from pool.web import htmx
from pool.web.admin import admin
from pool.web.admin.key_filters import MOST, chosen
from pool.web.admin.keys import back_of, found
from pool.web.bulk import Selection
from pool.web.here import aside
from pool.web.key_formats import FORMATS
from pool.web.login import unlocked
from pool.web.shown import count
from pool.web.wholes import MEDIA, note_copy, rows_of, wholes
from pool.web.wholes import MOST as MOST_COPIED

ENDINGS = {"lines": "txt", "csv": "csv", "json": "json", "env": "env"}


@admin.post("/keys/selected/copy")
def copy_selected() -> Response:
    """Up to 500 to look at and to copy, up to 10,000 as a file."""
    return _copy(chosen())


@admin.post("/keys/<int:key_id>/copy")
def copy_key(key_id: int) -> Response:
    return _copy(Selection([found(key_id).id]))


def _copy(selection: Selection) -> Response:
    back, as_file = back_of(request.form), request.form.get("file", "")
    wanted = as_file or request.form.get("format", "")
    wanted = wanted if wanted in FORMATS else "lines"
    try:
        rows = rows_of(selection)
    except Fault:
        flash(_("These are more than %(most)s keys: narrow them down.", most=count(MOST_COPIED)))
        return htmx.moved(back)
    if not rows:
        flash(_("Tick some keys first."))
        return htmx.moved(back)
    context: dict[str, Any] = {
        "number": len(rows), "ids": selection.ids, "every": selection.wanted is not None, "back": back,
        "format": wanted, "formats": tuple(FORMATS), "shown": len(rows) <= MOST,
    }  # fmt: skip
    allowed, error = unlocked()
    if not allowed:
        return htmx.page("keys/copy.html", "keys/_copy.html", 403, **context, allowed=False, text="", error=error)
    if not as_file and not context["shown"]:
        return htmx.page("keys/copy.html", "keys/_copy.html", **context, allowed=True, text="", error="")
    text = aside(FORMATS[wanted], wholes(rows))
    note_copy(rows, wanted)
    if as_file:
        response = Response(text, content_type=f"{MEDIA[wanted]}; charset=utf-8")
        response.headers["Content-Disposition"] = f'attachment; filename="keys.{ENDINGS[wanted]}"'
        return response
    return htmx.page("keys/copy.html", "keys/_copy.html", **context, allowed=True, text=text, error="")
