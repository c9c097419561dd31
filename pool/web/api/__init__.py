"""Blueprint `api`: management in JSON. Nothing here answers anybody without an admin credential."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from pool.core.faults import Fault
from pool.core.twice import Overtaken
from pool.web.api.answers import HEADERS, refusal, refusal_of
from pool.web.api.credentials import admit, refused
from pool.web.guessing import Remembered

api = Blueprint("api", __name__)


def mount(app: Flask) -> None:
    app.extensions["remembered"] = Remembered()
    app.register_blueprint(api)


OPEN: set[str] = set()
"""Endpoints that answer anybody: those where one signs in and out."""


@api.before_request
def _guard() -> Response | None:
    """Before the body is read. `via` is what the audit trail says of how somebody came in."""
    if request.endpoint in OPEN:
        return None
    g.via = admit()
    return None if g.via else refused()


@api.errorhandler(Fault)
def _refuse(fault: Fault) -> Response:
    return refusal(fault)


@api.errorhandler(Overtaken)
def _refuse_late(_error: Overtaken) -> Response:
    message = "What this stands on was changed or deleted meanwhile, so nothing was done. Look again, then repeat it."
    return refusal(Fault(409, "changed_meanwhile", message, retryable=True))


@api.errorhandler(HTTPException)
def _refuse_http(error: HTTPException) -> Response:
    return refusal_of(error)


@api.after_request
def _headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


from pool.web.api import (  # noqa: E402, F401 — they add the views
    backups,
    clients,
    config,
    document,
    exports,
    foreign,
    gemini_keys,
    gemini_pools,
    imports,
    jobs,
    key_actions,
    key_copies,
    key_edits,
    keys,
    logins,
    metrics,
    new_keys,
    pools,
    providers,
    requests,
    reset,
    routing,
    securing,
    settings,
    stats,
    status,
    tokens,
    trail,
    user_keys,
)
