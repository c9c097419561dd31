"""Where the predecessors had their pages, so that bookmarks go on working."""

from __future__ import annotations

from flask import Response, make_response, redirect, url_for

from pool.web.admin import admin


@admin.get("/admin")
def old_admin() -> Response:
    return make_response(redirect(url_for(".dashboard")))


@admin.get("/admin/create-pool")
def old_create_pool() -> Response:
    return make_response(redirect(url_for(".new_pool")))
