"""Limits of user keys, pools and keys: one small form each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _

from pool.adapters import queries
from pool.core import lengths
from pool.core.limits import KEY_LIMITS, LIMIT_NAMES, MOST, MOST_ADDRESSES, MOST_MODELS, MOST_USD, WINDOWS
from pool.web import htmx
from pool.web.access import is_network
from pool.web.admin import admin
from pool.web.here import audit, keypool, read


@dataclass(slots=True)
class LimitsForm:
    """What stands in the fields, and what is wrong with it, by field. `values`: what is to be stored."""

    shown: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def number(self, name: str, as_money: bool = False) -> None:
        """A whole number or a sum, from 0; empty is no limit."""
        typed = self.shown[name] = request.form.get(name, "").strip()
        self.values[name] = None
        if not typed:
            return
        try:
            value = float(typed) if as_money else int(typed)
            if not 0 <= value <= (MOST_USD if as_money else MOST):
                raise ValueError(typed)
        except ValueError:
            self.errors[name] = _("A sum from 0, like 2.50.") if as_money else _("A whole number from 0.")
        else:
            self.values[name] = value

    def lines(self, name: str, most: int, fits: Callable[[str], bool], wrong: str) -> None:
        """Several entries, on lines or between commas or spaces."""
        typed = self.shown[name] = request.form.get(name, "").strip()
        entries = list(dict.fromkeys(typed.replace(",", " ").split()))
        bad = next((entry for entry in entries if not fits(entry)), None)
        if len(entries) > most:
            self.errors[name] = _("At most %(most)s entries.", most=most)
        elif bad is not None:
            self.errors[name] = f"{wrong}: {bad[:40]}"
        self.values[name] = entries or None

    def by_model(self, name: str) -> None:
        """A line a model: `gemini-2.5-pro rpm=5 tpm=250000 rpd=100`; `*` stands for every other one."""
        self.shown[name] = request.form.get(name, "").strip()
        found: dict[str, dict[str, int]] = {}
        for number, line in enumerate(self.shown[name].splitlines(), 1):
            words = line.split()
            if not words:
                continue
            limits = _limits_in(words[1:])
            if limits is None or len(words[0]) > lengths.MODEL:
                self.errors[name] = _("Line %(number)s is not like: gemini-2.5-pro rpm=5 rpd=100", number=number)
                return
            found[words[0].removeprefix("models/")] = limits
        if len(found) > MOST_MODELS:
            self.errors[name] = _("At most %(most)s entries.", most=MOST_MODELS)
        self.values[name] = found or None


def _limits_in(words: list[str]) -> dict[str, int] | None:
    limits = {}
    for word in words:
        name, _equals, value = word.partition("=")
        if name not in KEY_LIMITS or not (value.isascii() and value.isdecimal()) or int(value) > MOST:
            return None
        limits[name] = int(value)
    return limits or None


# -- user keys --------------------------------------------------------------------------------------------------------


@admin.get("/clients/<int:client_id>/limits")
def client_limits(client_id: int) -> Response:
    row, stored = _client(client_id)
    shown = _shown(stored)
    shown["allowed_models"] = "\n".join(stored["allowed_models"] or ())
    shown["allowed_ips"] = "\n".join(stored["allowed_ips"] or ())
    return make_response(render_template("limits/client.html", row=row, form=LimitsForm(shown)))


@admin.post("/clients/<int:client_id>/limits")
def set_client_limits(client_id: int) -> Response:
    row, stored = _client(client_id)
    form = _holder_form()
    form.lines("allowed_models", lengths.MODELS, lambda model: len(model) <= lengths.MODEL, _("This is too long"))
    form.lines("allowed_ips", MOST_ADDRESSES, is_network, _("This is no address or network"))
    if form.errors:
        return htmx.page("limits/client.html", "limits/_client.html", 422, row=row, form=form)
    keypool().inventory.update_client(client_id, **form.values)
    audit("client.limits", f"client {client_id}", before=stored, after=form.values)
    flash(_("Saved."))
    return htmx.moved(url_for(".clients"))


def _client(client_id: int) -> tuple[queries.ClientRow, dict[str, Any]]:
    row = read(queries.client_row, client_id)
    stored = read(queries.client_limits, client_id)
    if row is None or stored is None or row.revoked_at:
        abort(404)
    return row, stored


# -- pools ------------------------------------------------------------------------------------------------------------


@admin.get("/pools/<int:pool_id>/limits")
def pool_limits(pool_id: int) -> Response:
    pool = _pool(pool_id)
    return make_response(render_template("limits/pool.html", pool=pool, form=LimitsForm(_shown(pool.limits))))


@admin.post("/pools/<int:pool_id>/limits")
def set_pool_limits(pool_id: int) -> Response:
    pool, form = _pool(pool_id), _holder_form()
    if form.errors:
        return htmx.page("limits/pool.html", "limits/_pool.html", 422, pool=pool, form=form)
    limits = {name: value for name, value in form.values.items() if value is not None}
    keypool().inventory.update_pool(pool_id, limits=limits or None)
    audit("pool.limits", f"pool {pool_id}", before=dict(pool.limits), after=limits)
    flash(_("Saved."))
    return htmx.moved(url_for(".pool", pool_id=pool_id))


def _pool(pool_id: int) -> Any:
    pool = keypool().catalogue.pools.get(pool_id)
    if pool is None:
        abort(404)
    return pool


def _holder_form() -> LimitsForm:
    form = LimitsForm()
    for name in LIMIT_NAMES:
        form.number(name, as_money=name.startswith("budget"))
    return form


def _shown(stored: Mapping[str, Any]) -> dict[str, str]:
    """Numbers as somebody would type them."""
    return {name: "" if stored.get(name) is None else f"{stored[name]:.10g}" for name in LIMIT_NAMES}


# -- keys -------------------------------------------------------------------------------------------------------------


@admin.get("/keys/<int:key_id>/limits")
def key_limits(key_id: int) -> Response:
    key = _key(key_id)
    lines = [
        f"{model} " + " ".join(f"{name}={most}" for name, most in each.items())
        for model, each in (key.limits or {}).items()
    ]
    shown = {
        "limits": "\n".join(lines),
        "max_requests": "" if key.max_requests is None else str(key.max_requests),
        "max_requests_window": key.max_requests_window,
    }
    return make_response(render_template("limits/key.html", key=key, form=LimitsForm(shown), windows=WINDOWS))


@admin.post("/keys/<int:key_id>/limits")
def set_key_limits(key_id: int) -> Response:
    key, form = _key(key_id), LimitsForm()
    form.by_model("limits")
    form.number("max_requests")
    window = form.shown["max_requests_window"] = request.form.get("max_requests_window", "none")
    form.values["max_requests_window"] = window
    if window not in WINDOWS:
        form.errors["max_requests_window"] = _("Choose one of these.")
    if form.errors:
        return htmx.page("limits/key.html", "limits/_key.html", 422, key=key, form=form, windows=WINDOWS)
    before = {"limits": key.limits, "max_requests": key.max_requests, "max_requests_window": key.max_requests_window}
    keypool().inventory.set_limits([key_id], **form.values)
    audit("key.limits", f"key {key_id}", before=before, after=form.values)
    flash(_("Saved."))
    return htmx.moved(url_for(".keys", q=key.hint))


def _key(key_id: int) -> Any:
    key = keypool().catalogue.keys.get(key_id)
    if key is None:
        abort(404)
    return key
