"""The dashboard: how traffic and keys are, and what to do first where there are no keys."""

from __future__ import annotations

from flask import Response, request

from pool.adapters import queries
from pool.web import htmx
from pool.web.admin import admin
from pool.web.here import now, read

HOURS = 24
RECENT = 20


@admin.get("/dashboard")
def dashboard() -> Response:
    at = now()
    this_hour = int(at // 3600) * 3600
    today = int(at // 86_400) * 86_400
    before = _place(request.args.get("before", ""))
    rows = read(queries.recent_requests, RECENT, before)
    return htmx.page(
        "dashboard.html",
        "_recent.html",
        keys=read(queries.key_counts, at),
        today=read(queries.traffic_since, today),
        yesterday=read(queries.traffic_since, today - 86_400),
        hours=_every_hour(this_hour),
        rows=rows,
        before=before,
        older=f"{rows[-1].at!r},{rows[-1].id}" if len(rows) == RECENT else "",
    )


def _every_hour(this_hour: int) -> list[queries.Hour]:
    first = this_hour - (HOURS - 1) * 3600
    known = {hour.at: hour for hour in read(queries.hours_since, first)}
    return [known.get(at) or queries.Hour(at) for at in range(first, this_hour + 1, 3600)]


def _place(text: str) -> tuple[float, int] | None:
    """`at,id` of a request; None for anything else."""
    at, _, row_id = text.partition(",")
    try:
        return float(at), int(row_id)
    except ValueError:
        return None
