"""The strip that says on every page what long work is under way, until it is over."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for

from pool.adapters import queries
from pool.adapters.queries.jobs import JobAtWork, jobs_at_work
from pool.web import htmx
from pool.web.admin import admin
from pool.web.here import read
from pool.web.ids import row_id
from pool.web.login import signed_in

TELL_IT_THEMSELVES = ("admin.jobs", "admin.job")


@admin.app_context_processor
def _work() -> dict[str, Any]:
    return {"work_under_way": work_under_way}


def work_under_way() -> list[JobAtWork]:
    """The oldest first: it is over next."""
    return read(jobs_at_work) if signed_in() and request.endpoint not in TELL_IT_THEMSELVES else []


@admin.get("/jobs/under-way")
def work() -> Response:
    """What the strip asks for while somebody looks at it. It was about one job: its end is told, once."""
    if not htmx.calling():
        return htmx.moved(url_for(".jobs"))
    works = work_under_way()
    over = None if works else read(queries.job_row, request.args.get("job", 0, type=row_id))
    return htmx.page("jobs/list.html", "jobs/_work.html", works=works, over=over)
