"""Signing in and out: sessions live on the server, the cookie holds a token that finds one."""

from __future__ import annotations

import secrets
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask import session as cookie
from flask.sessions import SecureCookieSessionInterface
from flask_babel import gettext as _
from flask_login import LoginManager, current_user, login_user, logout_user

from pool.adapters import queries
from pool.core.state import take
from pool.web.guessing import PER_MINUTE_S, right, throttled
from pool.web.here import audit, caller_ip, keypool, now, read, write
from pool.web.holding import holder_of
from pool.web.origin import own_path, refuse_foreign

COOKIE = "keypool"
"""Unless Flask's SESSION_COOKIE_NAME is set: browsers give a host's cookies to each of its ports."""

ABSOLUTE_S = 30 * 86_400.0
IDLE_S = 7 * 86_400.0
TOUCH_S = 60.0
"""How stale `last_seen_at` may be: not every page is a write."""

ELEVATED_S = 600.0
ELEVATIONS = 10

login = Blueprint("login", __name__)


class Admin:
    """Who is signed in, by Flask-Login's rules: the admin, or the holder of a client key, who is none. Its id is the
    session's token."""

    is_authenticated = True
    is_active = True
    is_anonymous = False

    def __init__(self, token: str, row: queries.SignedIn) -> None:
        self._token = token
        self.session_id = row.id
        self.is_admin = row.client_key_id is None
        self.client_key_id = row.client_key_id
        self.elevated_until = row.elevated_until

    def get_id(self) -> str:
        return self._token


class Cookies(SecureCookieSessionInterface):
    """The session cookie: over https Secure and bound to this host by its name, over http as good as it gets."""

    def get_cookie_name(self, app: Flask) -> str:
        name = app.config["SESSION_COOKIE_NAME"]
        return f"__Host-{name}" if request.is_secure else name

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


def mount(app: Flask) -> None:
    app.config.update(
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=ABSOLUTE_S,
    )
    if app.config["SESSION_COOKIE_NAME"] == app.default_config["SESSION_COOKIE_NAME"]:
        app.config["SESSION_COOKIE_NAME"] = COOKIE
    app.session_interface = Cookies()
    manager = LoginManager(app)
    # It would end sessions of people whose address changes, and trust a header anybody can write.
    manager.session_protection = None
    manager.user_loader(session_of)
    app.register_blueprint(login)


def signed_in() -> bool:
    """Is the admin at the other end?"""
    return bool(current_user.is_authenticated and current_user.is_admin)


def holder() -> int | None:
    """The id of the client key that somebody signed in with; None for the admin and for nobody."""
    return current_user.client_key_id if current_user.is_authenticated else None


def elevated() -> bool:
    """Was the password typed again a short while ago, in this session?"""
    return signed_in() and current_user.elevated_until > now()


def elevate(password: str) -> bool:
    """Type the password again: for ten minutes secrets may be seen. False where it is wrong, or tried too often."""
    grant = take(keypool().state, f"elevate:{current_user.session_id}", ELEVATIONS, PER_MINUTE_S, now())
    if not grant.allowed or not right(password):
        return False
    current_user.elevated_until = now() + ELEVATED_S
    write(queries.elevate_session, current_user.session_id, current_user.elevated_until)
    return True


def unlocked() -> tuple[bool, str]:
    """May secrets be shown: was the password typed now, or up to ten minutes ago? Beside a no: what was wrong."""
    typed = request.form.get("password", "")
    if elevated() or (typed and elevate(typed)):
        return True, ""
    return False, _("That is not the password, or it was tried too often.") if typed else ""


@login.before_request
def _guard() -> None:
    refuse_foreign()
    request.max_content_length = 64_000


@login.get("/login")
def form() -> Response:
    if current_user.is_authenticated:
        return _onward()
    return make_response(_page())


@login.post("/login")
def sign_in() -> Response:
    if request.is_json:
        return _sign_in_program()
    if signed_in():  # a live session is never throttled
        return _onward()
    wait_s = throttled()
    if wait_s:
        return _refused(_("Too many attempts. Wait a moment, then try again."), 429, wait_s)
    typed = request.form.get("password", "").strip()
    client = holder_of(typed)
    if client is not None:
        _begin_of(client)
        return make_response(redirect(url_for("own.use"), 303))
    if not right(request.form.get("password", "")):
        return _refused(_("That is not the password."), 422)
    begin()
    return _onward()


def _sign_in_program() -> Response:
    from pool.web.api.logins import sign_in_at_page  # not above: it imports this module

    return sign_in_at_page()


def begin() -> tuple[str, float]:
    """A new session of the admin, in the cookie of the answer: its token, and when it ends at the latest."""
    token, ends_at = _begin()
    audit("session.begin", "admin")
    return token, ends_at


def renew() -> None:
    """Go on in a new session of the admin: whoever knows the token of this one is out."""
    _begin()


def _begin_of(client: queries.ClientWhole) -> None:
    """A new session of a client key's holder."""
    _begin(client.id)
    _remember_holder(client.name, "session.begin", f"client {client.id}")


def _remember_holder(name: str, action: str, thing: str) -> None:
    write(
        queries.add_to_trail, at=now(), who=name, via="user key", ip=caller_ip(), action=action, object=thing,
        before=None, after=None,
    )  # fmt: skip


def _begin(client_key_id: int | None = None) -> tuple[str, float]:
    if current_user.is_authenticated:
        write(queries.end_session, current_user.session_id)
    token = secrets.token_urlsafe(32)
    at = now()
    agent = request.user_agent.string
    write(queries.forget_old_sessions, at, IDLE_S)
    write(
        queries.begin_session, keypool().vault.digest(token), at, at + ABSOLUTE_S, caller_ip(), agent, client_key_id
    )  # fmt: skip
    cookie.clear()
    cookie.permanent = True
    login_user(Admin(token, queries.SignedIn(0, client_key_id, at, 0.0)))
    return token, at + ABSOLUTE_S


@login.post("/logout")
def sign_out() -> Response:
    end()
    flash(_("You are signed out."))
    return make_response(redirect(url_for(".form"), 303))


def end() -> None:
    """End the session of the cookie."""
    if current_user.is_authenticated:
        end_session(current_user)
    logout_user()
    cookie.clear()


def end_session(admin: Admin) -> None:
    """Sign out whose session this is, and remember that they did."""
    if not write(queries.end_session, admin.session_id):
        return  # it was ended by another door, in this request or beside it
    thing = f"session {admin.session_id}"
    if admin.client_key_id is None:
        audit("session.end", thing)
        return
    client = read(queries.client_whole, admin.client_key_id)
    _remember_holder(client.name if client else "", "session.end", thing)


def session_of(token: str) -> Admin | None:
    """Whose live session a token is; None where it is nobody's. A session that is used is not idle."""
    at = now()
    row = read(queries.live_session, keypool().vault.digest(token), at, IDLE_S)
    if row is None:
        return None
    if at - row.last_seen_at > TOUCH_S:
        write(queries.touch_session, row.id, at)
    return Admin(token, row)


def _refused(error: str, status: int, wait_s: int = 0) -> Response:
    headers: dict[str, Any] = {"Retry-After": str(wait_s)} if wait_s else {}
    return make_response(_page(error, wait_s), status, headers)


def _page(error: str = "", wait_s: int = 0) -> str:
    environment = keypool().environment
    note, fixed = environment.login_note, bool(environment.admin_password)
    return render_template("login.html", error=error, wait_s=wait_s, note=note, fixed=fixed)


def _onward() -> Response:
    if holder() is not None:
        return make_response(redirect(url_for("own.use"), 303))
    return make_response(redirect(own_path(request.values.get("next", ""), url_for("admin.dashboard")), 303))
