"""What one client key used: by day and model from the roll-ups, and its latest requests. Nothing of anybody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from pool.adapters.queries.days import summed
from pool.adapters.tables import DAY_S, Request, TrafficHour


@dataclass(frozen=True, slots=True)
class OwnUse:
    """Requests of one day (when it began, in UTC) for one model, their tokens, and what they cost in nano-USD."""

    day: int
    model: str
    requests: int
    errors: int
    tokens_in: int
    tokens_out: int
    cost_nano: int


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A request as its own client may see it: no key, no pool."""

    request_id: str
    at: float
    model: str
    status: int
    outcome: str
    code: str
    latency_ms: int
    tokens_in: int
    tokens_out: int
    cost_nano: int


def own_use(session: Session, client_id: int, since: int) -> list[OwnUse]:
    """From the hour that begins at `since`."""


    def build(hour: Any) -> Select[Any]:
        day = hour.hour - hour.hour % DAY_S
        figures = (hour.requests, hour.errors, hour.tokens_in, hour.tokens_out, hour.cost_nano)
        query = select(day, hour.model, *(func.sum(each) for each in figures))
        return query.where(hour.client_key_id == client_id).group_by(day, hour.model)

    found = summed(session, TrafficHour, since, build, 5)
    return [OwnUse(int(day), model, *figures) for (day, model), figures in found.items()]


def own_requests(session: Session, client_id: int, size: int) -> list[OwnRequest]:
    """The latest first."""
    row = Request
    query: Any = (
        select(
            row.request_id, row.at, row.model_asked, row.status, row.outcome, func.coalesce(row.error_code, ""),
            row.latency_ms, row.tokens_in, row.tokens_out, row.cost_nano,
        )
        .where(row.client_key_id == client_id)
        .order_by(row.at.desc(), row.id.desc())
        .limit(size)
    )  # fmt: skip
    return [OwnRequest(*found) for found in session.execute(query)]
