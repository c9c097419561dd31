"""The rows of jobs, written by whoever runs or cancels one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from pool.adapters.database import Database
from pool.adapters.tables import Job

OVER = Job.ended_at.is_not(None)


class JobRows:
    """What `pool.jobs.Jobs` writes down."""

    def __init__(self, database: Database) -> None:
        self._write = database.write

    def add(self, values: Mapping[str, Any]) -> int:
        """A new job's id."""
        return self._write(_add, dict(values))

    def tell(self, job_id: int, values: Mapping[str, Any]) -> bool:
        """Write how far a job is; whether somebody asked to cancel it."""
        return self._write(_tell, job_id, dict(values))

    def ask_to_cancel(self, job_id: int) -> bool:
        """Ask whoever runs a job to stop; False where it is over or there is none."""
        return self._write(_ask_to_cancel, job_id)

    def bury(self, state: str, before: float, now: float) -> None:
        """Call those lost that were not heard of since."""
        self._write(_bury, state, before, now)

    def forget(self, before: float) -> None:
        """Forget those that ended before."""
        self._write(_forget, before)


def _add(session: Session, values: dict[str, Any]) -> int:
    return session.scalars(insert(Job).returning(Job.id), [values]).one()


def _tell(session: Session, job_id: int, values: dict[str, Any]) -> bool:
    session.execute(update(Job).where(Job.id == job_id).values(**values))
    return bool(session.scalar(select(Job.cancel_asked).where(Job.id == job_id)))


def _ask_to_cancel(session: Session, job_id: int) -> bool:
    asked = session.execute(update(Job).where(Job.id == job_id, ~OVER).values(cancel_asked=True))
    return bool(asked.rowcount)  # type: ignore[attr-defined]


def _bury(session: Session, state: str, before: float, now: float) -> None:
    session.execute(update(Job).where(~OVER, Job.beat_at < before).values(state=state, ended_at=now))


def _forget(session: Session, before: float) -> None:
    session.execute(delete(Job).where(Job.ended_at < before))
