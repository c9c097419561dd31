"""The dashboard's figures and the list of recent requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from pool.adapters.queries.days import Build, Sums, summed
from pool.adapters.tables import DAY_S, LATENCY_BUCKETS, OutcomeHour, Request, TrafficHour

CALLERS_OWN = (400, 401, 403, 404, 405, 408, 413, 415, 422, 499)
"""Statuses of requests that no key could have made go well: their callers got them wrong, or left."""


@dataclass(frozen=True, slots=True)
class Hour:
    """What happened in the hour that began at `at`. `errors` are those that callers had no part in."""

    at: int
    requests: int = 0
    errors: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Sums over some hours. `p95_ms` is the upper edge of its bucket: None without traffic or beyond the last edge.

    A request succeeded, is an error of ours or an upstream's, or went wrong by its caller alone (`callers_own`).
    """

    requests: int
    successes: int
    errors: int
    tokens: int
    p95_ms: int | None
    cost_nano: int = 0
    callers_own: int = 0

    @property
    def answerable(self) -> int:
        return self.requests - self.callers_own


def hours_since(session: Session, since: int, step_s: int = 3600) -> list[Hour]:
    """The hours from `since` on that saw traffic, oldest first; or slots of so many hours as `step_s` has."""


    def build(hour: Any) -> Select[Any]:
        begins, tokens = _slot(hour, since, step_s), func.sum(hour.tokens_in + hour.tokens_out)
        return select(begins, func.sum(hour.requests), func.sum(hour.errors), tokens).group_by(begins)

    own = _callers_own_by_hour(session, since, step_s=step_s)
    found = _in_slots(session, TrafficHour, since, build, 3, step_s)
    return [
        Hour(at, requests, max(0, errors - own.get(at, 0)), tokens)
        for (at,), (requests, errors, tokens) in sorted(found.items())
    ]


def went_wrong_by_the_caller(hour: Any = OutcomeHour) -> list[ColumnElement[bool]]:
    """Which rows of `OutcomeHour`, or `OutcomeDay`, count requests that went wrong by their caller alone."""
    return [hour.side == "request", hour.word != "ok", hour.status.in_(CALLERS_OWN)]


def _callers_own_by_hour(
    session: Session, since: int, until: int | None = None, step_s: int = 3600
) -> dict[int, int]:
    def build(hour: Any) -> Select[Any]:
        begins = _slot(hour, since, step_s)
        return select(begins, func.sum(hour.times)).where(*went_wrong_by_the_caller(hour)).group_by(begins)

    found = _in_slots(session, OutcomeHour, since, build, 1, step_s, until)
    return {at: times for (at,), (times,) in found.items()}


def _in_slots(
    session: Session, hours: Any, since: int, build: Build, figures: int, step_s: int, until: int | None = None
) -> Sums:
    """By days where the slots are whole ones of UTC."""
    return summed(session, hours, since, build, figures, until, days=step_s % DAY_S == since % DAY_S == 0)


def _slot(hour: Any, since: int, step_s: int) -> Any:
    """Where the slot that an hour is in begins."""
    return hour.hour if step_s == 3600 else hour.hour - (hour.hour - since) % step_s


def rescued_between(session: Session, since: int, until: int) -> int:
    """Requests that another key answered than the one asked first, in the hours of `traffic_between`."""

    def build(hour: Any) -> Select[Any]:
        return select(func.sum(hour.times)).where(hour.side == "rescue")

    return summed(session, OutcomeHour, since, build, 1, until).get((), [0])[0]


def traffic_lately(session: Session, since: float) -> tuple[int, int]:
    """Requests that came in since a moment a minute ago or so, and their tokens: a walk along the index of the log."""
    tokens = func.coalesce(func.sum(Request.tokens_in + Request.tokens_out), 0)
    row = session.execute(select(func.count(), tokens).where(Request.at > since)).one()
    return int(row[0]), int(row[1])


def cost_since(session: Session, since: int) -> int:
    """What was spent from the hour that begins at `since` on, in nano-USD."""
    found = summed(session, TrafficHour, since, lambda hour: select(func.sum(hour.cost_nano)), 1)
    return found.get((), [0])[0]


def traffic_between(session: Session, since: int, until: int) -> Traffic:
    """From the hour that begins at `since` up to the one that begins at `until`, without that one."""

    def build(hour: Any) -> Select[Any]:
        figures = [hour.requests, hour.successes, hour.errors, hour.tokens_in + hour.tokens_out, hour.cost_nano]
        return select(*(func.sum(each) for each in (*figures, *(getattr(hour, name) for name in LATENCY_BUCKETS))))

    row = summed(session, TrafficHour, since, build, 5 + len(LATENCY_BUCKETS), until).get(())
    row = row or [0] * (5 + len(LATENCY_BUCKETS))
    requests, successes, errors, tokens, cost_nano, *buckets = row
    own = min(errors, sum(_callers_own_by_hour(session, since, until).values()))
    return Traffic(requests, successes, errors - own, tokens, _percentile(buckets, 0.95), cost_nano, own)


def _percentile(buckets: list[int], share: float) -> int | None:
    wanted, seen = share * sum(buckets), 0
    if not wanted:
        return None
    for count, edge_ms in zip(buckets, LATENCY_BUCKETS.values(), strict=True):
        seen += count
        if seen >= wanted:
            return edge_ms
    return None
