"""Long work of the admin: what it is about, how far it is, and what became of it."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from pool.adapters.tables.base import Big, Born, Flag, Line, Model, Moment, Name, Prose, RowId, Short, Table
from pool.adapters.tables.inventory import NEVER_REUSED


class Job(Model):
    """One job. Its words and states are those of `pool.jobs`.

    `fates` counts rows by what became of them, `rows` names some of each. Whoever runs it writes `beat_at` every
    second or so: a job that is not over and was not heard of for long died with its process.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state", "state"), NEVER_REUSED)

    id: Mapped[RowId]
    kind: Mapped[str] = mapped_column(Line(40))
    state: Mapped[Short]
    who: Mapped[Name]
    via: Mapped[Short]
    total: Mapped[Big]
    done: Mapped[Big]
    fates: Mapped[Table | None]
    rows: Mapped[Table | None]
    result: Mapped[Table | None]
    error: Mapped[Prose]
    undo: Mapped[Table | None]
    cancel_asked: Mapped[Flag]
    created_at: Mapped[Born]
    started_at: Mapped[Moment | None]
    beat_at: Mapped[Moment]
    ended_at: Mapped[Moment | None] = mapped_column(index=True)
