"""Blueprint `proxy`: the client routes as Flask's URL map knows them. Each hands its request to the proxy's door."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, current_app, request
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response

from .routes import RULES, VERSION

proxy = Blueprint("proxy", __name__)


class VersionConverter(BaseConverter):
    """An API version in a path: `v1`, `v1beta`, `v1alpha`, `v2`…"""

    regex = VERSION


def serve(**_: Any) -> Response:
    """Every client route is this view: the door reads path and credential itself."""
    return Response.from_app(current_app.extensions["keypool"].proxy, request.environ)


for _number, (_rule, _method, _operation) in enumerate(RULES):
    proxy.add_url_rule(_rule, f"{_operation}_{_number}", serve, methods=[_method])


def mount(app: Flask) -> None:
    app.url_map.converters["version"] = VersionConverter
    app.register_blueprint(proxy)
