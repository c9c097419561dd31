"""The bin: keys that were deleted within seven days, to be restored or deleted for good."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from pool.adapters import queries
from pool.core.keys import BINNED_S
from pool.web import htmx
from pool.web.acts import Deed
from pool.web.admin import admin
from pool.web.admin.jobs import SOON_S
from pool.web.api.key_shapes import cursor_of
from pool.web.bulk import Selection, act_as_job, act_at_once, few
from pool.web.here import keypool, now, read
from pool.web.ids import row_ids
from pool.web.origin import own_path
from pool.web.places import place_in

SIZE = 50
NEWEST = queries.Order("deleted_at", True)


@admin.get("/bin")
def key_bin() -> Response:
    search = request.args.get("q", "").strip()[:100]
    wanted = queries.Wanted(now(), search=search, binned=True)
    after = request.args.get("after", "")
    rows = read(queries.key_page, wanted, NEWEST, after=place_in(after), size=SIZE + 1)
    more = cursor_of(rows[SIZE - 1], NEWEST) if len(rows) > SIZE else ""
    total = read(queries.key_count, wanted) if rows else 0
    return make_response(
        render_template(
            "bin/list.html", rows=[(row, _ends(row)) for row in rows[:SIZE]], search=search, after=after, more=more,
            total=total, back=request.full_path.rstrip("?"),
        )
    )  # fmt: skip


@admin.post("/bin/restore")
def restore_binned() -> Response:
    """Out of the bin, into the pools they were in."""
    selection = _chosen()
    if not selection.count("restore"):
        return _said(_("Tick some keys first."))
    return _done(Deed("restore"), selection, _restored)


@admin.post("/bin/purge")
def purge_binned() -> Response:
    """Ask first, on a page of its own; its yes comes back here."""
    selection = _chosen()
    number = selection.count("purge")
    if not number:
        return _said(_("Tick some keys first."))
    if not request.form.get("sure"):
        some = read(queries.some_keys, selection.first("purge", 12), True)
        return make_response(
            render_template(
                "bin/purge.html", number=number, named=some, back=_back(), every=request.form.get("all", ""),
                q=request.form.get("q", ""), ids=[] if selection.wanted else selection.ids,
            )
        )  # fmt: skip
    return _done(Deed("purge"), selection, _purged)


def _chosen() -> Selection:
    """The keys that are ticked, or all that the search finds."""
    if request.form.get("all") == "yes":
        search = request.form.get("q", "").strip()[:100]
        return Selection(wanted=queries.Wanted(now(), search=search, binned=True))
    return Selection(sorted(row_ids([*request.form.getlist("key"), *request.form.get("keys", "").split(",")])))


def _done(deed: Deed, selection: Selection, told: Any) -> Response:
    if not few(selection, deed.action):
        job_id = act_as_job(deed, selection, selection.count(deed.action))
        keypool().jobs.wait(job_id, SOON_S)
        return htmx.moved(url_for(".job", job_id=job_id))
    key_ids = selection.ids if selection.wanted is None else selection.first(deed.action, 500)
    fates, _entry = act_at_once(deed, key_ids)
    return _said(told(len(fates)))


def _restored(number: int) -> str:
    return ngettext("%(num)d key is back.", "%(num)d keys are back.", number)


def _purged(number: int) -> str:
    return ngettext("%(num)d key is deleted for good.", "%(num)d keys are deleted for good.", number)


def _back() -> str:
    return own_path(request.form.get("back", ""), url_for(".key_bin"))


def _said(text: str) -> Response:
    flash(text)
    return htmx.moved(_back())


def _ends(row: queries.KeyRow) -> float:
    """When the bin forgets a key."""
    return (row.deleted_at or 0.0) + BINNED_S
