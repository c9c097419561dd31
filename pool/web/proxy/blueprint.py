"""Blueprint `proxy`: the client routes as Flask's URL map knows them. Each hands its request to the proxy's door."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.routing import BaseConverter

from .routes import RULES, VERSION

proxy = Blueprint("proxy", __name__)


class VersionConverter(BaseConverter):
    """An API version in a path: `v1`, `v1beta`, `v1alpha`, `v2`…"""

    regex = VERSION


def mount(app: Flask) -> None:
    app.url_map.converters["version"] = VersionConverter
    for number, (rule, method, operation) in enumerate(RULES):
        proxy_rule = {"endpoint": f"{operation}_{number}", "view_func": serve, "methods": [method]}
        proxy.add_url_rule(rule, **proxy_rule)  # type: ignore[arg-type]
    app.register_blueprint(proxy)


def serve(**_: Any) -> Response:
    """Every client route is this view: the door reads path and credential itself."""
    return Response.from_app(current_app.extensions["keypool"].proxy, request.environ)
