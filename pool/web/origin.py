"""Where a request comes from: is it one of our own pages, and is a path one of our own?"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request, abort, current_app, request
from werkzeug.exceptions import HTTPException

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def refuse_foreign() -> None:
    """403 for a change that another site's page asks for."""
    if request.method not in SAFE_METHODS and not same_origin(request):
        abort(403)


def same_origin(asked: Request) -> bool:
    """Did one of our own pages, or no page at all, send this?

    Browsers send `Sec-Fetch-Site` to https and localhost only; elsewhere `Origin` speaks, then `Referer`. What has
    none of them is no browser that would add a cookie by itself to another site's form.
    """
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    source = asked.headers.get("Origin") or asked.headers.get("Referer")
    return source is None or urlsplit(source).netloc.lower() == asked.host.lower()


def nearest_page() -> str:
    """The address of this page; where it is the answer to a form, that of the page the form was on: the same path, the
    way back that the form carried, or what is above it. "" where there is none."""
    if request.method in SAFE_METHODS:
        return request.full_path.rstrip("?")
    path = request.path
    above = (path.rsplit("/", steps)[0] for steps in range(1, path.count("/")))
    return next((each for each in (path, _carried_back(), *above) if own_path(each, "")), "")


def _carried_back() -> str:
    try:
        return request.form.get("back", "")
    except HTTPException:  # the form itself is what cannot be taken
        return ""


def own_path(target: str, otherwise: str) -> str:
    """`target` where it is a path of one of our own pages, else `otherwise`: nobody is led away by a link."""
    if not target.startswith("/") or target[1:2] in ("/", "\\") or not target.isprintable() or "\\" in target:
        return otherwise
    try:
        current_app.create_url_adapter(request).match(urlsplit(target).path, method="GET")  # type: ignore[union-attr]
    except (HTTPException, ValueError):
        return otherwise
    return target
