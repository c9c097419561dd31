"""Quota refusals decoded: which window of which limit was hit, and when it comes back.

Gemini: https://ai.google.dev/gemini-api/docs/rate-limits (daily quotas reset at midnight Pacific time),
google.rpc.QuotaFailure, google.rpc.ErrorInfo and google.rpc.RetryInfo in `error.details`.
OpenAI: https://platform.openai.com/docs/guides/rate-limits (limits in the message and in x-ratelimit-* headers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from .masking import redact
from .pauses import duration_s

PACIFIC = ZoneInfo("America/Los_Angeles")

DAY_S = 86_400.0
HOUR_S = 3600.0
MINUTE_S = 60.0
"""How long a minute's quota rests where nothing says when it comes back."""

MOST = 2**53
"""Larger limits are no limits."""

MOST_NAMED = 20
"""Of so many quotas of one refusal notice is taken: each may be written down."""

_LENGTHS = ("unknown", "second", "minute", "hour", "day", "month")
_WINDOW = re.compile(r"per[\W_]*(sec|min|hour|day|month)|\b[rti]p([smhd])\b|(dai|hour|month)ly", re.I)
_WINDOWS = {"s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour", "hour": "hour",
            "d": "day", "dai": "day", "day": "day", "month": "month"}  # fmt: skip
_NUMBER = r"[0-9]+(?:,[0-9]{3})*(?!\.?[0-9])"


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit of an upstream, as far as a refusal names it.

    window: second | minute | hour | day | month | unknown. unit: requests | tokens (of the prompt, or of all) |
    output_tokens | images. limit: units a window, None where it was not said. tier: free | paid | "".
    model: as the upstream spells it, which may differ from the name that was called; "" where it was not said.
    entitled False: the limit is 0, this key may not use the model at all. requested: units this one request needs.
    rolling: comes back bit by bit and says when, where Google's days end at midnight whatever is said.
    """

    window: str = "unknown"
    unit: str = "requests"
    limit: int | None = None
    tier: str = ""
    model: str = ""
    entitled: bool = True
    quota_id: str = ""
    requested: int | None = None
    rolling: bool = False

    @property
    def free_tier(self) -> bool:
        return self.tier == "free"

    @property
    def of_a_minutes_tokens(self) -> bool:
        """A limit on the tokens of a minute that the request at hand may be larger than."""
        fits = self.requested is not None and self.limit is not None and self.requested <= self.limit
        return self.unit == "tokens" and self.window == "minute" and bool(self.limit) and not fits

    def too_small_for(self, prompt_tokens: int) -> bool:
        """Can no minute hold a request of so many tokens? OpenAI counts what it needs itself, and is believed.

        A quota without a window is refused by its minute or by a longer one, which then is as small.
        """
        if self.unit != "tokens" or self.window not in ("minute", "unknown") or not self.limit:
            return False
        return prompt_tokens >= self.limit if self.requested is None else self.requested > self.limit


def violations(details: Sequence[Any], message: str = "") -> tuple[Quota, ...]:
    """Every quota that an error of Google's names, in its `details` and in the words of its message.

    Unknown ids are read by their parts. Google leaves a quotaValue of 0 out: then the message has it.
    """
    said = list(islice(_said_by_google(message), MOST_NAMED))
    named = [*islice(_in_failures(details), MOST_NAMED)] or [*islice(_in_error_infos(details), MOST_NAMED)]
    if not named:
        return tuple(quota for quota, _ in said)
    found = [_completed(quota, metric, said) for quota, metric in named]
    return (*found, *(quota for quota, _ in said if not quota.entitled))


def _completed(quota: Quota, metric: str, said: list[tuple[Quota, str]]) -> Quota:
    """A quota of the details with what the message's line for its metric knows beyond; the line is used up."""
    line = next((pair for pair in said if metric and pair[1] == metric), None)
    if line is None:
        return quota
    said.remove(line)
    if quota.limit is not None:
        return quota
    return replace(quota, limit=line[0].limit, entitled=line[0].entitled, model=quota.model or line[0].model)


def longest(quotas: Sequence[Quota]) -> Quota | None:
    """The quota that takes longest to come back: it decides."""
    return max(quotas, key=lambda quota: _LENGTHS.index(quota.window), default=None)


def comes_back(quota: Quota | None, told_s: float | None, now: float, quota_reset: str = "pacific") -> float:
    """When a spent quota can be used again (Unix seconds). `told_s`: how long the upstream said to wait.

    For Google's days that is a lie (it says "17s"), so they rest until the reset. All else rests
    max(told, 1 s) + 2 s, because Google rounds down; at most a day.
    """
    window = quota.window if quota else "unknown"
    if window in ("day", "month") and not (quota and quota.rolling and told_s is not None):
        return next_reset(now, quota_reset)
    if told_s is None:
        return now + (HOUR_S if window == "hour" else MINUTE_S)
    return now + min(max(told_s, 1.0) + 2.0, DAY_S)


# -- Google -------------------------------------------------------------------------------------------------


def _in_failures(details: Sequence[Any]) -> Iterator[tuple[Quota, str]]:
    """The quotas of every QuotaFailure, each with its metric."""
    for detail in details:
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("QuotaFailure"):
            rows = detail.get("violations")
            yield from (_violation(row) for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict))


def _in_error_infos(details: Sequence[Any]) -> Iterator[tuple[Quota, str]]:
    """The same from the metadata of an ErrorInfo: the way of 2023 and 2024, which other Google services still have."""
    for detail in details:
        metadata = detail.get("metadata") if isinstance(detail, dict) else None
        if isinstance(metadata, dict) and (metadata.get("quota_limit") or metadata.get("quota_metric")):
            metric, value = _text(metadata.get("quota_metric")), metadata.get("quota_limit_value")
            yield _google(_text(metadata.get("quota_limit")), metric, whole(value)), metric


def _violation(row: Mapping[str, Any]) -> tuple[Quota, str]:
    metric = _text(row.get("quotaMetric"))
    quota_id = _text(row.get("quotaId"))
    dimensions = row.get("quotaDimensions")
    model = _text(dimensions.get("model")) if isinstance(dimensions, dict) else ""
    words = quota_id or metric or _text(row.get("description"))
    quota = _google(quota_id, metric, whole(row.get("quotaValue")), model, words)
    # Ids of the free tier say so; those of the same family that do not are of a paid one.
    paid = not quota.tier and re.search(r"per[\W_]*(project|model)", quota_id, re.I)
    return (replace(quota, tier="paid") if paid else quota), metric


def _google(quota_id: str, metric: str, limit: int | None, model: str = "", words: str = "") -> Quota:
    everything = f"{quota_id} {metric} {words}"
    tier = re.search(r"(free|paid)[\W_]*tier", everything, re.I)
    return Quota(
        window=_window(everything),
        unit=_unit(quota_id or metric or words, metric),
        limit=limit,
        tier=tier[1].lower() if tier else "",
        model=_name(model),
        entitled=limit != 0,
        quota_id=_name(quota_id or metric),
    )


_METRIC_LINE = re.compile(rf"quota exceeded for metric: ([^\s,]+)((?:, [a-z_]+: (?:{_NUMBER}|[^\s,]+))*)", re.I)
_METRIC_AND_LIMIT = re.compile(r"quota exceeded for quota (?:metric|group) '([^']+)' and limit '([^']+)'", re.I)
_METRIC_OF_VERTEX = re.compile(r"quota exceeded for ([\w.-]+/[\w-]+)(?: with [a-z ]+: ([\w./:@-]+))?", re.I)


def _said_by_google(message: str) -> Iterator[tuple[Quota, str]]:
    """The quotas of a message, each with its metric: one a line, or the only one there is."""
    for found in _METRIC_LINE.finditer(message):
        said = dict(pair.split(": ", 1) for pair in found[2].split(", ")[1:])
        yield _google("", found[1], whole(said.get("limit")), said.get("model", "").rstrip(".")), found[1]
    for found in _METRIC_AND_LIMIT.finditer(message):
        yield _google(found[2], found[1], None), found[1]
    for found in _METRIC_OF_VERTEX.finditer(message):
        yield _google("", found[1], None, (found[2] or "").rstrip(".")), found[1]


# -- OpenAI -------------------------------------------------------------------------------------------------

_PER = re.compile(r"\b((?:(?:input|output)[ _-])?tokens?|requests?|images?)\s+per\s+(day|min|hour|sec|month)", re.I)
_INITIALS = re.compile(r"\b([RTI])P([SMHD])\b")
_RATE = re.compile(r"\b(token|request|call)s? rate limit", re.I)
_LIMIT = re.compile(rf"\blimit:? ({_NUMBER}|[0-9]+(?=\.0+\b))", re.I)
_REQUESTED = re.compile(rf"\brequested:? ({_NUMBER})", re.I)
_TOO_LARGE = re.compile(r"\brequest too large\b", re.I)
_SHARED = re.compile(r"\(for limit ([^\s()]+)\)")
_OF_MODEL = re.compile(r"(?:reached|large|exceeded) for (?:model )?[`'\"]?(?![RTI]P[SMHD]\b)([^\s`'\",:]+)", re.I)
_INITIAL_UNITS = {"r": "requests", "t": "tokens", "i": "images"}


def said_by_openai(message: str, kind: str = "", rolling: bool = True) -> tuple[Quota, ...]:
    """The quota in "… on tokens per min (TPM): Limit 30000, Used 1, Requested 30000", and what others make of it.

    `kind` is the error's type: "tokens" or "requests" where OpenAI means a limit.
    """
    per, initials, rate = _PER.search(message), _INITIALS.search(message), _RATE.search(message)
    if per:
        unit, window = _unit(per[1]), _WINDOWS[per[2].lower()]
    elif initials:
        unit, window = _INITIAL_UNITS[initials[1].lower()], _WINDOWS[initials[2].lower()]
    elif rate:
        unit, window = _unit(rate[1]), "minute"
    elif kind in ("tokens", "requests"):
        unit, window = kind, "minute"
    elif _TOO_LARGE.search(message) and _LIMIT.search(message):
        unit, window = "tokens", "minute"
    else:
        return ()
    limit, requested = _LIMIT.search(message), _REQUESTED.search(message)
    most = whole(limit[1]) if limit else None
    model = _SHARED.search(message) or _OF_MODEL.search(message)
    return (
        Quota(
            window=window,
            unit=unit,
            limit=most,
            model=_name(model[1]) if model else "",
            entitled=most != 0,
            quota_id=f"{unit} per {window}",
            requested=whole(requested[1]) if requested else None,
            rolling=rolling,
        ),
    )


@dataclass(frozen=True, slots=True)
class Allowance:
    """What OpenAI's headers tell on any answer: a limit, how much of it is left, and when it is whole again (s)."""

    quota: Quota
    remaining: int
    reset_s: float | None


def allowances(headers: Mapping[str, str]) -> tuple[Allowance, ...]:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, with lower-case names, as allowances."""
    found = []
    for unit in ("requests", "tokens"):
        limit = whole(headers.get(f"x-ratelimit-limit-{unit}"))
        remaining = whole(headers.get(f"x-ratelimit-remaining-{unit}"))
        if limit and remaining is not None:
            reset_s = duration_s(headers.get(f"x-ratelimit-reset-{unit}"))
            window = _window_of(limit, remaining, reset_s)
            quota = Quota(window, unit, limit, quota_id=f"{unit} per {window}", rolling=True)
            found.append(Allowance(quota, remaining, reset_s))
    return tuple(found)


def _window_of(limit: int, remaining: int, reset_s: float | None) -> str:
    """A bucket fills evenly: what is missing comes back in `reset_s`, so all of it would in a window."""
    if not reset_s or remaining >= limit:
        return "minute"
    return "day" if reset_s * limit / (limit - remaining) > 2 * HOUR_S else "minute"


def spent_allowances(headers: Mapping[str, str]) -> tuple[Quota, ...]:
    """The quotas of which, by the headers, nothing is left."""
    return tuple(allowance.quota for allowance in allowances(headers) if allowance.remaining == 0)


# -- words --------------------------------------------------------------------------------------------------


def _window(words: str) -> str:
    found = (_WINDOWS[next(part for part in match.groups() if part).lower()] for match in _WINDOW.finditer(words))
    return max(found, key=_LENGTHS.index, default="unknown")


def _unit(words: str, otherwise: str = "") -> str:
    """The last word counts: CountTokensRequestsPerMinute is about requests."""
    lowered = words.lower()
    at, word = max((lowered.rfind(word), word) for word in ("token", "request", "call", "image"))
    if at < 0:
        return _unit(otherwise) if otherwise else "requests"
    if word == "token":
        return "output_tokens" if "output" in lowered[:at] else "tokens"
    return "images" if word == "image" else "requests"


def _name(text: str) -> str:
    """An upstream's name for a thing, fit to be kept and shown."""
    return redact(text)[:200]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def whole(value: Any) -> int | None:
    """A limit as a number; None where it is none."""
    if isinstance(value, bool):
        return None
    try:
        number = int(value.replace(",", "") if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= MOST else None


# -- days ---------------------------------------------------------------------------------------------------
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
