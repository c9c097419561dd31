"""The keys page: a table that pages and filters on the server, and what can be done to one key."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _

from pool.adapters import queries
from pool.core.keys import FOREVER
from pool.core.quota import next_reset
from pool.web import htmx
from pool.web.admin import admin
from pool.web.here import audit, keypool, now, read
from pool.web.origin import own_path
from pool.web.shown import Standing, standing

SIZES = (25, 50, 100, 250, 500)
SIZE = 50


@admin.get("/keys")
def keys() -> Response:
    at = now()
    search = request.args.get("q", "").strip()[:100]
    wanted = request.args.get("state", "")
    pool_id = request.args.get("pool", type=int)
    after = request.args.get("after", 0, type=int)
    size = request.args.get("size", SIZE, type=int)
    size = size if size in SIZES else SIZE
    rows = read(
        queries.key_page,
        after=after,
        size=size + 1,
        pool_id=pool_id,
        search=search,
        standing=wanted if wanted in queries.STANDINGS else "",
        now=at,
    )
    filters = {"q": search or None, "state": wanted or None, "pool": pool_id, "size": None if size == SIZE else size}
    return htmx.page(
        "keys/list.html",
        "keys/_found.html",
        rows=[(row, _standing(row, at)) for row in rows[:size]],
        counts=read(queries.key_counts, at),
        pools=list(keypool().catalogue.pools.values()),
        filters=filters,
        search=search,
        wanted=wanted,
        pool_id=pool_id,
        after=after,
        more=rows[size - 1].id if len(rows) > size else 0,
        back=request.full_path.rstrip("?"),
    )


@admin.post("/keys/<int:key_id>/disable")
def disable_key(key_id: int) -> Response:
    row = _found(key_id)
    until = _until(request.form.get("for", ""))
    keypool().inventory.set_disabled([key_id], until)
    audit("key.disable", f"key {key_id}", after={"key": row.hint, "until": None if until == FOREVER else until})
    return _shown(key_id)


@admin.post("/keys/<int:key_id>/enable")
def enable_key(key_id: int) -> Response:
    row = _found(key_id)
    keypool().inventory.set_disabled([key_id], None)
    audit("key.enable", f"key {key_id}", after={"key": row.hint})
    return _shown(key_id)


@admin.post("/keys/<int:key_id>/revive")
def revive_key(key_id: int) -> Response:
    """Forget what is known against it: cooling or dead, it is tried again."""
    row = _found(key_id)
    keypool().inventory.revive([key_id])
    audit("key.clear", f"key {key_id}", after={"key": row.hint})
    return _shown(key_id)


@admin.get("/keys/<int:key_id>/delete")
def ask_delete_key(key_id: int) -> Response:
    row = _found(key_id)
    return make_response(render_template("keys/delete.html", row=row, back=_back(request.args)))


@admin.post("/keys/<int:key_id>/delete")
def delete_key(key_id: int) -> Response:
    row = _found(key_id)
    keypool().inventory.bin_keys([key_id])
    audit("key.delete", f"key {key_id}", before={"key": row.hint, "pools": list(row.pools)})
    text = _("%(key)s is in the bin, for seven days.", key=row.hint)
    flash({"text": text, "undo": url_for(".restore_key", key_id=key_id)})  # type: ignore[arg-type]
    return htmx.moved(_back(request.form))


@admin.post("/keys/<int:key_id>/restore")
def restore_key(key_id: int) -> Response:
    keypool().inventory.restore_keys([key_id])
    row = _found(key_id)
    audit("key.restore", f"key {key_id}", after={"key": row.hint})
    flash(_("%(key)s is back.", key=row.hint))
    return htmx.moved(_back(request.form))


def _found(key_id: int) -> queries.KeyRow:
    row = read(queries.key_row, key_id)
    if row is None:
        abort(404)
    return row


def _shown(key_id: int) -> Response:
    row, back = _found(key_id), _back(request.form)
    return htmx.changed("keys/_row.html", back, row=row, standing=_standing(row, now()), back=back)


def _standing(row: queries.KeyRow, at: float) -> Standing:
    return standing(row, keypool().catalogue.benches(row.id), at)


def _until(choice: str) -> float:
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


def _back(given: Any) -> str:
    return own_path(given.get("back", ""), url_for(".keys"))
