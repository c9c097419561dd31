"""Quota refusals decoded: which window of which limit was hit, and when it comes back.

Gemini: https://ai.google.dev/gemini-api/docs/rate-limits (daily quotas reset at midnight Pacific time),
google.rpc.QuotaFailure and google.rpc.RetryInfo in `error.details`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_RETRY_PROSE = re.compile(r"[Pp]lease (?:retry|try again) in ((?:\d+h)?(?:\d+m(?!s))?(?:[\d.]+m?s)?)")


@dataclass(frozen=True, slots=True)
class Violation:
    """One violated quota. window: day | minute | unknown. unit: requests | tokens.

    `limit` is what the upstream said (quotaValue), None where it did not; 0 means "not on this tier".
    """

    window: str
    unit: str
    limit: int | None
    model: str | None
    quota_id: str
    free_tier: bool


def violations(details: Sequence[Any]) -> tuple[Violation, ...]:
    """Every quota named in an error's `details`; unknown ids are read by their parts."""
    found = []
    for detail in details:
        if not (isinstance(detail, dict) and str(detail.get("@type", "")).endswith("QuotaFailure")):
            continue
        rows = detail.get("violations")
        found += [_violation(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(found)


def _violation(row: Mapping[str, Any]) -> Violation:
    quota_id = str(row.get("quotaId") or row.get("quotaMetric") or row.get("subject") or "")
    lowered = quota_id.lower() + " " + str(row.get("quotaMetric") or "").lower()
    dimensions = row.get("quotaDimensions")
    model = dimensions.get("model") if isinstance(dimensions, dict) else None
    return Violation(
        window="day" if "perday" in lowered else "minute" if "perminute" in lowered else "unknown",
        unit="tokens" if "token" in lowered else "requests",
        limit=_whole(row.get("quotaValue")),
        model=model if isinstance(model, str) else None,
        quota_id=quota_id,
        free_tier="freetier" in lowered.replace("_", ""),
    )


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def retry_delay_s(details: Sequence[Any]) -> float | None:
    """Seconds a Gemini 429 asks us to wait (`RetryInfo.retryDelay`, "17s"); None where it does not say."""
    for detail in details:
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("RetryInfo"):
            return duration_s(detail.get("retryDelay"))
    return None


def duration_s(value: Any) -> float | None:
    """"17s", "1m2.5s", "250ms" or a bare number, in seconds; None where it is none of these."""
    if isinstance(value, int | float):
        return max(0.0, float(value))
    if not isinstance(value, str) or not value.strip():
        return None
    total, position = 0.0, 0
    while position < len(value):
        part = _DURATION.match(value, position)
        if not part or part.end() == position:
            return None
        total += float(part[1]) * _UNIT_S[part[2]]
        position = part.end()
    return total


def retry_prose_s(message: str) -> float | None:
    """Seconds out of "Please try again in 1m2.5s" (OpenAI) or "Please retry in 58.8s" (Gemini)."""
    match = _RETRY_PROSE.search(message)
    return duration_s(match[1]) if match and match[1] else None


def next_reset(now: float, quota_reset: str = "pacific") -> float:
    """When daily quotas come back after `now` (Unix seconds).

    `quota_reset` is "pacific" (midnight in Los Angeles, right on days of 23 and 25 hours) or "HH:MM UTC".
    """
    if quota_reset.lower().startswith("pacific"):
        local = datetime.fromtimestamp(now, PACIFIC)
        midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), PACIFIC)
        return midnight.timestamp()
    hour, minute = (int(part) for part in quota_reset.split()[0].split(":"))
    today = datetime.fromtimestamp(now, UTC).replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (today if today.timestamp() > now else today + timedelta(days=1)).timestamp()


def last_reset(now: float, quota_reset: str = "pacific") -> float:
    """When the daily quotas in force at `now` came back: the beginning of the quota day."""
    if quota_reset.lower().startswith("pacific"):
        local = datetime.fromtimestamp(now, PACIFIC)
        return datetime.combine(local.date(), datetime.min.time(), PACIFIC).timestamp()
    return next_reset(now, quota_reset) - 86_400


def cap_window(window: str, now: float, quota_reset: str = "pacific") -> tuple[str, float]:
    """The period a cap counts in now (none | day | month): its name, and when it ends (Unix seconds)."""
    if window == "none":
        return "", float("inf")
    local = datetime.fromtimestamp(now, PACIFIC)
    if window == "month":
        first = datetime(local.year + local.month // 12, local.month % 12 + 1, 1, tzinfo=PACIFIC)
        return f"{local:%Y-%m}", first.timestamp()
    end = next_reset(now, quota_reset)
    # Named in the zone it is reckoned in: across a change of clocks, two days would share a name elsewhere.
    zone = PACIFIC if quota_reset.lower().startswith("pacific") else UTC
    return f"{datetime.fromtimestamp(end - 3600, zone):%Y-%m-%d}", end
