"""The dashboard's charts, slot by slot, and who asked most. Sums of roll-ups; minutes alone come from the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, and_, case, cast, func, select
from sqlalchemy.orm import Session

from pool.adapters.queries import days
from pool.adapters.queries.traffic import CALLERS_OWN, Hour, hours_since
from pool.adapters.tables import ClientKey, Request, TrafficHour

HOUR_S, MINUTE_S = 3600, 60


@dataclass(frozen=True, slots=True)
class Busy:
    """What one model, pool (by its id) or client key (by its id; 0: a pool's own auth key) asked for."""

    what: Any
    requests: int
    tokens: int
    cost_nano: int


def slots_since(session: Session, since: int, step_s: int) -> list[Hour]:
    """The slots of `step_s` from `since` on that saw traffic, oldest first. Both are whole minutes; of less than an
    hour, slots are minutes."""
    return _minutes(session, since) if step_s < HOUR_S else hours_since(session, since, step_s)


def _minutes(session: Session, since: int) -> list[Hour]:
    """A walk along the index of the log: an hour of it and no more is asked for."""
    begins = _whole(session, Request.at / MINUTE_S) * MINUTE_S
    failed = and_(Request.outcome != "ok", Request.status.not_in(CALLERS_OWN))
    figures = (func.count(), func.sum(case((failed, 1), else_=0)), func.sum(Request.tokens_in + Request.tokens_out))
    query = select(begins, *figures).where(Request.at >= since).group_by(begins).order_by(begins)
    return [Hour(*map(int, row)) for row in session.execute(query)]


def _whole(session: Session, number: ColumnElement[Any]) -> ColumnElement[Any]:
    """The number without what is behind the point: PostgreSQL's cast would round it."""
    return cast(number if session.get_bind().dialect.name == "sqlite" else func.floor(number), BigInteger)


def names_of_clients(session: Session, client_ids: list[int]) -> dict[int, str]:
    rows = session.execute(select(ClientKey.id, ClientKey.name).where(ClientKey.id.in_(client_ids)))
    return {row[0]: row[1] for row in rows}


def busiest(session: Session, table: str, since: int, size: int) -> list[Busy]:
    """The busiest first. `table`: models, pools or clients."""


    def build(hour: Any) -> Select[Any]:
        by = getattr(hour, _BY[table])
        figures = (hour.requests, hour.tokens_in + hour.tokens_out, hour.cost_nano)
        return select(by, *(func.sum(figure) for figure in figures)).group_by(by)

    found = days.busiest(days.summed(session, TrafficHour, since, build, 3), size)
    return [Busy(what, *figures) for (what,), figures in found]


_BY = {"models": "model", "pools": "pool_id", "clients": "client_key_id"}
