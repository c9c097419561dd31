"""The dashboard: how traffic and keys are, and what to do first where there are no keys."""

from __future__ import annotations

from math import isfinite
from typing import Any

from flask import Response, current_app, request, url_for

from pool.adapters import queries
from pool.core.periods import month_began
from pool.core.quota import last_reset
from pool.web import htmx
from pool.web.admin import admin
from pool.web.admin.attention import attention
from pool.web.admin.charts import drawn, window_of
from pool.web.here import keypool, now, read
from pool.web.ids import row_id

MINUTE_S = 60.0
RECENT = 20


@admin.get("/dashboard")
def dashboard() -> Response:
    before = _place(request.args.get("before", ""))
    rows = read(queries.logged_requests, queries.LogWanted(), RECENT, before)
    older = f"{rows[-1].at!r},{rows[-1].id}" if len(rows) == RECENT else ""
    at = now()
    around: dict[str, Any] = {}
    if not htmx.calling():
        around = {**_figures(at), **drawn(window_of(request.args.get("window", "")), at)}
    place: dict[str, Any] = {"before": before, "older": older, "back": url_for(".dashboard")}
    return htmx.page("dashboard.html", "_recent.html", rows=rows, **place, **around)


@admin.get("/dashboard/figures")
def figures() -> Response:
    """What the dashboard asks for every few seconds while somebody looks at it."""
    if not htmx.calling():
        return htmx.moved(url_for(".dashboard"))
    return htmx.page("dashboard.html", "_figures.html", **_figures(now()))


def _figures(at: float) -> dict[str, Any]:
    """Rolling minutes; days are quota days, like the quotas they are held against."""
    quota_reset = keypool().preferences.current.quota_reset
    began_at = last_reset(at, quota_reset)
    before = last_reset(began_at - 1, quota_reset)
    # Roll-ups are by the hour: a day begins with the hour its first moment is in.
    today, yesterday = (int(moment // 3600) * 3600 for moment in (began_at, before))
    this_hour = int(at // 3600) * 3600
    rpm, tpm = read(queries.traffic_lately, at - MINUTE_S)
    return {
        "attention": attention(at, began_at, today),
        "keys": read(queries.key_counts, at, None, None, _overlap()),
        "rpm": rpm,
        "tpm": tpm,
        "today": read(queries.traffic_between, today, this_hour + 3600),
        "yesterday": read(queries.traffic_between, yesterday, today),
        "month_cost": read(queries.cost_since, int(month_began(at))),
        "rescued": read(queries.rescued_between, today, this_hour + 3600),
        "day_began": today,
        "minute_began": int(at - MINUTE_S),
    }


def _overlap() -> queries.Overlap:
    kept: queries.Overlap = current_app.extensions.setdefault("overlap", queries.Overlap())
    return kept


def _place(text: str) -> tuple[float, int] | None:
    """`at,id` of a request; None for anything else."""
    at, _, given = text.partition(",")
    try:
        place = float(at), row_id(given)
    except ValueError:
        return None
    return place if isfinite(place[0]) else None
