"""User keys for programs: made, shown once, listed, revoked."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _

from pool.adapters import queries
from pool.core import lengths
from pool.core.masking import mask
from pool.core.periods import month_began
from pool.core.quota import last_reset
from pool.core.twice import AnsweredBefore, NameTaken
from pool.web import htmx
from pool.web.admin import admin, once
from pool.web.here import audit, keypool, now, read
from pool.web.ids import row_id
from pool.web.names import isolated

LIVES_S = {"": None, "day": 86_400.0, "month": 30 * 86_400.0, "year": 365 * 86_400.0}
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
    try:
        client_id, token = keypool().inventory.create_client(
            name, pool_id, form=once.named(MADE, form), expires_at=expires_at, rpm_limit=_usual_rpm()
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
    spent = read(queries.client_spend, last_reset(at, keypool().preferences.current.quota_reset), month_began(at))
    return {
        "rows": read(queries.client_rows),
        "spending": lambda client_id: spent.get(client_id, queries.Spending()),
        "pools": list(keypool().catalogue.pools.values()),
        "lives": LIVES_S,
        "name": name,
        "pool_id": pool_id,
        "errors": errors,
        "at": at,
    }


def _usual_rpm() -> int | None:
    """The settings' limit of new user keys, reckoned to a minute; None where there is none."""
    settings = keypool().preferences.current
    return (
        max(1, round(settings.rate_limit_requests * 60 / settings.rate_limit_window))
        if settings.rate_limit_requests
        else None
    )


def _errors(name: str, pool_id: int) -> dict[str, str]:
    errors = {}
    if not name:
        errors["name"] = _("Say whose key it is: a person, a program, a place.")
    elif len(name) > lengths.CLIENT_NAME:
        errors["name"] = _("A name has at most %(most)s characters.", most=lengths.CLIENT_NAME)
    if pool_id not in keypool().catalogue.pools:
        errors["pool"] = _("Choose a pool.")
    return errors


def _found(client_id: int) -> queries.ClientRow:
    row = read(queries.client_row, client_id)
    if row is None:
        abort(404)
    return row
