"""Importing keys: a paste becomes a sealed draft, the draft a preview, a yes the result."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from flask import Response, flash, g, make_response, redirect, render_template, request, url_for
from flask_babel import gettext as _

from pool.adapters import queries
from pool.core.catalogue import Pool
from pool.core.heap import uncollected
from pool.core.masking import mask
from pool.importing_keys import LEFT, Candidate
from pool.jobs import Progress
from pool.web import htmx
from pool.web.admin import admin
from pool.web.admin.import_form import ImportForm, apart
from pool.web.bulk import Selection, tester
from pool.web.here import aside, keypool, now, read, write
from pool.web.ids import row_id
from pool.web.importing import KIND, MOST_AT_ONCE, MOST_BYTES, decoded, taking_in
from pool.web.sheets import csv_file

SHOWN = 200
"""Rows of a preview that can be ticked one by one."""

MOST_PASSED = 20_000
"""Lines that were not taken, of which a result keeps what was wrong."""

BROUGHT = ("added", "linked", "restored")

SOON_S = 1.0
"""How long the answer waits for a job: many are over by then, and nobody has to see the page that waits."""


@admin.before_request
def _allow_long_pastes() -> None:
    if request.endpoint == "admin.draft_import":
        request.max_content_length = request.max_form_memory_size = MOST_BYTES


@admin.get("/keys/import")
def import_keys() -> Response:
    return _form(ImportForm(request.args.get("pool", keypool().catalogue.default_pool_id, type=row_id)))


@admin.post("/keys/import")
@uncollected()
def draft_import() -> Response:
    """Keep the paste, sealed, until somebody says yes to its preview."""
    text, form = _pasted(), ImportForm.sent(request.form)
    if not form.errors and not keypool().importer.holds_keys(text):
        form.errors["text"] = _("There is no key in that. Paste one key a line, or a file that holds some.")
    if form.errors:
        return _form(form)
    token = secrets.token_urlsafe(16)
    sealed = aside(keypool().vault.encrypt, form.beside(text))
    write(queries.keep_draft, token, sealed, now())
    return make_response(redirect(url_for(".preview_import", token=token), 303))


@admin.get("/keys/import/<token>")
@uncollected()
def preview_import(token: str) -> Response:
    known, sealed = _result(token), read(queries.draft, token, now())
    if known is not None or sealed is None:
        return known or _gone()
    pool, missing, form, candidates = _candidates(sealed)
    sums = keypool().importer.sums(candidates)
    page = make_response(
        render_template(
            "imports/preview.html",
            token=token,
            pool=pool,
            missing=missing,
            form=form,
            candidates=candidates[:SHOWN],
            total=len(candidates),
            counts=sums.counts,
            unsure=sums.unsure,
            takeable=sums.takeable,
        )
    )
    keypool().importer.forget(candidates)
    return page


@admin.post("/keys/import/<token>")
@uncollected()
def confirm_import(token: str) -> Response:
    """Take in what was ticked. What became of it has a page of its own, where a second yes leads to as well."""
    known, sealed = _result(token), read(queries.draft, token, now())
    if known is not None or sealed is None:
        return known or _gone()
    pool, _missing, form, candidates = _candidates(sealed)
    if request.form.get("pool", pool.id, type=row_id) != pool.id:
        # The pool was deleted while somebody looked at the preview: nothing goes where nobody said it should.
        return htmx.moved(url_for(".preview_import", token=token))
    ticked = frozenset(request.form.getlist("take", type=row_id))
    total = aside(_count, candidates, ticked)
    if not total:
        flash(_("No key is ticked, so none was imported."))
        return htmx.moved(url_for(".preview_import", token=token))
    if not write(queries.begin_import, token, now()):
        return _result(token) or _gone()
    _take_in(token, candidates, ticked, pool, total, form.check)
    return htmx.moved(url_for(".import_result", token=token))


def _take_in(
    token: str, candidates: list[Candidate], ticked: frozenset[int], pool: Pool, total: int, check: bool
) -> None:
    """Take the keys in: at once where they are few, else as a job whose progress the page of the result shows."""
    keep, test = keypool().database.write, tester()
    passed = aside(_passed_over, candidates, ticked)

    def end(told: Mapping[str, Any] | None) -> None:
        if told is None:
            keep(queries.give_up_import, token)
            return
        brought = sum(told["fates"].get(fate, 0) for fate in BROUGHT)
        tested = check and told["import_id"]
        job_id = test(Selection(wanted=queries.Wanted(now(), import_id=told["import_id"])), brought) if tested else None
        keep(queries.end_import, token, json.dumps({**told, "passed": passed, "test_job": job_id}), now())

    work = taking_in(candidates, lambda each: _wanted(each, ticked), pool, "paste", end=end)
    if total <= MOST_AT_ONCE:
        work(Progress(total))
        return
    job_id = keypool().jobs.begin(KIND, "admin", g.get("via", "session"), work, total)
    write(queries.note_import_job, token, job_id)
    keypool().jobs.wait(job_id, SOON_S)


def _passed_over(candidates: Sequence[Candidate], ticked: frozenset[int]) -> list[list[Any]]:
    """Lines that are not taken: their number, mask, what they would have been and what is wrong. Runs aside."""
    left = (each for each in candidates if not (each.takeable and _wanted(each, ticked)))
    return [
        [each.row.line, mask(each.row.secret) if each.row.secret else "", LEFT if each.takeable else each.fate,
         each.row.problem]
        for each in islice(left, MOST_PASSED)
    ]  # fmt: skip


@admin.get("/keys/import/<token>/result")
def import_result(token: str) -> Response:
    """What became of a paste, for an hour. While its keys are being taken in, the page asks again by itself."""
    told = read(queries.import_result, token, now())
    if told is None:
        return _gone()
    if not told:
        job = read(queries.job_row, read(queries.import_job, token))
        page = make_response(render_template("imports/under_way.html", job=job))
        page.headers["Refresh"] = "2"
        return page
    known = json.loads(told)
    known["rejects"] = known["rejects"][:SHOWN]
    known["passed"] = len(known.get("passed", ()))
    counted = {name: Counter(known[name]) for name in ("fates", "counts")}
    batch = read(queries.import_row, known["import_id"]) if known.get("import_id") else None
    undoable = batch is not None and batch.undone_at is None
    return make_response(render_template("imports/result.html", **{**known, **counted}, undoable=undoable, token=token))


@admin.get("/keys/import/<token>/rejects.csv")
def import_rejects(token: str) -> Response:
    """The lines of a paste that were not taken, masked, with why."""
    told = read(queries.import_result, token, now())
    if not told:
        return _gone()
    header = ("line", "key", "state", "problem")
    return csv_file("keypool-lines-not-taken.csv", header, json.loads(told).get("passed", ()))


def _result(token: str) -> Response | None:
    """The way to what became of a paste; None where nothing is known of it."""
    if read(queries.import_result, token, now()) is None:
        return None
    return htmx.moved(url_for(".import_result", token=token))


def _form(form: ImportForm) -> Response:
    catalogue = keypool().catalogue
    return htmx.page(
        "imports/new.html",
        "imports/_new.html",
        422 if form.errors else 200,
        pools=list(catalogue.pools.values()),
        providers=list(catalogue.providers),
        form=form,
    )


def _pasted() -> str:
    """The text area and the file, one after the other."""
    file = request.files.get("file")
    uploaded = decoded(file.read()) if file and file.filename else ""
    pasted = request.form.get("text", "")
    return f"{pasted}\n{uploaded}" if pasted.strip() and uploaded else pasted.strip("\r\n") or uploaded


def _gone() -> Response:
    flash(_("That paste is gone: it is older than an hour."))
    return make_response(redirect(url_for(".import_keys"), 303))


def _candidates(sealed: bytes) -> tuple[Pool, bool, ImportForm, list[Candidate]]:
    """A draft's pool, or `default` where it is missing by now; what is wished of its keys; and all of its rows."""
    vault, catalogue = keypool().vault, keypool().catalogue
    form, text = apart(aside(vault.decrypt, sealed))
    chosen = catalogue.pools.get(form.pool_id)
    pool = chosen or catalogue.pools[catalogue.default_pool_id]
    return pool, chosen is None, form, keypool().importer.candidates(text, form.wish(pool))


def _count(candidates: list[Candidate], ticked: frozenset[int]) -> int:
    return sum(each.takeable and _wanted(each, ticked) for each in candidates)


def _wanted(each: Candidate, ticked: frozenset[int]) -> bool:
    """Is it ticked? Beyond the rows that are shown nobody could tick or untick."""
    return each.index >= SHOWN or each.index in ticked
