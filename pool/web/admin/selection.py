"""What is done to several keys at once: one POST a selection, with a way back where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.datastructures import MultiDict

from pool.adapters import queries
from pool.core.keys import FOREVER
from pool.web import htmx
from pool.web.admin import admin
from pool.web.admin.keys import back_of, listing, until_of
from pool.web.check_words import summary
from pool.web.here import audit, keypool, read
from pool.web.ids import row_id, row_ids
from pool.web.names import isolated
from pool.web.shown import count

MOST = 500
"""Keys of a selection: as many as the longest page has."""

MOST_TESTED = 50
NAMED = 12
"""Keys that the question before deleting names."""


@admin.post("/keys/selected/enable")
def enable_selected() -> Response:
    rows = selected()
    text = ngettext("%(num)d key is enabled.", "%(num)d keys are enabled.", len(rows))
    return _switched(rows, "key.enable", None, text)


@admin.post("/keys/selected/disable")
def disable_selected() -> Response:
    rows = selected()
    text = ngettext("%(num)d key is disabled.", "%(num)d keys are disabled.", len(rows))
    return _switched(rows, "key.disable", until_of(request.form.get("for", "")), text)


@admin.post("/keys/selected/test")
def test_selected() -> Response:
    rows = selected()
    if len(rows) > MOST_TESTED:
        return _done(_("At most %(most)s keys are tested at once: tick fewer.", most=count(MOST_TESTED)))
    if not rows:
        return _nothing()
    checks = keypool().checker.check([row.id for row in rows])
    audit("key.test", named(rows), after={"keys": hints(rows), "found": summary(checks)})
    text = ngettext("%(num)d key tested: %(found)s.", "%(num)d keys tested: %(found)s.", len(checks),
                    found=summary(checks))  # fmt: skip
    return _done(text, checks={check.key_id: check for check in checks})


@admin.post("/keys/selected/link", defaults={"stay": True}, endpoint="link_selected")
@admin.post("/keys/selected/move", defaults={"stay": False}, endpoint="move_selected")
def place_selected(stay: bool) -> Response:
    """Put keys into a pool: beside the pools they are in, or out of all of those."""
    rows = selected()
    pool = keypool().catalogue.pools.get(request.form.get("pool", 0, type=row_id))
    if pool is None:
        return _done(_("Choose a pool."))
    if not rows:
        return _nothing()
    before = read(queries.seats_of, [row.id for row in rows])
    keypool().inventory.arrange({key: [*pools, pool.id] if stay else [pool.id] for key, pools in before.items()})
    action = "key.link" if stay else "key.move"
    entry = audit(action, named(rows), before={"seats": _texts(before)}, after={"pool": pool.name, "keys": hints(rows)})
    text = ngettext("%(num)d key is in %(pool)s now.", "%(num)d keys are in %(pool)s now.", len(rows),
                    pool=isolated(pool.name))  # fmt: skip
    return _done(text, entry)


@admin.post("/keys/selected/delete")
def delete_selected() -> Response:
    """Ask first, on a page of its own; its yes comes back here."""
    rows, back = selected(), back_of(request.form)
    if not rows:
        return _nothing()
    if not request.form.get("sure"):
        return make_response(render_template("keys/delete_selected.html", rows=rows, named=rows[:NAMED], back=back))
    keypool().inventory.bin_keys([row.id for row in rows])
    entry = audit("key.delete", named(rows), before={"binned": [row.id for row in rows], "keys": hints(rows)})
    text = ngettext(
        "%(num)d key is in the bin, for seven days.", "%(num)d keys are in the bin, for seven days.", len(rows)
    )
    return _done(text, entry)


@admin.post("/keys/selected/undo/<int:entry_id>")
def undo_selected(entry_id: int) -> Response:
    """Bring back what an entry of the audit trail says was there before."""
    found = read(queries.entry, entry_id)
    if found is None:
        abort(404)
    action, before = found
    inventory = keypool().inventory
    match before:
        case {"disabled": dict(states)}:
            inventory.put_disabled({int(key): (since, until) for key, (since, until) in states.items()})
        case {"seats": dict(seats)}:
            inventory.arrange({int(key): pools for key, pools in seats.items()})
        case {"binned": list(key_ids)}:
            inventory.restore_keys(key_ids)
        case _:
            abort(404)
    audit("key.undo", f"audit {entry_id}", after={"action": action})
    return _done(_("Undone."))


def selected() -> list[queries.KeyRow]:
    """The keys that were ticked, or that the page before this one carried on; those in the bin are left out."""
    ids = row_ids([*request.form.getlist("key"), *request.form.get("keys", "").split(",")])
    if len(ids) > MOST:
        abort(413)
    return read(queries.some_keys, sorted(ids))


def named(rows: Sequence[queries.KeyRow]) -> str:
    """A selection as the audit trail calls it."""
    return f"key {rows[0].id}" if len(rows) == 1 else f"{len(rows)} keys"


def hints(rows: Sequence[queries.KeyRow]) -> dict[str, str]:
    """Which keys those were: their masks by id."""
    return {str(row.id): row.hint for row in rows}


def _switched(rows: Sequence[queries.KeyRow], action: str, until: float | None, text: str) -> Response:
    if not rows:
        return _nothing()
    before = {row.id: [row.disabled_at, row.disabled_until] for row in rows}
    keypool().inventory.set_disabled([row.id for row in rows], until)
    after = {"until": None if until == FOREVER else until, "keys": hints(rows)}
    return _done(text, audit(action, named(rows), before={"disabled": _texts(before)}, after=after))


def _texts(by_id: Mapping[int, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in by_id.items()}


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
