"""The account page: the admin password, and the browsers that are signed in with it."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import current_user

from pool.adapters import queries
from pool.web import htmx
from pool.web.admin import admin
from pool.web.here import audit, keypool, now, read, write
from pool.web.login import IDLE_S, elevate, renew

MOST_PASSWORD = 1_000

BROWSERS = (
    ("Edge", r"\bEdg(?:e|A|iOS)?/"), ("Opera", r"\bOPR/"), ("Firefox", r"\b(?:Firefox|FxiOS)/"),
    ("Chrome", r"(?:Chrome|CriOS|Chromium)/"), ("Safari", r"\bSafari/"), ("curl", r"^curl/"),
)  # fmt: skip
SYSTEMS = (
    ("Android", r"\bAndroid\b"), ("iOS", r"\b(?:iPhone|iPad)\b"), ("Windows", r"\bWindows\b"),
    ("macOS", r"\bMac OS X\b|\bMacintosh\b"), ("ChromeOS", r"\bCrOS\b"), ("Linux", r"\bLinux\b"),
)  # fmt: skip


@admin.get("/account")
def account() -> Response:
    return make_response(render_template("account/page.html", **_context({})))


@admin.post("/account/password")
def change_password() -> Response:
    """A new password, for somebody who knows the old one. Every other browser is signed out, also one that has this
    one's cookie."""
    errors = _errors(request.form.get("current", ""), request.form.get("new", ""), request.form.get("again", ""))
    if errors:
        return htmx.page("account/page.html", "account/_password.html", 422, **_context(errors))
    write(queries.set_password, keypool().passwords.encode(request.form["new"]))
    ended = write(queries.end_other_sessions, current_user.session_id)
    renew()
    audit("password.change", "password", after={"sessions ended": ended})
    flash(_("The password is changed.") + " " + _ended(ended))
    return htmx.moved(url_for(".account"))


@admin.post("/account/sessions/<int:session_id>/end")
def end_session(session_id: int) -> Response:
    row = next((row for row in _sessions() if row.id == session_id), None)
    if row is None or session_id == current_user.session_id:
        abort(404)
    write(queries.end_session, session_id)
    audit("session.end", f"session {session_id}", before={"ip": row.ip, "browser": browser(row.user_agent)})
    flash(_("That browser is signed out."))
    return htmx.moved(url_for(".account"))


@admin.post("/account/sessions/end")
def end_other_sessions() -> Response:
    ended = write(queries.end_other_sessions, current_user.session_id)
    audit("session.end", "every other session", before={"sessions": ended})
    flash(_ended(ended))
    return htmx.moved(url_for(".account"))


def browser(agent: str) -> str:
    """`Firefox, Linux` of a User-Agent, as far as it says; "" where it says nothing known."""
    parts = (next((name for name, pattern in table if re.search(pattern, agent)), "") for table in (BROWSERS, SYSTEMS))
    return ", ".join(part for part in parts if part)


def _errors(current: str, new: str, again: str) -> dict[str, str]:
    errors = {}
    if keypool().environment.admin_password:
        return {"current": _("ADMIN_PASSWORD in the environment says what the password is.")}
    if len(new) > MOST_PASSWORD or keypool().passwords.weak(new):
        errors["new"] = _("At least 8 characters, and none of the passwords everybody knows.")
    elif new != again:
        errors["again"] = _("The two are not the same.")
    elif new == current:
        errors["new"] = _("That is the password already.")
    # The hash last: it takes half a second, and every try counts.
    if not errors and not elevate(current):
        errors["current"] = _("That is not the password, or it was tried too often.")
    return errors


def _context(errors: dict[str, str]) -> dict[str, Any]:
    return {
        "errors": errors,
        "fixed": bool(keypool().environment.admin_password),
        "sessions": [(row, browser(row.user_agent)) for row in _sessions()],
        "this": current_user.session_id,
    }


def _sessions() -> list[queries.SessionRow]:
    return read(queries.session_rows, now(), IDLE_S)


def _ended(number: int) -> str:
    if not number:
        return _("No other browser was signed in.")
    return ngettext("%(num)d other browser is signed out.", "%(num)d other browsers are signed out.", number)
