"""The admin credential of a program: the password or a session's token in a header, or the cookie of a browser."""

from __future__ import annotations

import logging

from flask import current_app, request

from pool.core.faults import Fault
from pool.web.guessing import Remembered, encoded, throttled
from pool.web.here import caller_ip, keypool
from pool.web.login import session_of, signed_in
from pool.web.origin import same_origin

SESSION, TOKEN, PASSWORD = "session", "session token", "password"

log = logging.getLogger(__name__)


def admit() -> str:
    """How the admin at the other end showed to be one.

    Raises `Fault` 401; 403 where a browser was led here by another site; 429 where a password was tried too often,
    before it is hashed. A live session is never throttled.
    """
    tokens = presented()
    if any(_is_session(token) for token in tokens):
        return TOKEN
    if signed_in():
        if same_origin(request):
            return SESSION
        if not tokens:
            raise Fault(403, "foreign_origin", "Another site's page asked for this.", retryable=False)
    if any(_is_password(token) for token in tokens):
        return PASSWORD
    raise _unauthorized(bool(tokens))


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
    holder = session_of(token)
    return holder is not None and holder.is_admin


def _is_password(token: str) -> bool:
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
        if keypool().passwords.verify(token, stored):
            return True
        log.warning("a wrong password from %s", caller_ip())
        return False

    remembered: Remembered = current_app.extensions["remembered"]
    return remembered.admits(token, stored, attempt)


def _unauthorized(showed_one: bool) -> Fault:
    message = (
        "That is no admin credential."
        if showed_one
        else "Sign in, or send the admin password or a session's token as `X-Admin-Key` or `Authorization: Bearer …`."
    )
    fault = Fault(401, "unauthorized", message, retryable=False)
    fault.headers.append(("WWW-Authenticate", "Bearer"))
    return fault
