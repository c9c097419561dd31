"""The management API, told to people: its OpenAPI document as pages."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, abort, make_response, render_template, request
from flask_babel import gettext as _

from pool.web.admin import admin
from pool.web.api.document import document
from pool.web.api.reading import Page, pages
from pool.web.here import aside


@admin.get("/settings/api")
def api_reference() -> Response:
    return make_response(render_template("reference/overview.html", pages=_pages(), tag_text=tag_text))


@admin.get("/settings/api/<tag>")
def api_operations(tag: str) -> Response:
    told = _pages()
    page = next((each for each in told if each.tag == tag), None)
    if page is None:
        abort(404)
    return make_response(
        render_template("reference/page.html", page=page, pages=told, tag_text=tag_text, part_text=part_text)
    )


def _pages() -> Sequence[Page]:
    return aside(lambda at: pages(document(), at), request.host_url.rstrip("/"))


def tag_text(tag: str) -> str:
    words = {
        "keys": _("Keys"),
        "pools": _("Pools"),
        "clients": _("User keys"),
        "providers": _("Providers"),
        "imports": _("Imports"),
        "jobs": _("Jobs"),
        "requests": _("Requests"),
        "status": _("State"),
        "stats": _("Statistics"),
        "settings": _("Settings"),
        "audit": _("Audit trail"),
        "export": _("Export, backup, moving in"),
        "login": _("Signing in"),
        "compatible": _("Predecessors' addresses"),
        "about": _("This document"),
    }
    return words.get(tag, tag.replace("_", " ").capitalize())


def part_text(place: str) -> str:
    match place:
        case "address":
            return _("In the address")
        case "query":
            return _("In the query")
        case "body":
            return _("In the body")
    return _("Answer")
