"""Pools: the list, and one pool with its auth key, snippets and settings."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _

from pool.adapters import queries
from pool.core.masking import mask
from pool.core.rotation import POLICIES
from pool.core.twice import AnsweredBefore, NameTaken
from pool.web import htmx
from pool.web.admin import admin, once
from pool.web.admin.pool_form import PoolForm
from pool.web.admin.pool_sight import models_of, sight
from pool.web.admin.whereto import whereto
from pool.web.here import audit, keypool, now, read
from pool.web.login import unlocked
from pool.web.names import isolated

CREATED = "pool"
"""What answers to the form of a new pool are kept under."""

GRACES_S = {"0": 0.0, "hour": 3600.0, "day": 86_400.0, "week": 7 * 86_400.0}


@admin.get("/pools")
def pools() -> Response:
    return make_response(render_template("pools/list.html", rows=read(queries.pool_rows)))


@admin.get("/pools/new")
def new_pool() -> Response:
    return make_response(render_template("pools/new.html", **_new(PoolForm())))


@admin.post("/pools/new")
def create_pool() -> Response:
    form = PoolForm.sent()
    if not form.check():
        return htmx.page("pools/new.html", "pools/_new.html", 422, **_new(form))
    columns, sent = form.columns, once.sent()
    try:
        pool_id, _token = keypool().inventory.create_pool(form=once.named(CREATED, sent), **columns)
    except NameTaken:
        form.errors["name"] = _("There is a pool of this name.")
        return htmx.page("pools/new.html", "pools/_new.html", 422, **_new(form))
    except AnsweredBefore:
        (known,) = once.answer(CREATED, sent) or (None,)
        return htmx.moved(url_for(".pool", pool_id=known) if known else url_for(".pools"))
    audit("pool.create", f"pool {pool_id}", after=columns)
    flash(_("The pool %(name)s was created. Its auth key is below.", name=isolated(form.name)))
    return htmx.moved(url_for(".pool", pool_id=pool_id))


@admin.get("/pools/<int:pool_id>")
def pool(pool_id: int) -> Response:
    row, where = _found(pool_id), whereto(pool_id)
    return htmx.page("pools/one.html", "pools/_where.html", where.status, **_context(row), where=where)


@admin.post("/pools/<int:pool_id>")
def update_pool(pool_id: int) -> Response:
    """Save what was changed on the page, and only that."""
    row = _found(pool_id)
    form = PoolForm.sent(row)
    changes = form.changes()
    if not form.check(row):
        return htmx.page("pools/one.html", "pools/_settings.html", 422, **_context(row, form))
    if not form.meet(row):
        return htmx.page("pools/one.html", "pools/_settings.html", 409, **_context(row, form))
    if not changes:
        flash(_("Nothing was changed."))
        return htmx.moved(url_for(".pool", pool_id=pool_id))
    try:
        keypool().inventory.update_pool(pool_id, **changes)
    except NameTaken:
        form.errors["name"] = _("There is a pool of this name.")
        return htmx.page("pools/one.html", "pools/_settings.html", 422, **_context(row, form))
    known = PoolForm.of(row).columns
    audit("pool.update", f"pool {pool_id}", before={name: known[name] for name in changes}, after=changes)
    flash(_("Saved."))
    return htmx.moved(url_for(".pool", pool_id=pool_id))


@admin.post("/pools/<int:pool_id>/enable", defaults={"enabled": True}, endpoint="enable_pool")
@admin.post("/pools/<int:pool_id>/disable", defaults={"enabled": False}, endpoint="disable_pool")
def switch_pool(pool_id: int, enabled: bool) -> Response:
    row = _found(pool_id)
    keypool().inventory.update_pool(pool_id, enabled=enabled)
    audit("pool.enable" if enabled else "pool.disable", f"pool {pool_id}", after={"name": row.name})
    return htmx.changed("pools/_switch.html", url_for(".pool", pool_id=pool_id), pool=_found(pool_id))


@admin.post("/pools/<int:pool_id>/reveal")
def reveal_pool(pool_id: int) -> Response:
    """Show the auth key: with the password typed now, or within the last ten minutes of this session."""
    row = _found(pool_id)
    allowed, error = unlocked()
    if not allowed:
        return htmx.page("pools/one.html", "pools/_auth.html", 403, **_context(row), asking=True, error=error)
    audit("pool.reveal", f"pool {pool_id}", after={"name": row.name, "key": row.auth_hint})
    token = keypool().inventory.auth_key(pool_id)
    return htmx.page("pools/one.html", "pools/_auth.html", **_context(row), token=token)


@admin.get("/pools/<int:pool_id>/regenerate")
def ask_regenerate(pool_id: int) -> Response:
    row = _found(pool_id)
    return make_response(render_template("pools/regenerate.html", pool=row, older=_older(row)))


@admin.post("/pools/<int:pool_id>/regenerate")
def regenerate_auth(pool_id: int) -> Response:
    row = _found(pool_id)
    grace_s, form = GRACES_S.get(request.form.get("grace", ""), 0.0), once.sent()
    try:
        token = keypool().inventory.regenerate_auth(pool_id, grace_s, form=once.named(f"auth {pool_id}", form))
    except AnsweredBefore:
        return htmx.moved(url_for(".regenerated_auth", pool_id=pool_id, form=form))
    after = {"key": mask(token), "grace_s": grace_s}
    audit("pool.regenerate", f"pool {pool_id}", before={"key": row.auth_hint}, after=after)
    return htmx.moved(url_for(".regenerated_auth", pool_id=pool_id, form=form))


@admin.get("/pools/<int:pool_id>/regenerated/<form>")
def regenerated_auth(pool_id: int, form: str) -> Response:
    """The new auth key in full, for ten minutes and for the browser that asked for it."""
    row, answer = _found(pool_id), once.answer(f"auth {pool_id}", form)
    if answer is None:
        return htmx.moved(url_for(".pool", pool_id=pool_id))
    return _page(row, token=answer[0], fresh=True, works_until=float(answer[1]))


@admin.get("/pools/<int:pool_id>/delete")
def ask_delete_pool(pool_id: int) -> Response:
    row = _found(pool_id)
    if row.is_default:
        abort(404)
    return make_response(render_template("pools/delete.html", pool=row, error=""))


@admin.post("/pools/<int:pool_id>/delete")
def delete_pool(pool_id: int) -> Response:
    row = _found(pool_id)
    if row.is_default:
        abort(404)
    if request.form.get("name", "").strip() != row.name:
        error = _("That is not its name.")
        return make_response(render_template("pools/delete.html", pool=row, error=error), 422)
    keypool().inventory.delete_pool(pool_id)
    audit("pool.delete", f"pool {pool_id}", before=PoolForm.of(row).columns)
    flash(_("The pool %(name)s is gone. Keys that were in no other pool are now in default.", name=isolated(row.name)))
    return htmx.moved(url_for(".pools"))


def _found(pool_id: int) -> queries.PoolRow:
    row = read(queries.pool_row, pool_id)
    if row is None:
        abort(404)
    return row


def _new(form: PoolForm) -> dict[str, Any]:
    return {"form": form, "policies": POLICIES, "others": list(keypool().catalogue.pools.values())}


def _page(row: queries.PoolRow, **more: Any) -> Response:
    return make_response(render_template("pools/one.html", **_context(row), **more))


def _context(row: queries.PoolRow, form: PoolForm | None = None) -> dict[str, Any]:
    return {
        "pool": row,
        "older": _older(row),
        "form": form or PoolForm.of(row),
        "policies": POLICIES,
        "usual": keypool().preferences.current.rotation_strategy,
        "base": request.host_url.rstrip("/"),
        "others": [pool for pool in keypool().catalogue.pools.values() if pool.id != row.id],
        "models": models_of(row),
        **({} if htmx.calling() else sight(row)),
    }


def _older(row: queries.PoolRow) -> list[float]:
    """Until when auth keys before this one go on working."""
    at = now()
    return sorted(until for until in row.graces if until > at)
