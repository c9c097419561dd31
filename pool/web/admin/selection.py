"""What is done to several keys at once: one POST a selection, with a way back where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.datastructures import MultiDict

from pool.adapters import queries
from pool.core import lengths
from pool.core.importing_words import tags_of
from pool.jobs import DONE
from pool.web import htmx
from pool.web.acts import Deed, can_be_put_back
from pool.web.admin import admin
from pool.web.admin.jobs import SOON_S
from pool.web.admin.key_filters import MOST, chosen
from pool.web.admin.keys import back_of, listing, until_of
from pool.web.bulk import Selection, act_as_job, act_at_once, few, hints, named, undo
from pool.web.check_words import summary
from pool.web.here import audit, keypool, read
from pool.web.ids import row_id
from pool.web.names import isolated

NAMED = 12
"""Keys that the question before deleting names."""

MOST_WEIGHT = 100

Text = Callable[[int], str]
"""What is said of so many keys."""


@admin.post("/keys/selected/enable")
def enable_selected() -> Response:
    return _act(Deed("enable"), lambda n: ngettext("%(num)d key is enabled.", "%(num)d keys are enabled.", n))


@admin.post("/keys/selected/disable")
def disable_selected() -> Response:
    deed = Deed("disable", until=until_of(request.form.get("for", "")))
    return _act(deed, lambda n: ngettext("%(num)d key is disabled.", "%(num)d keys are disabled.", n))


@admin.post("/keys/selected/clear")
def clear_selected() -> Response:
    """Forget what is known against them: cooling or dead, they are tried again."""
    return _act(Deed("clear"), lambda n: ngettext(
        "%(num)d key is used again at once.", "%(num)d keys are used again at once.", n))  # fmt: skip


@admin.post("/keys/selected/reset-counters")
def reset_selected() -> Response:
    return _act(Deed("reset_counters"), lambda n: ngettext(
        "%(num)d key counts from 0 again.", "%(num)d keys count from 0 again.", n))  # fmt: skip


@admin.post("/keys/selected/test")
def test_selected() -> Response:
    """Few are tested while somebody waits, and their rows say what was found."""
    selection, deed = chosen(), Deed("test")
    if not few(selection, "test"):
        return _long(deed, selection, lambda n: ngettext("%(num)d key tested.", "%(num)d keys tested.", n))
    rows = _rows(selection)
    if not rows:
        return _nothing()
    checks = keypool().checker.check([row.id for row in rows])
    audit("key.test", named(rows), after={"keys": hints(rows), "found": summary(checks)})
    text = ngettext("%(num)d key tested: %(found)s.", "%(num)d keys tested: %(found)s.", len(checks),
                    found=summary(checks))  # fmt: skip
    return _done(text, checks={check.key_id: check for check in checks})


@admin.post("/keys/selected/link", defaults={"action": "link"}, endpoint="link_selected")
@admin.post("/keys/selected/move", defaults={"action": "move"}, endpoint="move_selected")
@admin.post("/keys/selected/unlink", defaults={"action": "unlink"}, endpoint="unlink_selected")
def place_selected(action: str) -> Response:
    """Put keys into a pool, beside the pools they are in or out of all of those; or take them out of it."""
    pool = keypool().catalogue.pools.get(request.form.get("pool", 0, type=row_id))
    if pool is None:
        return _done(_("Choose a pool."))
    name = isolated(pool.name)
    if action == "unlink" and pool.id == keypool().catalogue.default_pool_id:
        # A key is in some pool always.
        return _act(Deed(action, pool_id=pool.id), lambda n: ngettext(
            "%(num)d key is not in %(pool)s any more, if another pool has it.",
            "%(num)d keys are not in %(pool)s any more, but for those that no other pool has.", n, pool=name),
            pool=pool.name)  # fmt: skip
    if action == "unlink":
        return _act(Deed(action, pool_id=pool.id), lambda n: ngettext(
            "%(num)d key is not in %(pool)s any more.", "%(num)d keys are not in %(pool)s any more.", n, pool=name),
            pool=pool.name)  # fmt: skip
    return _act(
        Deed(action, pool_id=pool.id),
        lambda n: ngettext("%(num)d key is in %(pool)s now.", "%(num)d keys are in %(pool)s now.", n, pool=name),
        pool=pool.name,
    )


@admin.post("/keys/selected/tag", defaults={"action": "tag"}, endpoint="tag_selected")
@admin.post("/keys/selected/untag", defaults={"action": "untag"}, endpoint="untag_selected")
def mark_selected(action: str) -> Response:
    """Give keys tags beside those they have, or take some away."""
    tags = tags_of(request.form.get("tags", ""))
    if not tags:
        return _done(_("Type a tag, or several with commas."))
    said = isolated(", ".join(tags))
    if action == "tag":
        return _act(Deed(action, tags=tags), lambda n: ngettext(
            "%(num)d key is tagged %(tags)s.", "%(num)d keys are tagged %(tags)s.", n, tags=said))  # fmt: skip
    return _act(Deed(action, tags=tags), lambda n: ngettext(
        "%(num)d key is not tagged %(tags)s any more.", "%(num)d keys are not tagged %(tags)s any more.", n, tags=said
    ))  # fmt: skip


@admin.post("/keys/selected/project")
def project_selected() -> Response:
    """Keys of one project share its quotas. An empty one: of none that is known."""
    project = request.form.get("project", "").strip()[: lengths.LINE]
    if not project:
        return _act(Deed("project"), lambda n: ngettext(
            "%(num)d key is of no project now.", "%(num)d keys are of no project now.", n))  # fmt: skip
    name = isolated(project)
    return _act(Deed("project", project=project), lambda n: ngettext(
        "%(num)d key is of the project %(name)s now.", "%(num)d keys are of the project %(name)s now.", n, name=name
    ))  # fmt: skip


@admin.post("/keys/selected/weight")
def weigh_selected() -> Response:
    """In every pool they are in."""
    weight = request.form.get("weight", -1, type=row_id)
    if not 0 <= weight <= MOST_WEIGHT:
        return _done(_("A weight is a whole number from 0 to 100."))
    return _act(Deed("weight", places={"weight": weight}), lambda n: ngettext(
        "%(num)d key weighs %(weight)s now.", "%(num)d keys weigh %(weight)s now.", n, weight=weight))  # fmt: skip


@admin.post("/keys/selected/tier")
def tier_selected() -> Response:
    """In every pool they are in."""
    tier = request.form.get("tier", -1, type=row_id)
    if not 0 <= tier <= MOST_WEIGHT:
        return _done(_("A tier is a whole number from 0 to 100."))
    return _act(Deed("weight", places={"tier": tier}), lambda n: ngettext(
        "%(num)d key is in tier %(tier)s now.", "%(num)d keys are in tier %(tier)s now.", n, tier=tier))  # fmt: skip


@admin.post("/keys/selected/delete")
def delete_selected() -> Response:
    """Ask first, on a page of its own; its yes comes back here."""
    selection = chosen()
    number = selection.count("delete")
    if not number:
        return _nothing()
    if not request.form.get("sure"):
        some = read(queries.some_keys, selection.first("delete", NAMED))
        return make_response(
            render_template(
                "keys/delete_selected.html", number=number, named=some, back=back_of(request.form),
                ids=selection.ids, every=selection.wanted is not None,
            )
        )  # fmt: skip
    return _act(Deed("delete"), lambda n: ngettext(
        "%(num)d key is in the bin, for seven days.", "%(num)d keys are in the bin, for seven days.", n))  # fmt: skip


@admin.post("/keys/selected/undo/<int:entry_id>")
def undo_selected(entry_id: int) -> Response:
    """Bring back what an entry of the audit trail says was there before."""
    found = read(queries.entry, entry_id)
    if found is None:
        abort(404)
    action, before = found
    if not can_be_put_back(action, before):
        abort(404)
    job_id = undo(entry_id, action, before)
    if job_id is not None and not keypool().jobs.wait(job_id, SOON_S):
        return _to_job(job_id)
    return _done(_("Undone."))


def _act(deed: Deed, told: Text, **said: Any) -> Response:
    """Do it to what is chosen: now where those are few, else as a job."""
    selection = chosen()
    if not few(selection, deed.action):
        return _long(deed, selection, told)
    key_ids = selection.ids if selection.wanted is None else selection.first(deed.action, MOST)
    fates, entry_id = act_at_once(deed, key_ids, **said)
    return _done(told(len(fates)), entry_id) if fates else _nothing()


def _long(deed: Deed, selection: Selection, told: Text) -> Response:
    """As a job. One that is over soon is told of where it was begun; else on to its page."""
    job_id = act_as_job(deed, selection, selection.count(deed.action))
    if keypool().jobs.wait(job_id, SOON_S):
        job = read(queries.job_row, job_id)
        if job is not None and job.state == DONE:
            return _done(told(job.done), (job.undo or {}).get("audit"))
    return _to_job(job_id)


def _to_job(job_id: int) -> Response:
    return htmx.moved(url_for(".job", job_id=job_id, back=back_of(request.form)))


def _rows(selection: Selection) -> list[queries.KeyRow]:
    ids = selection.ids if selection.wanted is None else selection.first("", MOST)
    return read(queries.some_keys, ids)


def _nothing() -> Response:
    return _done(_("Tick some keys first."))


def _done(text: str, entry_id: int | None = None, **more: Any) -> Response:
    """The table as it is now for htmx, for everyone else the way back to it; and what happened, with its undo."""
    back = back_of(request.form)
    undo = url_for(".undo_selected", entry_id=entry_id) if entry_id else None
    if not htmx.calling():
        flash({"text": text, "undo": undo} if undo else text)  # type: ignore[arg-type]
        return htmx.moved(back)
    flash({"text": text, "undo": undo, "target": "#keys"} if undo else text)  # type: ignore[arg-type]
    args = MultiDict(parse_qsl(urlsplit(back).query))
    return htmx.page("keys/list.html", "keys/_changed.html", **listing(args, back), **more)
