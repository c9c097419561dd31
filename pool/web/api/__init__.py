"""Blueprint `api`: management in JSON. Nothing here answers anybody without an admin credential."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, g
from werkzeug.exceptions import HTTPException

from pool.core.faults import Fault
from pool.web.api.answers import HEADERS, refusal, refusal_of
from pool.web.api.credentials import admit
from pool.web.guessing import Remembered

api = Blueprint("api", __name__)


def mount(app: Flask) -> None:
    app.extensions["remembered"] = Remembered()
    app.register_blueprint(api)


@api.before_request
def _guard() -> None:
    """Before the body is read. `via` is what the audit trail says of how somebody came in."""
    g.via = admit()


@api.errorhandler(Fault)
def _refuse(fault: Fault) -> Response:
    return refusal(fault)


@api.errorhandler(HTTPException)
def _refuse_http(error: HTTPException) -> Response:
    return refusal_of(error)


@api.after_request
def _headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


from pool.web.api import routing  # noqa: E402, F401 — it adds its views
