"""What an attempt taught us: whose fault it was, whether to go on, and until when to leave a key alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .faults import Broken, CannotConnect, TimedOut, UpstreamError
from .keys import FOREVER
from .quota import Violation, duration_s, next_reset, retry_delay_s, retry_prose_s, violations

RETURN, OTHER_KEY, SAME_KEY = "return", "other_key", "same_key"
"""What to do next. SAME_KEY: once more with the same key after a backoff, then with another."""

NOBODY, KEY, KEY_MODEL = "nobody", "key", "key_model"
"""Whom an outcome sets aside: nobody, the key for everything, or the key for this model alone."""

WEEK_S = 7 * 86_400.0
LONGEST_PAUSE_S = 86_400.0
"""However long an upstream asks us to wait for a minute's quota."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one attempt.

    kind: a word for logs and pages. scope: who is set aside, until `until` (FOREVER: dead).
    blamed: counts towards the key's error streak. transient: a retry takes from the retry budget.
    reason: what a person reads on the keys page. limits: what the upstream told us of its quotas.
    """

    kind: str
    next: str = RETURN
    scope: str = NOBODY
    until: float | None = None
    blamed: bool = False
    transient: bool = False
    reason: str = ""
    limits: tuple[Violation, ...] = field(default=(), repr=False)

    @property
    def dead(self) -> bool:
        return self.scope == KEY and self.until == FOREVER


OK = Outcome("ok")
EMPTY = Outcome("empty", OTHER_KEY, reason="200 without any content")
GONE = Outcome("client_gone")


@dataclass(frozen=True, slots=True)
class Penalties:
    """The settings an outcome depends on."""

    cooldown_s: float = 86_400.0
    quota_reset: str = "pacific"
    retry_unsure: bool = True


class Refusal(Protocol):
    """What a refusal's body says (`dialects.error_fields`)."""

    @property
    def message(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...
    @property
    def details(self) -> Sequence[Any]: ...


_INVALID_KEY = re.compile(
    r"\W*(?:api key not valid|api key expired|invalid api key|incorrect api key|api key not found)", re.I
)
"""In a 400 at the beginning only: further on it may hold what the caller wrote."""
_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)")
_DEAD_OPENAI = frozenset({"invalid_api_key", "account_deactivated", "invalid_organization", "key_revoked"})
_LEAKED = re.compile(
    r"reported as leaked|has been suspended|account.*(?:deactivated|suspended)|violat.*terms|consumer.*invalid", re.I
)
_LOCATION = re.compile(
    r"user location|unsupported_country|country, region, or territory|location is not supp|available in your country",
    re.I,
)
_OUR_FAULT = re.compile(r"multiple authentication credentials|unregistered callers", re.I)
_OUR_FAULT_REASONS = frozenset({"ACCESS_TOKEN_TYPE_UNSUPPORTED", "CREDENTIALS_MISSING"})
"""Two credentials, none, or one of a kind this address does not take: no key would do better."""
_FOREIGN_FILE = re.compile(r"cachedcontent not found|permission to access the file|access.* file ", re.I)
_NOT_ENTITLED = re.compile(r"no longer available to new users|limit: 0\b", re.I)
_SHARED_CAPACITY = re.compile(
    r"MODEL_CAPACITY_EXHAUSTED|shared capacity|at capacity|overloaded|resource exhausted\. please try again later", re.I
)
_SPENT = re.compile(
    r"prepa(?:y|id)|credits? (?:are|is|have been) depleted|spending (?:cap|limit)|billing.*not active|"
    # OpenAI's words; Google's are the same but for the end ("head to"), and mean a quota.
    r"exceeded your current quota.{0,50}\. for more information on this error, read",
    re.I,
)


def classify(
    status: int,
    headers: Mapping[str, str],
    refusal: Refusal,
    now: float,
    penalties: Penalties = Penalties(),
) -> Outcome:
    """The outcome table: a pure function of what the upstream answered. `headers` are lower-case."""
    if 200 <= status < 300:
        return OK
    # What an upstream quotes may be the caller's own words, and those must not decide over a key.
    text = " ".join((_QUOTED.sub("", refusal.message), refusal.status, refusal.code, *refusal.reasons))
    match status:
        case 429:
            return _rate_limited(headers, refusal, text, now, penalties)
        case 402:
            return _spent(refusal, now, penalties)
        case 400 | 401 | 403:
            return _refused(status, refusal, text, now, penalties)
        case 404:
            return _missing(text, now)
        case 405 | 409 | 413 | 415 | 422:
            return Outcome("rejected")
        case 500 | 502 | 503 | 504 | 529:
            return overloaded(f"{status} {refusal.message}".strip(), now)
    if 300 <= status < 400:
        return overloaded(f"unexpected redirect ({status})", now)
    return Outcome("other", reason=refusal.message)


def overloaded(reason: str, now: float) -> Outcome:
    """The upstream's own trouble: nobody is blamed, the same key may serve in a moment."""
    return Outcome("overloaded", SAME_KEY, KEY_MODEL, now + 1.0, transient=True, reason=reason)


def failed(error: UpstreamError, penalties: Penalties = Penalties()) -> Outcome:
    """The verdict where no answer came at all."""
    if isinstance(error, CannotConnect):
        return Outcome("unreachable", OTHER_KEY, transient=True, reason=str(error))
    kind = "timeout" if isinstance(error, TimedOut) else "broken" if isinstance(error, Broken) else "failed"
    unsure = OTHER_KEY if penalties.retry_unsure else RETURN
    return Outcome(kind, unsure, transient=True, reason=str(error))


def _refused(status: int, refusal: Refusal, text: str, now: float, penalties: Penalties) -> Outcome:
    """400, 401 and 403: the caller's mistake, the key's end, or a service switched off."""
    dead = Outcome("dead", OTHER_KEY, KEY, FOREVER, blamed=True, reason=refusal.message)
    invalid = _INVALID_KEY.search(text) if status == 401 else _INVALID_KEY.match(refusal.message)
    if invalid or "API_KEY_INVALID" in refusal.reasons or refusal.code in _DEAD_OPENAI:
        return dead
    if _OUR_FAULT.search(text) or _OUR_FAULT_REASONS & set(refusal.reasons):
        return Outcome("misrouted", reason=refusal.message)
    if _LOCATION.search(text):
        return Outcome("location", reason=refusal.message)
    if status == 400:
        return Outcome("rejected")
    if "CONSUMER_SUSPENDED" in refusal.reasons or "CONSUMER_INVALID" in refusal.reasons or _LEAKED.search(text):
        return dead
    if {"SERVICE_DISABLED", "API_KEY_SERVICE_BLOCKED"} & set(refusal.reasons):
        until = now + penalties.cooldown_s
        return Outcome("service_disabled", OTHER_KEY, KEY, until, blamed=True, reason=refusal.message)
    if status == 403 and _FOREIGN_FILE.search(text):
        return Outcome("rejected")
    if status == 403 and (refusal.code == "model_not_found" or re.search(r"\bmodel\b", refusal.message)):
        return _not_entitled(refusal.message, now)
    return Outcome("suspected", OTHER_KEY, KEY, now + 60.0, blamed=True, reason=refusal.message)


def _missing(text: str, now: float) -> Outcome:
    return _not_entitled(text, now) if _NOT_ENTITLED.search(text) else Outcome("rejected")


def _not_entitled(reason: str, now: float, limits: tuple[Violation, ...] = ()) -> Outcome:
    return Outcome("not_entitled", OTHER_KEY, KEY_MODEL, now + WEEK_S, blamed=False, reason=reason, limits=limits)


def _spent(refusal: Refusal, now: float, penalties: Penalties) -> Outcome:
    until = now + penalties.cooldown_s
    return Outcome("insufficient_quota", OTHER_KEY, KEY, until, blamed=True, reason=refusal.message)


def _rate_limited(headers: Mapping[str, str], refusal: Refusal, text: str, now: float, penalties: Penalties) -> Outcome:
    """429: a day's quota, a minute's, money, or the upstream's own shortage."""
    named = violations(refusal.details)
    if refusal.code in ("insufficient_quota", "billing_not_active") or (not named and _SPENT.search(text)):
        return _spent(refusal, now, penalties)
    # Google leaves a quotaValue of 0 out and says it in the message alone.
    if any(violation.limit == 0 for violation in named) or _NOT_ENTITLED.search(text):
        return _not_entitled(refusal.message, now, named)
    if any(violation.window == "day" for violation in named):
        until = next_reset(now, penalties.quota_reset)
        return Outcome("quota_day", OTHER_KEY, KEY_MODEL, until, True, reason=refusal.message, limits=named)
    if not named and _SHARED_CAPACITY.search(text):
        return overloaded(refusal.message, now)
    until = now + _minute_pause_s(headers, refusal)
    return Outcome("quota_minute", OTHER_KEY, KEY_MODEL, until, True, reason=refusal.message, limits=named)


def _minute_pause_s(headers: Mapping[str, str], refusal: Refusal) -> float:
    """max(RetryInfo, Retry-After, 1 s) + 2 s, else 60 s: Google rounds RetryInfo down."""
    told = [
        delay
        for delay in (
            retry_delay_s(refusal.details),
            duration_s(headers.get("retry-after")),
            retry_prose_s(refusal.message),
        )
        if delay is not None
    ]
    return min(max([*told, 1.0]) + 2.0, LONGEST_PAUSE_S) if told else 60.0
