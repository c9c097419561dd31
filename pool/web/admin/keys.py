"""The keys page: a table that pages and filters on the server, and what is done to one key."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from pool.adapters import queries
from pool.core.keys import FOREVER
from pool.core.quota import next_reset
from pool.web import htmx
from pool.web.admin import admin
from pool.web.admin.key_filters import (
    SORTS,
    counts_of,
    filters_of,
    order_of,
    pins_of,
    reasons_of,
    sort_text,
    wanted_of,
)
from pool.web.admin.key_use import used_by, used_in_brief
from pool.web.api.key_shapes import cursor_of
from pool.web.check_words import check_text
from pool.web.here import audit, keypool, now, read
from pool.web.ids import row_id
from pool.web.origin import own_path
from pool.web.places import place_in
from pool.web.shown import Standing, standing, utc

admin.add_app_template_filter(check_text, "checked")
admin.add_app_template_filter(sort_text, "sorted_by")

SIZES = (25, 50, 100, 250, 500)
SIZE = 50
BRIEF = 100
"""Pages of so many keys and more show a line a key: with everything that a row offers they weigh a megabyte."""


@admin.get("/keys")
def keys() -> Response:
    return htmx.page("keys/list.html", "keys/_found.html", **listing(request.args, request.full_path.rstrip("?")))


def listing(args: MultiDict[str, str], back: str) -> dict[str, Any]:
    """What the table of keys shows for the filters of a URL, which is `back`."""
    at, wanted, order = now(), wanted_of(args), order_of(args)
    after = args.get("after", "")
    size = args.get("size", SIZE, type=row_id)
    size = size if size in SIZES else SIZE
    rows = read(queries.key_page, wanted, order, after=_place(after, order), size=size + 1)
    used = (used_in_brief if size >= BRIEF else used_by)(rows[:size], at)
    # All on one page: nobody need search for them once more to count them.
    counts = counts_of(wanted, None if after or wanted.state or len(rows) > size else rows)
    filters = {**filters_of(args, wanted), "size": None if size == SIZE else size}
    return {
        "rows": [(row, standing_of(row, at), used[row.id]) for row in rows[:size]],
        "counts": counts,
        "matching": counts[wanted.state or "all"],
        "empty": not keypool().catalogue.keys,
        "pools": list(keypool().catalogue.pools.values()),
        "providers": list(keypool().catalogue.providers),
        "filters": filters,
        "pins": pins_of(filters),
        "reasons": reasons_of(at),
        "brief": size >= BRIEF,
        "sorts": SORTS,
        "sizes": SIZES,
        "usual_size": SIZE,
        "search": wanted.search,
        "wanted": args.get("state", ""),
        "pool_id": wanted.pool_id,
        "after": after,
        "more": _after(rows[size - 1], order) if len(rows) > size else "",
        "back": back,
    }


def _place(after: str, order: queries.Order) -> tuple[Any, int] | None:
    """Where a page begins: after an id, or after what the last key before it is sorted by."""
    if order != queries.Order():
        return place_in(after)
    try:
        return (row_id(after),) * 2
    except ValueError:
        return None


def _after(row: queries.KeyRow, order: queries.Order) -> str:
    return cursor_of(row, order) if order != queries.Order() else str(row.id)


@admin.post("/keys/<int:key_id>/test")
def test_key(key_id: int) -> Response:
    """Ask its provider for the models; the judge acts on a refusal."""
    row = found(key_id)
    check = next(iter(keypool().checker.check([key_id])), None)
    if check is None:
        abort(404)
    audit("key.test", f"key {key_id}", after={"key": row.hint, "found": check.word})
    return shown_row(row, f"{row.hint}: {check_text(check)}", "keys/_tested.html", check=check)


@admin.post("/keys/<int:key_id>/disable")
def disable_key(key_id: int) -> Response:
    row = found(key_id)
    until = until_of(request.form.get("for", ""))
    keypool().inventory.set_disabled([key_id], until)
    audit("key.disable", f"key {key_id}", after={"key": row.hint, "until": None if until == FOREVER else until})
    if until == FOREVER:
        return shown_row(row, _("%(key)s is disabled until somebody enables it.", key=row.hint))
    return shown_row(row, _("%(key)s is disabled until %(when)s.", key=row.hint, when=utc(until)))


@admin.post("/keys/<int:key_id>/enable")
def enable_key(key_id: int) -> Response:
    row = found(key_id)
    keypool().inventory.set_disabled([key_id], None)
    audit("key.enable", f"key {key_id}", after={"key": row.hint})
    return shown_row(row, _("%(key)s is enabled.", key=row.hint))


@admin.post("/keys/<int:key_id>/revive")
def revive_key(key_id: int) -> Response:
    """Forget what is known against it: cooling or dead, it is tried again."""
    row = found(key_id)
    keypool().inventory.revive([key_id])
    audit("key.clear", f"key {key_id}", after={"key": row.hint})
    return shown_row(row, _("%(key)s is used again at once.", key=row.hint))


@admin.get("/keys/<int:key_id>/delete")
def ask_delete_key(key_id: int) -> Response:
    row = found(key_id)
    return make_response(render_template("keys/delete.html", row=row, back=back_of(request.args)))


@admin.post("/keys/<int:key_id>/delete")
def delete_key(key_id: int) -> Response:
    row = found(key_id)
    keypool().inventory.bin_keys([key_id])
    audit("key.delete", f"key {key_id}", before={"key": row.hint, "pools": list(row.pools)})
    text = _("%(key)s is in the bin, for seven days.", key=row.hint)
    flash({"text": text, "undo": url_for(".restore_key", key_id=key_id)})  # type: ignore[arg-type]
    return htmx.moved(back_without(key_id))


@admin.post("/keys/<int:key_id>/restore")
def restore_key(key_id: int) -> Response:
    keypool().inventory.restore_keys([key_id])
    row = found(key_id)
    audit("key.restore", f"key {key_id}", after={"key": row.hint})
    flash(_("%(key)s is back.", key=row.hint))
    return htmx.moved(back_of(request.form))


def found(key_id: int) -> queries.KeyRow:
    row = read(queries.key_row, key_id)
    if row is None:
        abort(404)
    return row


def shown_row(before: queries.KeyRow, text: str, fragment: str = "keys/_row.html", **more: Any) -> Response:
    """The row as it is now for htmx; for everyone else the way back to it, and what became of it."""
    back = back_of(request.form)
    if not htmx.calling():
        flash(text)
        row_of = "stat" if urlsplit(back).path == url_for("stats.stat") else "key"
        return htmx.moved(f"{back.partition('#')[0]}#{row_of}-{before.id}")
    row = found(before.id)
    at = now()
    used = used_by([row], at)[row.id]
    alone = urlsplit(back).path == url_for(".key", key_id=row.id)
    return htmx.page(
        fragment, fragment, row=row, standing=standing_of(row, at), used=used, back=back, alone=alone, **more
    )


def standing_of(row: queries.KeyRow, at: float) -> Standing:
    return standing(row, keypool().catalogue.benches(row.id), at)


def until_of(choice: str) -> float:
    """The moment a choice of the menu *disable* means."""
    at = now()
    match choice:
        case "hour":
            return at + 3600
        case "midnight":
            return next_reset(at)
        case "week":
            return at + 7 * 86_400
    return FOREVER


def back_of(given: Any) -> str:
    """The page somebody came from, with its filters."""
    return own_path(given.get("back", ""), url_for(".keys"))


def back_without(key_id: int) -> str:
    """The same, once the key is gone, and its own page with it."""
    back = back_of(request.form)
    return url_for(".keys") if urlsplit(back).path == url_for(".key", key_id=key_id) else back
