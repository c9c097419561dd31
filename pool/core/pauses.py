"""How long an upstream asks us to wait, wherever it says so: headers, details, the words of its message."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}

_WORDY = r"(\d+(?:\.\d+)?) ?(milliseconds?|ms|minutes?|mins?|m|seconds?|secs?|s|hours?|hrs?|h|days?|d)(?![a-z])"
_WORDY_PART = re.compile(_WORDY, re.I)
_PROSE = re.compile(rf"\b(?:retry|try again) (?:in|after) ((?:{_WORDY}[, ]*)+)", re.I)


def told_s(message: str, details: Sequence[Any], headers: Mapping[str, str], now: float) -> float | None:
    """Seconds a refusal asks us to wait, the longest where it says so twice; None where it does not.

    `headers` are lower-case.
    """
    told = (retry_delay_s(details), retry_after_s(headers, now), retry_prose_s(message))
    return max((delay for delay in told if delay is not None), default=None)


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """`Retry-After` in seconds or as a date (RFC 9110 §10.2.3), or OpenAI's `retry-after-ms`.

    A date is reckoned from the upstream's own `Date`, where it sends one, because its clock may be wrong.
    """
    exact = duration_s(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000.0
    stated = headers.get("retry-after", "")
    seconds = duration_s(stated)
    if seconds is not None:
        return seconds
    until = _http_date(stated)
    its_now = _http_date(headers.get("date", ""))
    now = now if its_now is None else its_now
    return None if until is None or now is None else max(0.0, until - now)


def _http_date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def retry_delay_s(details: Sequence[Any]) -> float | None:
    """Seconds a Gemini 429 asks us to wait (`RetryInfo.retryDelay`, "17s"); None where it does not say."""
    for detail in details:
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("RetryInfo"):
            return duration_s(detail.get("retryDelay"))
    return None


def retry_prose_s(message: str) -> float | None:
    """Seconds out of "Please try again in 1m2.5s" (OpenAI), "retry in 58.8s" (Gemini), "retry after 26 seconds"."""
    found = _PROSE.search(message)
    if not found:
        return None
    return sum(float(number) * _unit_s(unit.lower()) for number, unit in _WORDY_PART.findall(found[1]))


def _unit_s(unit: str) -> float:
    return _UNIT_S["ms" if unit.startswith(("ms", "milli")) else unit[0]]


def duration_s(value: Any) -> float | None:
    """ "17s", "1m2.5s", "250ms" or a bare number, in seconds; None where it is none of these."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return max(0.0, float(value))
        except OverflowError:
            return None
    if not isinstance(value, str) or not value.strip():
        return None
    total, position = 0.0, 0
    while position < len(value):
        part = _PART.match(value, position)
        if not part or part.end() == position:
            return None
        total += float(part[1]) * _UNIT_S[part[2]]
        position = part.end()
    return total
