"""Blueprint `admin`: the pages of the operator. Nothing here answers anybody who is not signed in."""

from __future__ import annotations

from flask import Blueprint, Response, request, url_for

from pool.web import htmx
from pool.web.login import signed_in
from pool.web.origin import SAFE_METHODS, refuse_foreign

MOST_FORM_BYTES = 1_000_000

admin = Blueprint("admin", __name__)


@admin.before_request
def _guard() -> Response | None:
    refuse_foreign()
    if not signed_in():
        back = request.full_path.rstrip("?") if request.method in SAFE_METHODS else None
        return htmx.sign_in_first(url_for("login.form", next=back))
    request.max_content_length = request.max_form_memory_size = MOST_FORM_BYTES
    return None


from pool.web.admin import (  # noqa: E402, F401 — they add the views
    account,
    bin,
    clients,
    copying,
    dashboard,
    imports,
    jobs,
    key_editing,
    keys,
    limits,
    old_paths,
    one_key,
    past_imports,
    playground,
    pools,
    providers,
    reference,
    requests,
    selection,
    settings,
    trail,
    work,
)
