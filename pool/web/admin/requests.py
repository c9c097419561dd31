"""The log of requests: what was asked, who answered, and every attempt that it took."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Response, abort, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as Redirection

from pool.adapters import queries
from pool.core.faults import Fault
from pool.web import htmx
from pool.web.admin import admin
from pool.web.admin.log_filters import ENDED, WINDOWS_S, Filters, filters_of, pins
from pool.web.api.paging import Place, cursor, place
from pool.web.attempt_words import passed_over, why_text
from pool.web.here import keypool, read
from pool.web.moments import for_field
from pool.web.origin import own_path
from pool.web.sheets import csv_file
from pool.web.stat_words import endpoint, iso
from pool.web.stats import usd

SIZE = 50
PIECE = 500
"""Rows read at a time for a file."""

for _name, _words in (
    ("why", why_text),
    ("passed_over", passed_over),
    ("for_field", for_field),
    ("endpoint", endpoint),
):
    admin.add_app_template_filter(_words, _name)


@admin.get("/requests")
def requests() -> Response | Redirection:
    asked = request.args.get("id", "").strip()
    if asked:
        return redirect(url_for(".one_request", reference=asked[:80]), 303)
    filters, after = filters_of(request.args), after_of(request.args.get("after"))
    rows = _page(filters, SIZE + 1, after)
    return htmx.page(
        "requests/page.html",
        "requests/_found.html",
        rows=rows[:SIZE],
        filters=filters,
        pins=list(pins(filters)),
        pools=list(keypool().catalogue.pools.values()),
        ended=ENDED,
        windows=("", *WINDOWS_S),
        after=after,
        more=cursor(rows[SIZE - 1].at, rows[SIZE - 1].id) if len(rows) > SIZE else "",
        back=request.full_path.rstrip("?"),
    )


@admin.get("/requests/<path:reference>")
def one_request(reference: str) -> Response:
    """By its row or by the id its client was told; for htmx its rows in the list, unfolded or not."""
    found = read(queries.logged_request, reference[:80])
    back = own_path(request.args.get("back", ""), url_for(".requests"))
    if found is None and not htmx.calling():
        page = render_template("requests/unknown.html", reference=reference[:80], back=back)
        return Response(page, 404)
    if found is None:
        abort(404)
    row, tries = found
    folded = "folded" in request.args
    return htmx.page(
        "requests/one.html", "requests/_row.html", row=row, tries=None if folded else tries, back=back
    )  # fmt: skip


@admin.get("/requests.csv")
def requests_sheet() -> Response:
    """What is filtered, whole."""
    return csv_file("keypool-requests.csv", HEADER, _lines(filters_of(request.args)))


HEADER = (
    "at", "request id", "status", "outcome", "code", "pool", "user key", "key", "operation", "model asked",
    "model used", "stream", "attempts", "ms", "first byte ms", "tokens in", "tokens out", "tokens cached",
    "tokens thinking", "estimated", "cost usd", "ip",
)  # fmt: skip


def _lines(filters: Filters) -> Iterator[tuple[Any, ...]]:
    after: Place | None = None
    while rows := _page(filters, PIECE, after):
        after = rows[-1].at, rows[-1].id
        yield from map(_line, rows)


def _line(row: queries.LoggedRequest) -> tuple[Any, ...]:
    return (
        iso(row.at), row.request_id, row.status, row.outcome, row.error_code, row.pool, row.client, row.key,
        row.operation, row.model, row.model_used, int(row.stream), row.attempts, row.latency_ms, row.ttfb_ms,
        row.tokens_in, row.tokens_out, row.tokens_cached, row.tokens_thinking, int(row.estimated), usd(row.cost_nano),
        row.ip,
    )  # fmt: skip


def _page(filters: Filters, size: int, after: Place | None) -> list[queries.LoggedRequest]:
    """Nothing where a filter cannot be understood: the whole log would be an answer to something else."""
    return [] if filters.troubles else read(queries.logged_requests, filters.wanted, size, after)


def after_of(text: str | None) -> Place | None:
    """Where a page begins; at the beginning for what is no place."""
    try:
        return place(text)
    except Fault:
        return None


@admin.app_template_filter()
def ended_text(word: str) -> str:
    return {"": _("All"), "ok": _("Answered"), "failed": _("Failed")}[word]
