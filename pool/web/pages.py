"""What all pages share: headers, language, theme, errors; and the mounting of their blueprints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, make_response, redirect, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException, PreconditionFailed

from pool.core.masking import mask
from pool.core.twice import Overtaken
from pool.version import VERSION
from pool.web import counted, htmx, login, names, shown
from pool.web.admin import admin
from pool.web.api import answers
from pool.web.here import browsing
from pool.web.origin import nearest_page, own_path, refuse_foreign
from pool.web.own import own
from pool.web.packed import pack
from pool.web.proxy.body import InTime
from pool.web.stats import stats
from pool.web.tracing import trace_of

LANGUAGES = {"en": "English", "zh_CN": "简体中文"}
THEMES = ("auto", "light", "dark")
YEAR_S = 365 * 86_400

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # page.html relaxes it to same-origin: without any referrer browsers call the origin of our own forms "null".
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

CALLS = ("/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1beta/models", "/api/{provider}/{path}")
MANAGED = ("/admin/keys", "/admin/pools", "/admin/status", "/admin/stats", "/admin/openapi.json")
ASKED = ("/health", "/healthz", "/status")
"""What a program is told that asks what there is."""

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
PAGES = frozenset({"pages", "login", "admin", "stats", "own"})
"""The blueprints that answer people."""

pages = Blueprint("pages", __name__)


def mount(app: Flask) -> None:
    """Everything a person sees."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.config.setdefault("BABEL_TRANSLATION_DIRECTORIES", "pool/web/translations")
    counted.mount(app, _language)
    has_htmx = Path(app.root_path, "static", "vendor", "htmx.min.js").exists()
    app.jinja_env.globals.update(VERSION=VERSION, LANGUAGES=LANGUAGES, HTMX=has_htmx)
    shown.mount(app)
    names.mount(app)
    htmx.mount(app)
    login.mount(app)
    app.register_blueprint(pages)
    app.register_blueprint(admin)
    app.register_blueprint(stats)
    app.register_blueprint(own)
    app.register_error_handler(HTTPException, _error)
    app.register_error_handler(Overtaken, lambda _: _error(PreconditionFailed()))
    app.context_processor(_frame)
    app.before_request(_await_forms_in_time)
    app.after_request(_headers)


def _await_forms_in_time() -> None:
    """Flask itself waits for a form as long as its sender likes."""
    if request.mimetype in FORMS:
        request.environ["wsgi.input"] = InTime(request.environ["wsgi.input"], request.content_length or 0)


@pages.before_request
def _guard() -> None:
    refuse_foreign()
    request.max_content_length = 64_000


@pages.get("/")
def root() -> Response:
    """Where a person begins; a program is told what there is."""
    if browsing():
        return make_response(redirect(url_for("admin.dashboard" if login.signed_in() else "login.form")))
    return jsonify(
        message="Keypool is running.",
        name="keypool",
        version=VERSION,
        description="Many upstream keys behind one endpoint.",
        endpoints={"api": CALLS, "admin": MANAGED, "public": ASKED},
    )


@pages.post("/language")
def choose_language() -> Response:
    return _chosen("language", request.form.get("language", ""), LANGUAGES)


@pages.post("/theme")
def choose_theme() -> Response:
    return _chosen("theme", request.form.get("theme", ""), THEMES)


def _chosen(name: str, value: str, among: Any) -> Response:
    response = make_response(redirect(own_path(request.form.get("back", ""), url_for(".root")), 303))
    if value in among:
        response.set_cookie(name, value, YEAR_S, secure=request.is_secure, httponly=True, samesite="Lax")
    return response


def _language() -> str | None:
    chosen = request.cookies.get("language", "")
    if chosen in LANGUAGES:
        return chosen
    wanted = request.accept_languages.best_match(["en", "zh", "zh-CN", "zh-Hans", "zh-SG"], "en")
    return "zh_CN" if wanted and wanted.startswith("zh") else "en"


def _frame() -> dict[str, Any]:
    theme = request.cookies.get("theme", "auto")
    return {
        "theme": theme if theme in THEMES else "auto",
        "language": str(get_locale()).replace("_Hans", ""),
        "here": nearest_page() or url_for("pages.root"),
        "mask": mask,
    }


def _headers(response: Response) -> Response:
    """Pages get all of them. Client routes and the management API set their own."""
    if request.blueprint in PAGES:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
    elif request.endpoint == "static":
        response.headers["X-Content-Type-Options"] = "nosniff"
        pack(response)
    return response


def _error(error: HTTPException) -> Response | HTTPException:
    """An error as a page; below an API's prefixes as JSON. Redirects and prepared answers go through as they are."""
    if error.response is not None or (error.code or 500) < 400:
        return error
    code = error.code or 500
    if request.path.startswith(answers.PREFIXES):
        answer = answers.refusal_of(error)
        answer.headers.extend(answers.HEADERS)
        return answer
    if request.path.startswith("/v1"):
        answer = jsonify(error={"message": error.description, "type": "error", "param": None, "code": str(code)})
    else:
        framed = code < 500 and login.signed_in()
        told = {"code": code, "text": _error_text(code), "trace": trace_of(error)}
        answer = make_response(render_template("error.html", framed=framed, **told))
    answer.status_code = code
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            answer.headers[name] = value
    answer.headers.extend(HEADERS)
    return answer


def _error_text(code: int) -> str:
    match code:
        case 403:
            return _("This was asked for by another site's page, so nothing was changed.")
        case 404:
            return _("There is nothing at this address.")
        case 405:
            return _("This address does not answer to that method.")
        case 412:
            return _("This was changed or deleted meanwhile, so nothing was done. Look again, then repeat it.")
        case 413:
            return _("That is more than one request may carry.")
        case 500:
            return _("Something broke on our side. The log knows more.")
    return _("The request could not be understood.")
