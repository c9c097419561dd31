"""Long work as a person sees it: what runs with its progress, what ended with what became of each row, and undo."""

from __future__ import annotations

from itertools import islice
from typing import Any

from flask import Response, abort, flash, request, url_for
from flask_babel import gettext as _

from pool.adapters import queries
from pool.jobs import QUEUED, RUNNING, STATES
from pool.web import htmx
from pool.web.acts import can_be_put_back
from pool.web.admin import admin
from pool.web.admin.key_filters import MOST
from pool.web.bulk import undo
from pool.web.here import keypool, read
from pool.web.ids import row_id
from pool.web.job_words import job_colour, job_fate_text, job_state_text, kind_text, origin_text
from pool.web.origin import own_path
from pool.web.stopping import stop_job

for _name, _words in (
    ("job_kind", kind_text), ("job_state", job_state_text), ("job_colour", job_colour), ("job_fate", job_fate_text),
    ("import_origin", origin_text),
):  # fmt: skip
    admin.add_app_template_filter(_words, _name)

SIZE = 50
UNDER_WAY = (QUEUED, RUNNING)
NAMED = 60
"""Rows of each fate that the page of a job names."""

SOON_S = 1.5
"""So long somebody waits for work that may be done by then."""


@admin.get("/jobs")
def jobs() -> Response:
    state = request.args.get("state", "")
    state = state if state in STATES else ""
    after = request.args.get("after", 0, type=row_id)
    rows = read(queries.job_page, after=after, size=SIZE + 1, state=state)
    page = rows[:SIZE]
    return htmx.page(
        "jobs/list.html", "jobs/_table.html", jobs=page, state=state, states=STATES, after=after,
        more=page[-1].id if len(rows) > SIZE else 0, busy=any(job.state in UNDER_WAY for job in page),
        address=request.full_path.rstrip("?"),
    )  # fmt: skip


@admin.get("/jobs/<int:job_id>")
def job(job_id: int) -> Response:
    """One job. While it is under way, the page looks again by itself."""
    found = _found(job_id)
    back = own_path(request.args.get("back", ""), "")
    address = url_for(".job", job_id=job_id, back=back or None)
    return htmx.page(
        "jobs/one.html", "jobs/_job.html", job=found, busy=found.state in UNDER_WAY, named=_named(found), back=back,
        address=address, undo=_undo_of(found), import_id=_import_of(found),
    )  # fmt: skip


@admin.post("/jobs/<int:job_id>/cancel")
def cancel_job(job_id: int) -> Response:
    """It stops after the slice it is at."""
    found = _found(job_id)
    if stop_job(found):
        keypool().jobs.wait(job_id, SOON_S)
        flash(_("It stops. What is done stays done."))
    else:
        flash(_("It is over already."))
    return htmx.moved(_back(job_id))


@admin.post("/jobs/<int:job_id>/undo")
def undo_job(job_id: int) -> Response:
    """Bring back what was there before a job on many keys."""
    entry_id = _undo_of(_found(job_id))
    found = read(queries.entry, entry_id) if entry_id else None
    if not entry_id or found is None or not can_be_put_back(*found):
        abort(404)
    at_it = undo(entry_id, *found)
    if at_it is None or keypool().jobs.wait(at_it, SOON_S):
        flash(_("Undone."))
        return htmx.moved(_back(job_id))
    return htmx.moved(url_for(".job", job_id=at_it))


def _found(job_id: int) -> queries.JobRow:
    row = read(queries.job_row, job_id)
    if row is None:
        abort(404)
    return row


def _back(job_id: int) -> str:
    """The page of the job, or the list: wherever the button was."""
    return own_path(request.form.get("back", ""), url_for(".job", job_id=job_id))


def _undo_of(row: queries.JobRow) -> int | None:
    """The entry of the trail that leads back."""
    entry_id = (row.undo or {}).get("audit")
    return int(entry_id) if entry_id and row.state not in UNDER_WAY else None


def _import_of(row: queries.JobRow) -> int | None:
    """The import that a job took in, or takes back."""
    found = (row.undo or {}).get("import") or (row.result or {}).get("import_id")
    return int(found) if found else None


def _named(row: queries.JobRow) -> list[dict[str, Any]]:
    """What became of rows: each fate, its number, some keys of it by their masks, and the ids of those there are."""
    live = keypool().catalogue.keys
    some = {fate: [each for each in ids if isinstance(each, int)][:NAMED] for fate, ids in row.rows.items()}
    every = sorted({key_id for ids in some.values() for key_id in ids})
    known = {each.id: each for binned in (False, True) for each in read(queries.some_keys, every, binned)}
    return [
        {
            "fate": fate, "number": number, "keys": [known[key_id] for key_id in some.get(fate, ()) if key_id in known],
            "ids": list(islice((each for each in row.rows.get(fate, ()) if each in live), MOST)),
        }
        for fate, number in row.fates.items()
    ]  # fmt: skip
