"""Providers: whom Keypool can call, where, and how. The rules are those of the management API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _
from pydantic import ValidationError

from pool.core.faults import Fault
from pool.web import htmx
from pool.web.admin import admin
from pool.web.api.providers import NewProvider, ProviderChange, added, changed, deleted, one, told
from pool.web.here import keypool
from pool.web.names import isolated

TIMEOUTS = ("connect_s", "first_byte_s", "idle_s")
TEXTS = ("slug", "dialect", "base_url", "proxy_url", "key_header")
Body = TypeVar("Body", NewProvider, ProviderChange)


@dataclass(slots=True)
class ProviderForm:
    """What stands in the fields, and what is wrong with it, by field. The proxy is shown with its password masked."""

    shown: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: dict[str, Any] | None) -> ProviderForm:
        known = row or {"dialect": "openai"}
        shown = {name: known.get(name) or "" for name in TEXTS}
        times = known.get("timeouts", {})
        shown |= {name: f"{times[name]:g}" if name in times else "" for name in TIMEOUTS}
        return cls({**shown, "fallback_to_direct": bool(known.get("fallback_to_direct"))})

    @classmethod
    def sent(cls) -> ProviderForm:
        shown: dict[str, Any] = {name: request.form.get(name, "").strip() for name in (*TEXTS, *TIMEOUTS)}
        return cls({**shown, "fallback_to_direct": "fallback_to_direct" in request.form})

    def checked(self, kind: type[Body]) -> Body | None:
        """What is asked for; None where something is wrong with it, which is noted then."""
        times = {name: self.shown[name] or None for name in TIMEOUTS}
        given: dict[str, Any] = {name: self.shown[name] for name in TEXTS if name in kind.model_fields}
        given |= {"fallback_to_direct": self.shown["fallback_to_direct"], "timeouts": times}
        given["key_header"] = given["key_header"] or None
        # The built-in ones speak their own dialect: their form has no field for it.
        if not given["dialect"]:
            del given["dialect"]
        try:
            return kind.model_validate(given)
        except ValidationError as error:
            for each in error.errors(include_input=False, include_url=False, include_context=False):
                name = str(each["loc"][-1]) if each["loc"] else ""
                self.errors.setdefault(name, wrong_text(name))
            return None

    def refuse(self, fault: Fault) -> None:
        self.errors[fault.param or ""] = fault_text(fault)


@admin.get("/providers")
def providers() -> Response:
    return make_response(render_template("providers/list.html", **_context(ProviderForm.of(None))))


@admin.post("/providers")
def add_provider() -> Response:
    form = ProviderForm.sent()
    body = form.checked(NewProvider)
    if body is not None:
        try:
            added(body)
        except Fault as fault:
            form.refuse(fault)
        else:
            flash(_("The provider %(slug)s was added. Import keys for it next.", slug=isolated(body.slug)))
            return htmx.moved(url_for(".providers"))
    return htmx.page("providers/list.html", "providers/_new.html", 422, **_context(form))


@admin.get("/providers/<slug>")
def provider(slug: str) -> Response:
    row = _found(slug)
    return make_response(render_template("providers/one.html", row=row, form=ProviderForm.of(row)))


@admin.post("/providers/<slug>")
def change_provider(slug: str) -> Response:
    row, form = _found(slug), ProviderForm.sent()
    body = form.checked(ProviderChange)
    if body is not None:
        try:
            flash(_("Saved.") if changed(one(slug), body) else _("Nothing was changed."))
            return htmx.moved(url_for(".providers"))
        except Fault as fault:
            form.refuse(fault)
    return htmx.page("providers/one.html", "providers/_change.html", 422, row=row, form=form)


@admin.post("/providers/<slug>/enable", defaults={"enabled": True}, endpoint="enable_provider")
@admin.post("/providers/<slug>/disable", defaults={"enabled": False}, endpoint="disable_provider")
def switch_provider(slug: str, enabled: bool) -> Response:
    _found(slug)
    changed(one(slug), ProviderChange.model_validate({"enabled": enabled}))
    return htmx.changed("providers/_row.html", url_for(".providers"), row=_found(slug))


@admin.get("/providers/<slug>/delete")
def ask_delete_provider(slug: str) -> Response:
    return make_response(render_template("providers/delete.html", row=_deletable(slug), error=""))


@admin.post("/providers/<slug>/delete")
def delete_provider(slug: str) -> Response:
    """One that has keys takes them along, for good: then its name is typed first."""
    row = _deletable(slug)
    if (row["keys"] or row["binned_keys"]) and request.form.get("slug", "").strip() != slug:
        error = _("That is not its name.")
        return make_response(render_template("providers/delete.html", row=row, error=error), 422)
    deleted(one(slug), force=True)
    flash(_("The provider %(slug)s is deleted.", slug=isolated(slug)))
    return htmx.moved(url_for(".providers"))


def wrong_text(name: str) -> str:
    """What a field wants that was filled in wrongly."""
    if name in TIMEOUTS:
        return _("Seconds from 0.1 to %(most)s.", most=120 if name == "connect_s" else 3600)
    words = {
        "slug": _("Small letters, digits, -, _ and ., beginning with a letter or digit; no word of our own routes."),
        "dialect": _("Choose a dialect."),
        "base_url": _("A URL that begins with https:// or http:// and names a host, without a password, a ? or a #."),
        "proxy_url": _("A URL such as http://name:password@host:8080 or socks5://host:1080, and nothing after it."),
        "key_header": _("This header cannot carry a key."),
    }
    return words.get(name, _("This value is not possible."))


def fault_text(fault: Fault) -> str:
    words = {
        "slug_taken": _("There is a provider of this name."),
        "provider_builtin": _("It is built in, and speaks its own dialect."),
        "set_by_environment": _("The environment says where it is: change it there."),
        "masked_value": _("This is the mask of another proxy. Type the whole address, or leave it as it was."),
        "invalid_value": _("This is a mask. Type the whole address."),
    }
    return words.get(fault.code, fault.message)


def _context(form: ProviderForm) -> dict[str, Any]:
    return {"rows": [told(row) for row in keypool().inventory.provider_rows()], "form": form}


def _found(slug: str) -> dict[str, Any]:
    try:
        return told(one(slug))
    except Fault:
        abort(404)


def _deletable(slug: str) -> dict[str, Any]:
    row = _found(slug)
    if row["builtin"]:
        abort(404)
    return row
