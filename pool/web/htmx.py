"""The only module that asks whether htmx is calling: the same views answer it with less."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, make_response, redirect, render_template
from htmx_flask import Htmx, request

HEADER = "HX-Request"


def mount(app: Flask) -> None:
    Htmx(app)


def calling() -> bool:
    """Is it htmx, and does it want a fragment (not a page it lost from its history)?"""
    return bool(request.htmx) and not request.htmx.history_restore_request


def page(template: str, fragment: str, /, status: int = 200, **context: Any) -> Response:
    """A whole page, or for htmx the fragment that the page includes."""
    return _answer(render_template(fragment if calling() else template, **context), status)


def changed(fragment: str, url: str, /, **context: Any) -> Response:
    """After a change: the fragment that shows it for htmx, for everyone else the way back to a page."""
    if calling():
        return _answer(render_template(fragment, **context), 200)
    return _vary(make_response(redirect(url, 303)))


def moved(url: str) -> Response:
    """After a change that leaves the page: on to another one, htmx included."""
    if calling():
        response = make_response("", 204)
        response.headers["HX-Redirect"] = url
        return _vary(response)
    return _vary(make_response(redirect(url, 303)))


def sign_in_first(url: str) -> Response:
    """Nobody is signed in. A 302 would put the login page into a fragment's place."""
    if bool(request.htmx):
        response = make_response("", 401)
        response.headers["HX-Redirect"] = url
        return _vary(response)
    return _vary(make_response(redirect(url, 302)))


def _answer(html: str, status: int) -> Response:
    return _vary(make_response(html, status))


def _vary(response: Response) -> Response:
    response.vary.add(HEADER)
    return response
