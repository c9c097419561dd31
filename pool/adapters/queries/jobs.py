"""The jobs page and its API: what long work there was, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pool.adapters.tables import Job


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job. `fates` count its rows by what became of them, `rows` names some of each once it is over."""

    id: int
    kind: str
    state: str
    who: str
    via: str
    total: int
    done: int
    fates: Mapping[str, int]
    result: Mapping[str, Any] | None
    error: str
    can_undo: bool
    cancel_asked: bool
    created_at: float
    started_at: float | None
    ended_at: float | None
    rows: Mapping[str, list[Any]]
    undo: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class JobAtWork:
    """As much of a job as a strip shows of it."""

    id: int
    kind: str
    state: str
    total: int
    done: int


MOST_AT_WORK = 10


def jobs_at_work(session: Session) -> list[JobAtWork]:
    """Jobs that run or wait, the oldest first, without what became of their rows."""
    columns = Job.id, Job.kind, Job.state, Job.total, Job.done
    query = select(*columns).where(Job.state.in_(("queued", "running"))).order_by(Job.id).limit(MOST_AT_WORK)
    return [JobAtWork(*row) for row in session.execute(query)]


def job_row(session: Session, job_id: int) -> JobRow | None:
    job = session.get(Job, job_id)
    return _row(job) if job is not None else None


def job_page(session: Session, *, after: int = 0, size: int = 50, kind: str = "", state: str = "") -> list[JobRow]:
    """Up to `size` jobs, newest first: those before job `after`, or the newest where that is 0."""
    query = select(Job).order_by(Job.id.desc()).limit(size)
    if after:
        query = query.where(Job.id < after)
    if kind:
        query = query.where(Job.kind == kind)
    if state:
        query = query.where(Job.state == state)
    return [_row(job) for job in session.scalars(query)]


def _row(job: Job) -> JobRow:
    return JobRow(
        job.id, job.kind, job.state, job.who, job.via, job.total, job.done, job.fates or {}, job.result, job.error,
        job.undo is not None, job.cancel_asked, job.created_at, job.started_at, job.ended_at, job.rows or {}, job.undo,
    )  # fmt: skip
