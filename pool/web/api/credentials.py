"""The admin credential of a program: the password or a session's token in a header, or the cookie of a browser."""

from __future__ import annotations

from flask import Response, current_app, make_response, redirect, request, url_for

from pool.admin_socket import BY_SOCKET
from pool.core.faults import Fault
from pool.web.api.answers import answer
from pool.web.guessing import Remembered, encoded, throttled, verified
from pool.web.here import browsing, keypool
from pool.web.login import session_of, signed_in
from pool.web.origin import SAFE_METHODS, same_origin

SESSION, TOKEN, PASSWORD, SOCKET = "session", "session token", "password", "admin socket"

COOKIE = "session"
"""What a predecessor called the cookie that holds a session's token, as it is."""



def admit() -> str | None:
    """How the admin at the other end showed to be one; None where nobody did.

    Raises `Fault` 403 where a browser was led here by another site; 429 where a password was tried too often, before
    it is hashed. A live session is never throttled.
    """
    if BY_SOCKET in request.environ:
        return SOCKET
    tokens = presented()
    if any(_is_session(token) for token in tokens):
        return TOKEN
    if signed_in() or _is_session(request.cookies.get(COOKIE, "")):
        # Somebody follows a link to a page: that changes nothing, and the other site never reads the answer.
        if same_origin(request) or (browsing() and request.method in SAFE_METHODS):
            return SESSION
        if not tokens:
            raise foreign()
    if any(is_password(token) for token in tokens):
        return PASSWORD
    return None


def foreign() -> Fault:
    return Fault(403, "foreign_origin", "Another site's page asked for this.", retryable=False)


def refused() -> Response:
    """Who is no admin hears so from the predecessor whose way in was tried; a person's browser is led to sign in."""
    if browsing() and not presented():
        back = request.full_path.rstrip("?") if request.method in SAFE_METHODS else None
        return make_response(redirect(url_for("login.form", next=back)))
    if request.path.startswith("/api/"):
        return _refusal(401, "未授权：请先登录", {"type": "authentication_error", "code": "unauthorized"})
    if "X-Admin-Key" in request.headers or not presented() or not request.path.startswith("/admin/"):
        return _refusal(401, "That is no admin credential." if presented() else _HOW, "Unauthorized")
    return _refusal(403, "Admin access required", {"type": "invalid_request_error", "code": "http_403"})


_HOW = "Sign in, or send the admin password or a session's token as `X-Admin-Key` or `Authorization: Bearer …`."


def _refusal(status: int, message: str, error: str | dict[str, str]) -> Response:
    told = error if isinstance(error, str) else {"message": message, **error}
    response = answer({"success": False, "message": message, "error": told}, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def presented() -> list[str]:
    """What a program shows, in the order it counts: `X-Admin-Key`, `Authorization` (Bearer or raw)."""
    authorization = request.headers.get("Authorization", "").strip()
    scheme, _, token = authorization.partition(" ")
    shown = [
        request.headers.get("X-Admin-Key", "").strip(),
        token.strip() if scheme.lower() == "bearer" else authorization,
    ]
    return list(dict.fromkeys(_as_sent(each) for each in shown if each))


def _as_sent(text: str) -> str:
    """WSGI hands bytes on as if they were Latin-1; a password in another alphabet was sent in UTF-8."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _is_session(token: str) -> bool:
    holder = session_of(token) if token else None
    return holder is not None and holder.is_admin


def is_password(token: str) -> bool:
    """Is it the password? Raises `Fault` 429."""
    # A program that shows its client key by mistake guesses nothing, and must lock nobody out.
    if keypool().vault.digest(token) in keypool().catalogue.credentials:
        return False
    stored = encoded()

    def attempt() -> bool:
        wait_s = throttled()
        if wait_s:
            message = "Too many attempts at the password. Wait a moment, then try again."
            raise Fault(429, "too_many_attempts", message, retry_after_s=wait_s)
        return verified(token, stored)

    remembered: Remembered = current_app.extensions["remembered"]
    return remembered.admits(token, stored, attempt)

