"""Long work as programs see it: `/admin/jobs`."""

from __future__ import annotations

from typing import Any, Literal

from flask import Response
from pydantic import Field

from pool.adapters import queries
from pool.core.faults import Fault
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told, operation
from pool.web.here import read
from pool.web.stopping import stop_job

State = Literal["queued", "running", "done", "failed", "cancelled", "lost"]

LISTED = 500


class JobsAsked(Asked):
    limit: int = Field(50, ge=1, le=LISTED)
    after: int = Field(0, ge=0, description="`next` of the page before.")
    kind: str = Field("", max_length=40)
    state: State | None = None


class JobTold(Told):
    id: int
    kind: str = Field(description="What it does: `import`, `keys.disable`…")
    state: State = Field(description="`lost`: its process ended before it did.")
    who: str
    via: str
    total: int = Field(description="How many rows there are to do; 0 where nobody knows yet.")
    done: int
    fates: dict[str, int] = Field(description="How many rows ended how.")
    result: dict[str, Any] | None
    error: str
    can_undo: bool
    cancel_asked: bool
    created_at: float
    started_at: float | None
    ended_at: float | None


class OneJobTold(JobTold):
    rows: dict[str, list[Any]] = Field(description="Some rows of each fate, up to 1,000, once it is over.")


class JobsTold(Told):
    jobs: list[JobTold]
    next: str | None


class CancelTold(Told):
    success: bool
    message: str
    job: OneJobTold


@operation(
    "GET", "/admin/jobs", tag="jobs", summary="Long work, newest first", query=JobsAsked, answers={200: JobsTold}
)
def list_jobs(query: JobsAsked) -> Response:
    """What takes long runs as a job: imports, actions on many keys, restoring. They are kept for seven days."""
    rows = read(
        queries.job_page, after=query.after, size=query.limit + 1, kind=query.kind, state=query.state or ""
    )  # fmt: skip
    page = rows[: query.limit]
    return answer({"jobs": [told(row) for row in page], "next": str(page[-1].id) if len(rows) > len(page) else None})


@operation(
    "GET", "/admin/jobs/<int:job_id>", tag="jobs", summary="How far a job is", answers={200: OneJobTold}
)  # fmt: skip
def show_job(job_id: int) -> Response:
    """Progress is written down once a second; ask as often."""
    return answer(one(job_id))


@operation(
    "POST", "/admin/jobs/<int:job_id>/cancel", tag="jobs", summary="Stop a job", answers={200: CancelTold}
)  # fmt: skip
def cancel_job(job_id: int) -> Response:
    """It stops after the slice it is at. What is done stays done, and can be taken back where the work can be undone.

    A job that is over is 409.
    """
    row = found(job_id)
    if not stop_job(row):
        message = f"Job {job_id} is over: {row.state}."
        raise Fault(409, "job_over", message, param="job_id", retryable=False)
    return answer({"success": True, "message": f"Job {job_id} stops after the slice it is at.", "job": one(job_id)})


def one(job_id: int) -> dict[str, Any]:
    """A job as the API tells it. Raises `Fault` 404."""
    row = found(job_id)
    return {**told(row), "rows": dict(row.rows)}


def found(job_id: int) -> queries.JobRow:
    row = read(queries.job_row, job_id)
    if row is None:
        raise Fault(404, "job_not_found", f"There is no job {job_id}.", param="job_id", retryable=False)
    return row


def told(row: queries.JobRow) -> dict[str, Any]:
    names = JobTold.model_fields
    return {name: getattr(row, name) for name in names}
