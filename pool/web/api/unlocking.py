"""Secrets leave only to who types the password with the request, or did so a short while ago in this session."""

from __future__ import annotations

from flask_login import current_user

from pool.adapters import queries
from pool.core.faults import Fault
from pool.web.api.credentials import is_password, presented
from pool.web.here import now, write
from pool.web.login import ELEVATED_S, Admin, session_of, signed_in


def unlock(password: str | None) -> None:
    """Let secrets out, now and for ten minutes of this session. Raises `Fault` 403; 429 as the login page does."""
    session = _session()
    if session is not None and session.elevated_until > now():
        return
    if not password:
        message = "Send the admin password as `password`: what is asked for leaves only to who knows it."
        raise Fault(403, "password_required", message, param="password", retryable=False)
    if not is_password(password):
        raise Fault(403, "wrong_password", "That is not the admin password.", param="password", retryable=False)
    if session is not None:
        write(queries.elevate_session, session.session_id, now() + ELEVATED_S)


def _session() -> Admin | None:
    """The session somebody came by: in a header, or by the cookie."""
    holders = (session_of(token) for token in presented())
    by_header = next((holder for holder in holders if holder is not None and holder.is_admin), None)
    return by_header or (current_user if signed_in() else None)
