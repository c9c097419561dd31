"""Limits as values: what a request reserves under them, what a client is told of them, what it came to in the end.

Names of limits: `rpm_limit tpm_limit rpd_limit concurrency_limit budget_usd_day budget_usd_month` of a client key or a
pool, `rpm tpm rpd` of a key for a model. Tokens and cost are reserved by an estimate and settled at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .faults import Fault
from .keys import Key
from .quota import cap_window
from .state import Bound, Change

NANO_USD = 1_000_000_000
TOKENS, COST = "tpm", "usd"

LIMIT_NAMES = ("rpm_limit", "tpm_limit", "rpd_limit", "concurrency_limit", "budget_usd_day", "budget_usd_month")
KEY_LIMITS = ("rpm", "tpm", "rpd")

MOST = 2**31 - 1
MOST_USD = 1_000_000.0
MOST_MODELS = 100
"""Models that one key may have limits of."""

MOST_ADDRESSES = 100
WINDOWS = ("none", "day", "month")
"""What a key's cap on attempts may count by."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What one request is expected to use, or has used: tokens in and out, and their cost."""

    tokens: int
    nano_usd: int = 0


def usual_rpm(requests: int, window_s: float) -> int | None:
    """The limit of a new user key, reckoned to a minute, where the settings let it have `requests` in a window; None
    where they let it have any number."""
    return max(1, round(requests * 60 / window_s)) if requests else None


def holder_bounds(
    owner: str, limits: Mapping[str, Any], expected: Spending, now: float, quota_reset: str
) -> list[Bound]:
    """The bounds of a client key ("c5") or a pool ("p3"). 0 is a limit, None and a missing one are not."""
    bounds = []
    for name in LIMIT_NAMES:
        most = limits.get(name)
        if most is None:
            continue
        match name:
            case "rpm_limit":
                bounds.append(Bound(f"{owner}/rpm", int(most)))
            case "tpm_limit":
                bounds.append(Bound(f"{owner}/{TOKENS}", int(most), expected.tokens))
            case "rpd_limit":
                bounds.append(_period(f"{owner}/rpd", int(most), 1, "day", now, quota_reset))
            case "concurrency_limit":
                bounds.append(Bound(f"{owner}/now", int(most), kind="level"))
            case _:
                window = name.removeprefix("budget_usd_")
                cap, cost = round(float(most) * NANO_USD), expected.nano_usd
                bounds.append(_period(f"{owner}/{COST}/{window}", cap, cost, window, now, quota_reset))
    return bounds


def key_bounds(key: Key, model: str, expected_tokens: int, now: float, quota_reset: str) -> list[Bound]:
    """The bounds of one attempt with a key: its cap on attempts, and an operator's limits for this model."""
    bounds = []
    if key.max_requests is not None:
        bounds.append(_period(f"k{key.id}/cap", key.max_requests, 1, key.max_requests_window, now, quota_reset))
    if key.limits:
        of_model = key.limits.get(model) or key.limits.get("*") or {}
        for name, most in of_model.items():
            counter = f"k{key.id}/{name}/{model}"
            if name == "rpm":
                bounds.append(Bound(counter, most))
            elif name == TOKENS:
                bounds.append(Bound(counter, most, expected_tokens))
            elif name == "rpd":
                bounds.append(_period(counter, most, 1, "day", now, quota_reset))
    return bounds


def _period(counter: str, most: int, amount: int, window: str, now: float, quota_reset: str) -> Bound:
    period, ends_at = cap_window(window, now, quota_reset)
    return Bound(counter, most, amount, "period", period=period, ends_at=ends_at)


def measure(bound: Bound) -> str:
    """What a bound counts: rpm, tpm, rpd, now, usd or cap."""
    return bound.counter.split("/", 2)[1]


def settlement(bounds: Sequence[Bound], at: int, used: Spending) -> list[Change]:
    """What must be corrected once it is known what a request used. Requests stay counted, whatever they came to."""
    changes = []
    for bound in bounds:
        what = measure(bound)
        if bound.kind == "level":
            changes.append(Change(bound.counter, -bound.amount, "level"))
        elif what in (TOKENS, COST):
            difference = (used.tokens if what == TOKENS else used.nano_usd) - bound.amount
            if difference:
                changes.append(Change(bound.counter, difference, bound.kind, at, bound.period))
    return changes


def limit_headers(
    bounds: Sequence[Bound], left: Sequence[int], now: float, refused: int | None = None
) -> list[tuple[str, str]]:
    """`x-ratelimit-*` as OpenAI sends them: of requests and of tokens, each for the tighter one of its limits."""
    tightest: dict[str, tuple[float, Bound, int]] = {}
    for number, (bound, remaining) in enumerate(zip(bounds, left, strict=True)):
        kind = {"rpm": "requests", "rpd": "requests", TOKENS: "tokens"}.get(measure(bound))
        if kind is not None:
            share = -1.0 if number == refused else remaining / max(bound.most, 1)
            tightest[kind] = min(tightest.get(kind, (2.0, bound, remaining)), (share, bound, remaining), key=_share)
    headers = []
    for kind, (_, bound, remaining) in tightest.items():
        resets_s = bound.span_s if bound.kind == "sliding" else bound.ends_at - now
        headers += [
            (f"x-ratelimit-limit-{kind}", str(bound.most)),
            (f"x-ratelimit-remaining-{kind}", str(max(remaining, 0))),
            (f"x-ratelimit-reset-{kind}", duration(resets_s)),
        ]
    return headers


def _share(item: tuple[float, Bound, int]) -> float:
    return item[0]


def duration(seconds: float) -> str:
    """OpenAI's way to write one: "1s", "6m0s", "9h59m0s"."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


_WORDS = {
    "rpm": "requests per minute",
    TOKENS: "tokens per minute",
    "rpd": "requests per day",
    "now": "requests at a time",
}


def over_limit(bound: Bound, left: int, frees_at: float, now: float) -> Fault:
    """What a caller is told whose client key, or pool, is at a limit."""
    whose = "pool" if bound.counter.startswith("p") else "client key"
    what = measure(bound)
    wait_s = max(1.0, frees_at - now) if frees_at != float("inf") else None
    if what == COST:
        window = bound.counter.rpartition("/")[2]
        message = (
            f"The {window}'s budget of this {whose}, ${bound.most / NANO_USD:.2f}, is spent: ${left / NANO_USD:.4f} is "
            f"left, and this request may cost ${bound.amount / NANO_USD:.4f}."
        )
        return Fault(429, "budget_exceeded", message, retry_after_s=wait_s, retryable=False)
    if bound.amount > bound.most and what == TOKENS:
        message = (
            f"This request may use {bound.amount} tokens; this {whose} may use {bound.most} per minute. "
            "Ask for less, or set max_tokens lower."
        )
        return Fault(429, "rate_limit_exceeded", message, retryable=False)
    message = f"This {whose} is limited to {bound.most} {_WORDS[what]}; {left} left."
    return Fault(429, "rate_limit_exceeded", message, retry_after_s=1.0 if what == "now" else wait_s or 60.0)
