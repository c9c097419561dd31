"""Pages and routes: how the pool meets browsers and programs."""

from __future__ import annotations

from flask import Flask

from pool.web import api, ids, pages
from pool.web.ops import ops
from pool.web.proxy import blueprint as proxy


def mount(app: Flask) -> None:
    """Give the app every blueprint."""
    ids.mount(app)
    proxy.mount(app)
    app.register_blueprint(ops)
    pages.mount(app)
    api.mount(app)
