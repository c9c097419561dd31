"""Forms that must not count twice: each carries a token of its own, so that a double click or F5 is answered once."""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256

from flask import request
from flask_login import current_user

from pool.adapters import queries
from pool.web.admin import admin
from pool.web.here import keypool, now, read

_TOKEN = re.compile(r"[\w-]{22}", re.ASCII)


@admin.app_template_global("once")
def fresh() -> str:
    """A token for a form that is shown."""
    return secrets.token_urlsafe(16)


def sent() -> str:
    """A token of the form that was sent, made of its own and of what was filled in: who comes back to a form by the
    browser's history and fills it in anew asks for something else. A form without any counts each time."""
    if not _TOKEN.fullmatch(request.form.get("once", "")):
        return fresh()
    filled = repr(sorted(request.form.items(multi=True))).encode()
    return urlsafe_b64encode(sha256(filled).digest()[:16]).decode().rstrip("=")


def named(deed: str, token: str) -> str:
    """What the answer to a form is kept under: nobody else's session finds it, and no other form."""
    return f"{current_user.session_id}:{deed}:{token}"


def answer(deed: str, token: str) -> list[str] | None:
    """The lines a form was answered; None where it was not sent in this session within the last ten minutes."""
    sealed = read(queries.answer, named(deed, token), now()) if _TOKEN.fullmatch(token) else None
    return keypool().vault.decrypt(sealed).split("\n") if sealed is not None else None
