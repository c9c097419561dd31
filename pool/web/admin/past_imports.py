"""The imports there were: what each brought, who brought it, what is left of it, and taking it back."""

from __future__ import annotations

from flask import Response, abort, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _

from pool.adapters import queries
from pool.jobs import Progress
from pool.web import htmx
from pool.web.admin import admin
from pool.web.here import keypool, read
from pool.web.ids import row_id
from pool.web.importing import MOST_AT_ONCE, taking_back
from pool.web.origin import own_path
from pool.web.shown import count

SIZE = 50
NAMED = 60


@admin.get("/imports")
def past_imports() -> Response:
    after = request.args.get("after", 0, type=row_id)
    rows = read(queries.import_page, after=after, size=SIZE + 1)
    more = rows[SIZE - 1].id if len(rows) > SIZE else 0
    return make_response(render_template("imports/past.html", imports=rows[:SIZE], after=after, more=more))


@admin.get("/imports/<int:import_id>")
def past_import(import_id: int) -> Response:
    """One of them, with what undoing would take back."""
    batch, left = _found(import_id), read(queries.left_of, import_id)
    changed = read(queries.some_keys, left.changed[:NAMED])
    return make_response(render_template("imports/one.html", batch=batch, left=left, changed=changed))


@admin.post("/imports/<int:import_id>/undo")
def undo_import(import_id: int) -> Response:
    """Take back what an import made, but for what was changed since, unless that is ticked, too."""
    batch, forced = _found(import_id), request.form.get("force") == "yes"
    back = own_path(request.form.get("back", ""), url_for(".keys", pool=batch.pool_id))
    if batch.under_way or (batch.undone_at is not None and not forced):
        flash(_("Nothing was taken back: it is under way, or was undone already."))
        return htmx.moved(back)
    work, total = taking_back(import_id, forced), sum(batch.counts.values())
    if total > MOST_AT_ONCE:
        job_id = keypool().jobs.begin("import.undo", "admin", g.get("via", "session"), work, total)
        return htmx.moved(url_for(".job", job_id=job_id))
    progress = Progress(total)
    work(progress)
    fates = {fate: count(progress.fates[fate]) for fate in ("removed", "unlinked", "kept")}
    flash(_("Undone. %(removed)s keys are in the bin, %(unlinked)s left the pool, %(kept)s are kept.", **fates))
    return htmx.moved(back)


def _found(import_id: int) -> queries.ImportRow:
    row = read(queries.import_row, import_id)
    if row is None:
        abort(404)
    return row
