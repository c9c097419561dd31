"""User keys for programs: made, shown once, listed, revoked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _

from pool.adapters import queries
from pool.core import lengths
from pool.core.faults import Fault
from pool.core.limits import usual_rpm
from pool.core.masking import mask
from pool.core.periods import month_began
from pool.core.quota import last_reset
from pool.core.twice import AnsweredBefore, NameTaken
from pool.web import htmx
from pool.web.admin import admin, once
from pool.web.api.clients import ClientChanges, changed
from pool.web.here import audit, keypool, now, read
from pool.web.ids import row_id
from pool.web.names import isolated

LIVES_S = {"": None, "day": 86_400.0, "month": 30 * 86_400.0, "year": 365 * 86_400.0}
OVERLAPS_S = {"": 0.0, "hour": 3600.0, "day": 86_400.0, "week": 7 * 86_400.0}
KEPT = "kept"
SIZE = 50
MADE = "client"
"""What answers to the form of a new user key are kept under."""


@admin.get("/clients")
def clients() -> Response:
    return _page()


@admin.post("/clients")
def create_client() -> Response:
    """A new user key. The page it leads to is the only place that ever shows it, for ten minutes."""
    name = request.form.get("name", "").strip()
    pool_id = request.form.get("pool", 0, type=row_id)
    life_s = LIVES_S.get(request.form.get("life", ""))
    errors = _errors(name, pool_id)
    if errors:
        return htmx.page("clients/list.html", "clients/_new.html", 422, **_context(name, pool_id, errors))
    expires_at, form = now() + life_s if life_s else None, once.sent()
    settings = keypool().preferences.current
    usual = usual_rpm(settings.rate_limit_requests, settings.rate_limit_window)
    try:
        client_id, token = keypool().inventory.create_client(
            name, pool_id, form=once.named(MADE, form), expires_at=expires_at, rpm_limit=usual
        )
    except NameTaken:
        errors = {"name": _("There is a user key of this name.")}
        return htmx.page("clients/list.html", "clients/_new.html", 422, **_context(name, pool_id, errors))
    except AnsweredBefore:
        return htmx.moved(url_for(".made_client", form=form))
    audit("client.create", f"client {client_id}", after={"name": name, "pool": pool_id, "key": mask(token)})
    return htmx.moved(url_for(".made_client", form=form))


@admin.get("/clients/made/<form>")
def made_client(form: str) -> Response:
    """A user key in full, for the browser that made it."""
    answer = once.answer(MADE, form)
    row = read(queries.client_row, int(answer[0])) if answer else None
    if answer is None or row is None:
        flash(_("That user key is not shown any more. If nobody copied it, revoke it and create another."))
        return htmx.moved(url_for(".clients"))
    return _page(token=answer[1], made=row)


@admin.get("/clients/<int:client_id>/edit")
def edit_client(client_id: int) -> Response:
    row = _in_force(client_id)
    given = {"name": row.name, "pool": str(row.pool_id), "life": KEPT, "raw": "yes" if "raw" in row.permissions else ""}
    return make_response(render_template("clients/edit.html", **_edit_context(row, given, {})))


@admin.post("/clients/<int:client_id>/edit")
def change_client(client_id: int) -> Response:
    """Only what is different changes."""
    row, form = _in_force(client_id), request.form
    given = {name: form.get(name, "").strip() for name in ("name", "pool", "life", "raw")}
    errors = _errors(given["name"], form.get("pool", 0, type=row_id))
    if not errors:
        try:
            changed(row, _changes(given))
        except Fault:
            errors = {"name": _("There is a user key of this name.")}
    if errors:
        return htmx.page("clients/edit.html", "clients/_edit.html", 422, **_edit_context(row, given, errors))
    flash(_("Saved."))
    return htmx.moved(url_for(".clients"))


@admin.post("/clients/<int:client_id>/rotate")
def rotate_client(client_id: int) -> Response:
    """A new secret for a user key; the old one may go on for a while. Limits and figures stay."""
    row, form = _in_force(client_id), once.sent()
    overlap_s = OVERLAPS_S.get(request.form.get("overlap", ""), 0.0)
    try:
        token = keypool().inventory.rotate_client(client_id, overlap_s, once.named(MADE, form))
    except AnsweredBefore:
        return htmx.moved(url_for(".made_client", form=form))
    after = {"key": mask(token), "overlap_s": overlap_s}
    audit("client.rotate", f"client {client_id}", before={"key": row.hint}, after=after)
    return htmx.moved(url_for(".made_client", form=form))


@admin.get("/clients/<int:client_id>/revoke")
def ask_revoke(client_id: int) -> Response:
    return make_response(render_template("clients/revoke.html", row=_found(client_id)))


@admin.post("/clients/<int:client_id>/revoke")
def revoke_client(client_id: int) -> Response:
    row = _found(client_id)
    keypool().inventory.revoke_client(client_id)
    audit("client.revoke", f"client {client_id}", before={"name": row.name, "key": row.hint})
    flash(_("%(name)s is revoked: programs that use it are refused from now on.", name=isolated(row.name)))
    return htmx.moved(url_for(".clients"))


def _page(**more: Any) -> Response:
    default = keypool().catalogue.default_pool_id
    return make_response(render_template("clients/list.html", **_context("", default, {}), **more))


def _context(name: str, pool_id: int, errors: dict[str, str]) -> dict[str, Any]:
    at = now()
    search, after = request.args.get("q", "").strip()[: lengths.LINE], request.args.get("after", 0, type=row_id)
    rows = read(queries.client_page, after=after, size=SIZE + 1, search=search, newest=True)
    spent = read(queries.client_spend, last_reset(at, keypool().preferences.current.quota_reset), month_began(at))
    return {
        "rows": rows[:SIZE],
        "search": search,
        "after": after,
        "more": rows[SIZE - 1].id if len(rows) > SIZE else 0,
        "spending": lambda client_id: spent.get(client_id, queries.Spending()),
        "pools": list(keypool().catalogue.pools.values()),
        "lives": LIVES_S,
        "name": name,
        "pool_id": pool_id,
        "errors": errors,
        "at": at,
    }


def _errors(name: str, pool_id: int) -> dict[str, str]:
    errors = {}
    if not name:
        errors["name"] = _("Say whose key it is: a person, a program, a place.")
    elif len(name) > lengths.CLIENT_NAME:
        errors["name"] = _("A name has at most %(most)s characters.", most=lengths.CLIENT_NAME)
    if pool_id not in keypool().catalogue.pools:
        errors["pool"] = _("Choose a pool.")
    return errors


def _changes(given: Mapping[str, str]) -> ClientChanges:
    """What a form says, as the API takes it."""
    said: dict[str, Any] = {"name": given["name"], "pool": int(given["pool"]), "permissions": []}
    if given["raw"]:
        said["permissions"] = ["raw"]
    if given["life"] in LIVES_S:
        life_s = LIVES_S[given["life"]]
        said["expires_at"] = now() + life_s if life_s else None
    return ClientChanges.model_validate(said)


def _edit_context(row: queries.ClientWhole, given: Mapping[str, str], errors: Mapping[str, str]) -> dict[str, Any]:
    pools = list(keypool().catalogue.pools.values())
    return {"row": row, "given": given, "errors": errors, "pools": pools, "at": now()}


def _in_force(client_id: int) -> queries.ClientWhole:
    row = read(queries.client_whole, client_id)
    if row is None or row.revoked_at or row.origin == "env":
        abort(404)
    return row


def _found(client_id: int) -> queries.ClientRow:
    row = read(queries.client_row, client_id)
    if row is None:
        abort(404)
    return row
