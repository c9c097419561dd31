"""Figures: `/admin/stats` as two predecessors had it and more beside, and `/admin/stats/hourly`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from flask import Response
from pydantic import Field

from pool.adapters import queries
from pool.core.quota import last_reset
from pool.web.api.answers import answer, gradually
from pool.web.api.operations import Asked, Told, operation
from pool.web.api.status import BalanceTold, balance, counted, hour_of
from pool.web.here import keypool, now, read

DAY_S, MINUTE_S = 86_400, 60
MOST_TOLD = 100
MOST_MAILBOXES = 10_000

Days = Annotated[int, Field(ge=1, le=3650)]


class StatsAsked(Asked):
    days: Days | None = Field(None, description="By e-mail address, as a predecessor had it, of so many days.")


class MailboxTold(Told):
    gmail_email: str
    request_count: int
    avg_tokens: float
    error_count: int


class MailboxesTold(Told):
    success: bool
    data: list[MailboxTold]


class KeyCountsTold(Told):
    total: int
    healthy: int
    unhealthy: int
    unknown: int = Field(description="Healthy, as far as anybody tried.")


class RequestCountsTold(Told):
    recent_requests: int = Field(description="Of the last 24 hours.")
    total_requests: int


class PerformanceTold(Told):
    avg_response_time: int = Field(description="Milliseconds, of the last 24 hours.")
    avg_success_rate: float = Field(description="2xx of all that could have gone well, of the last 24 hours.")


class TrafficTold(Told):
    rpm: int
    tpm: int
    rpd: int = Field(description="Since the quota day began.")
    tpd: int
    day_began_at: float
    success_rate: float | None
    p95_ms: int | None = Field(description="The upper edge of its bucket.")
    cost_usd_today: float


class PerKeyTold(Told):
    id: int
    provider: str
    key: str
    requests: int
    successes: int
    tokens: int
    cost_usd: float


class PerModelTold(Told):
    model: str
    requests: int
    successes: int
    errors: int
    tokens: int
    cost_usd: float


class FiguresTold(Told):
    keys: KeyCountsTold
    usage: RequestCountsTold
    load_balance: BalanceTold
    performance: PerformanceTold
    traffic: TrafficTold
    per_key: list[PerKeyTold] = Field(description="The busiest of the last 24 hours.")
    per_model: list[PerModelTold]


class StatsTold(Told):
    success: bool
    message: str
    data: FiguresTold


class HoursAsked(Asked):
    hours: int = Field(24, ge=1, le=2160)


class HourlyTold(Told):
    at: int
    requests: int
    errors: int = Field(description="Without those that callers got wrong themselves.")
    tokens: int


class HourliesTold(Told):
    hours: list[HourlyTold]
    next: None = None


@operation(
    "GET", "/admin/stats", tag="status", summary="Figures", query=StatsAsked,
    answers={200: StatsTold | MailboxesTold},
)  # fmt: skip
def show_stats(query: StatsAsked) -> Response:
    """Keys, requests, tokens, cost, by key and by model. A success is any 2xx."""
    at = now()
    if query.days is not None:
        found = read(queries.by_mailbox, hour_of(at - query.days * DAY_S), MOST_MAILBOXES)
        return answer({"success": True, "data": gradually(found, _of_mailbox)})
    return answer({"success": True, "message": "Success", "data": _figures(at)})


@operation(
    "GET", "/admin/stats/hourly", tag="status", summary="Figures by the hour", query=HoursAsked,
    answers={200: HourliesTold},
)  # fmt: skip
def show_hours(query: HoursAsked) -> Response:
    """Every hour, the latest last; one without traffic is all zeros."""
    this_hour = hour_of(now())
    first = this_hour - (query.hours - 1) * 3600
    known = {hour.at: hour for hour in read(queries.hours_since, first)}
    hours = [known.get(at) or queries.Hour(at) for at in range(first, this_hour + 1, 3600)]
    return answer({"hours": [asdict(hour) for hour in hours], "next": None})


def _of_mailbox(each: queries.Mailbox) -> dict[str, Any]:
    return {
        "gmail_email": each.email,
        "request_count": each.requests,
        "avg_tokens": round(each.tokens / each.requests, 2) if each.requests else 0,
        "error_count": each.errors,
    }


def _figures(at: float) -> dict[str, Any]:
    since = hour_of(at - DAY_S)
    counts = counted().values()
    total, healthy, tested = (sum(getattr(each, name) for each in counts) for name in ("total", "healthy", "tested"))
    page = read(queries.fleet_page, at, since, size=MOST_TOLD)
    lately = read(queries.traffic_between, since, hour_of(at) + 3600)
    latency_ms, all_requests = read(queries.all_traffic, since)
    return {
        "keys": {"total": total, "healthy": tested, "unhealthy": total - healthy, "unknown": healthy - tested},
        "usage": {"recent_requests": lately.requests, "total_requests": all_requests},
        "load_balance": balance(total, healthy, page),
        "performance": {
            "avg_response_time": round(latency_ms / lately.requests) if lately.requests else 0,
            "avg_success_rate": _rate(lately) or 0.0,
        },
        "traffic": _traffic(at),
        "per_key": [_of_key(*row) for row in read(queries.busiest_keys, since, MOST_TOLD)],
        "per_model": [_of_model(each) for each in read(queries.model_figures, queries.Scope(since), MOST_TOLD)],
    }


def _traffic(at: float) -> dict[str, Any]:
    """Rolling minutes; days are quota days, like the quotas they are held against."""
    rpm, tpm = read(queries.traffic_lately, at - MINUTE_S)
    day_began = last_reset(at, keypool().preferences.current.quota_reset)
    today = read(queries.traffic_between, hour_of(day_began), hour_of(at) + 3600)
    return {
        "rpm": rpm,
        "tpm": tpm,
        "rpd": today.requests,
        "tpd": today.tokens,
        "day_began_at": day_began,
        "success_rate": _rate(today),
        "p95_ms": today.p95_ms,
        "cost_usd_today": today.cost_nano / 1e9,
    }


def _rate(traffic: queries.Traffic) -> float | None:
    return round(traffic.successes / traffic.answerable, 4) if traffic.answerable else None


def _of_key(
    key_id: int, provider: str, mask: str, requests: int, successes: int, tokens: int, nano: int
) -> dict[str, Any]:
    figures = {"requests": requests, "successes": successes, "tokens": tokens, "cost_usd": nano / 1e9}
    return {"id": key_id, "provider": provider, "key": mask, **figures}


def _of_model(each: queries.Figures) -> dict[str, Any]:
    return {
        "model": each.name, "requests": each.requests, "successes": each.ok, "errors": each.errors,
        "tokens": each.tokens, "cost_usd": each.cost_nano / 1e9,
    }  # fmt: skip
