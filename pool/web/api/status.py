"""How the service and its keys stand: `/admin/status`, for programs of two predecessors at once."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from flask import Response
from pydantic import ConfigDict, Field

from pool.adapters import queries
from pool.core.limits import key_bounds, measure
from pool.core.periods import month_began
from pool.core.quota import last_reset
from pool.version import VERSION
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told, operation
from pool.web.here import keypool, now, read

MOST_KEYS = 10_000
DAY_S = 86_400
SERVICE = "Keypool"
OPERATIONAL, DEGRADED = "operational", "degraded"
HEALTH = {"healthy": "healthy", "cooling": "rate_limited", "disabled": "unhealthy", "dead": "unhealthy"}


class StatusAsked(Asked):
    provider: str = Field("", max_length=60, description="Its keys alone, in the shape of a predecessor.")
    limit: int = Field(1000, ge=0, le=MOST_KEYS, description="How many keys of a provider are told one by one.")
    after: int = Field(0, ge=0, lt=2**53, description="`next` of the answer before.")


class FleetKeyTold(Told):
    id: str
    isActive: bool
    usage: str = Field(description="`150/1000`: requests of the window of its cap, and the cap.")
    lastUsed: str | None = Field(description="ISO 8601.")


class FleetTold(Told):
    provider: str
    totalKeys: int
    activeKeys: int
    availableKeys: int
    keys: list[FleetKeyTold]
    next: str | None


class StatisticsTold(Told):
    total_keys: int
    healthy_keys: int
    unhealthy_keys: int
    recent_requests: int = Field(description="Of the last 24 hours.")


class ComponentsTold(Told):
    api: str
    database: str
    load_balancer: str
    kv_storage: str = Field(description="What several workers share.")


class ShareTold(Told):
    id: int
    health_status: str
    success_rate: float
    total_requests: int
    avg_response_time: int = Field(description="Milliseconds, of the last 24 hours.")


class BalanceTold(Told):
    strategy: str
    total_keys: int
    healthy_keys: int
    key_distribution: list[ShareTold]


class ServiceTold(Told):
    """Beside these there is one member for each provider, by its slug."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, FleetTold]

    service: str
    version: str
    status: str
    timestamp: str
    uptime_check_ms: float
    uptime_s: int
    statistics: StatisticsTold
    components: ComponentsTold
    models: list[str] = Field(description="Those that pools listed lately.")
    load_balance: BalanceTold


@operation(
    "GET", "/admin/status", tag="status", summary="How keys stand", query=StatusAsked,
    answers={200: ServiceTold | FleetTold},
)  # fmt: skip
def show_status(query: StatusAsked) -> Response:
    """With `provider` that one's keys; without it the service, and beside it each provider under its slug."""
    if query.provider:
        counts = counted().get(query.provider, queries.FleetCounts())
        return answer(fleet(query.provider, counts, query.limit, query.after))
    return answer(service(query.limit))


def service(limit: int) -> dict[str, Any]:
    began, at = time.perf_counter(), now()
    counts = counted()
    total, healthy = (sum(getattr(each, name) for each in counts.values()) for name in ("total", "healthy"))
    page = read(queries.fleet_page, at, hour_of(at - DAY_S), size=limit)
    traffic = read(queries.traffic_between, hour_of(at - DAY_S), hour_of(at) + 3600)
    shared = DEGRADED if keypool().state.degraded else OPERATIONAL
    available = sum(each.available for each in counts.values())
    told = {
        "service": SERVICE,
        "version": VERSION,
        "status": OPERATIONAL if available and shared == OPERATIONAL else DEGRADED,
        "timestamp": iso(at),
        "uptime_check_ms": 0.0,
        "uptime_s": int(at - keypool().began_at),
        "statistics": {
            "total_keys": total, "healthy_keys": healthy, "unhealthy_keys": total - healthy,
            "recent_requests": traffic.requests,
        },
        "components": {
            "api": OPERATIONAL, "database": OPERATIONAL, "load_balancer": OPERATIONAL if available else DEGRADED,
            "kv_storage": shared,
        },
        "models": keypool().models.known(),
        "load_balance": balance(total, healthy, page),
    }  # fmt: skip
    for slug in keypool().catalogue.providers.keys() | counts.keys():
        told.setdefault(slug, fleet(slug, counts.get(slug, queries.FleetCounts()), limit))
    told["uptime_check_ms"] = round((time.perf_counter() - began) * 1000, 1)
    return told


def balance(total: int, healthy: int, page: list[queries.FleetKey]) -> dict[str, Any]:
    return {
        "strategy": keypool().preferences.current.rotation_strategy,
        "total_keys": total,
        "healthy_keys": healthy,
        "key_distribution": [
            {
                "id": key.id,
                "health_status": HEALTH[key.standing] if key.tested or key.standing != "healthy" else "unknown",
                "success_rate": round(key.successes / key.requests, 4) if key.requests else 1.0,
                "total_requests": key.requests,
                "avg_response_time": key.latency_ms,
            }
            for key in page
        ],
    }


def fleet(slug: str, counts: queries.FleetCounts, limit: int, after: int = 0) -> dict[str, Any]:
    """A provider's keys; zeros where it has none, or is none."""
    at = now()
    rows = read(queries.fleet_page, at, hour_of(at), slug, after, limit + 1) if counts.total else []
    page = rows[:limit]
    return {
        "provider": slug,
        "totalKeys": counts.total,
        "activeKeys": counts.active,
        "availableKeys": counts.available,
        "keys": [
            {"id": key.public_id, "isActive": key.active, "usage": _usage(key, at), "lastUsed": iso(key.last_used_at)}
            for key in page
        ],
        "next": str(page[-1].id) if page and len(rows) > len(page) else None,
    }


def counted() -> dict[str, queries.FleetCounts]:
    at = now()
    return read(queries.fleet_counts, at, last_reset(at, _quota_reset()), month_began(at))


def iso(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _usage(key: queries.FleetKey, at: float) -> str:
    """What counts is what the engine counted: it is ahead of the log."""
    held = keypool().catalogue.keys.get(key.id)
    if key.max_requests is None or held is None:
        return f"{key.requests}/unlimited"
    caps = [bound for bound in key_bounds(held, "", 0, at, _quota_reset()) if measure(bound) == "cap"]
    used = sum(keypool().state.held(bound.counter, at, bound.period) for bound in caps)
    return f"{used}/{key.max_requests}"


def _quota_reset() -> str:
    return keypool().preferences.current.quota_reset


def hour_of(at: float) -> int:
    """The beginning of its hour: roll-ups are by the hour."""
    return int(at // 3600) * 3600
