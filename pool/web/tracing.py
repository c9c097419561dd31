"""Stack traces in answers: for an admin, with DEBUG_ERRORS=1, redacted. Otherwise they are in the log alone."""

from __future__ import annotations

import traceback

from flask import g
from werkzeug.exceptions import HTTPException

from pool.core.masking import redact
from pool.web.here import keypool
from pool.web.login import signed_in


def trace_of(error: HTTPException) -> list[str]:
    """The lines of the trace of what broke; none where nothing did, or where nobody is to see them."""
    broke, boot = getattr(error, "original_exception", None), keypool().environment
    if broke is None or not boot.debug_errors or not (g.get("via") or signed_in()):
        return []
    return redact("".join(traceback.format_exception(broke)), *boot.secrets()).splitlines()
