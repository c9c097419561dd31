"""What an attempt taught us: whose fault it was, whether to go on, and until when to leave a key alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .faults import Broken, CannotConnect, TimedOut, UpstreamError
from .keys import FOREVER
from .masking import redact
from .pauses import told_s
from .quota import Quota, allowances, comes_back, longest, said_by_openai, spent_allowances, violations

RETURN, OTHER_KEY, SAME_KEY = "return", "other_key", "same_key"
"""What to do next. SAME_KEY: once more with the same key after a backoff, then with another."""

NOBODY, KEY, KEY_MODEL = "nobody", "key", "key_model"
"""Whom an outcome sets aside: nobody, the key for everything, or the key for this model alone."""

WEEK_S = 7 * 86_400.0
MOST_CHARS = 8000
"""Of an upstream's message, that much is read; the rest could only be the caller's words."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one attempt.

    kind: a word for logs and pages. scope: who is set aside, until `until` (FOREVER: dead).
    blamed: counts towards the key's error streak. transient: a retry takes from the retry budget.
    reason: what a person reads on the keys page, without keys. limits: the violated quotas whose limit the upstream
    told, all above 0. quota: the one that decided. project: the key's Google project ("projects/123456"), where the
    refusal says it. storm: the class of failure that many keys may share because their upstream is at fault:
    401 | 403 | 5xx | unreachable | 429 (one without a decodable quota), "" where it is the key's or the caller's own.
    """

    kind: str
    next: str = RETURN
    scope: str = NOBODY
    until: float | None = None
    blamed: bool = False
    transient: bool = False
    reason: str = ""
    limits: tuple[Quota, ...] = field(default=(), repr=False)
    quota: Quota | None = field(default=None, repr=False)
    project: str = ""
    storm: str = ""

    @property
    def dead(self) -> bool:
        return self.scope == KEY and self.until == FOREVER


OK = Outcome("ok")
EMPTY = Outcome("empty", OTHER_KEY, reason="200 without any content")
GONE = Outcome("client_gone")

NOT_THE_KEYS = frozenset(
    {"client_gone", "rejected", "location", "other", "model_missing", "misrouted", "request_too_large", "draining"}
)
"""How attempts end that tell nothing of their key: the caller or nobody was at fault."""


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
    def type(self) -> str: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...
    @property
    def details(self) -> Sequence[Any]: ...
    @property
    def html(self) -> bool: ...
    @property
    def project(self) -> str: ...


OVERLOADED = frozenset({500, 502, 503, 504, 529, *range(520, 528), 530})
"""520 to 530 are what Cloudflare says for an origin that does not answer, but for 529: that is Anthropic's 503."""

ABOUT_THE_REQUEST = frozenset({405, 409, 413, 414, 415, 422, 431})
"""Statuses that say so by themselves, also on a balancer's page."""

_QUOTED = tuple(
    re.compile(rf"(?<!\w){quote}.*{quote}(?!\w)" if quote == "'" else f"{quote}.*{quote}", re.S) for quote in "`\"'"
)
"""From the first quotation mark to the last: a caller may have written some of those between."""

_INVALID_KEY = re.compile(
    r"\W*(?:api key not valid|api key expired|invalid (?:x-)?api[ -]key|incorrect api key|api key not found)", re.I
)
"""In a 400 at the beginning only: further on it may hold what the caller wrote."""
_INVALID_ANYWHERE = re.compile(
    r"\bapi[ _-]?key\b.{0,60}\b(?:is|has been) (?:not valid|invalid|expired|revoked)\b", re.I
)
_DEAD_CODES = frozenset(
    {"invalid_api_key", "account_deactivated", "account_suspended", "invalid_organization", "key_revoked",
     "api_key_revoked", "api_key_expired", "access_terminated"}
)  # fmt: skip
_DEAD_REASONS = frozenset({"CONSUMER_SUSPENDED", "CONSUMER_INVALID"})
_LEAKED = re.compile(
    r"reported as leaked|has been suspended|account.{0,120}(?:deactivated|suspended)|deactivated account|"
    r"(?:disabled|suspended|terminated|banned).{0,80}violat\w+ of (?:\w+ ){0,3}terms|consumer.{0,80}invalid",
    re.I | re.S,
)
_LOCATION = re.compile(
    r"user location|unsupported_country|country, region, or territory|location is not supp|available in your country",
    re.I,
)
_OUR_FAULT = re.compile(r"multiple authentication credentials|unregistered callers", re.I)
_OUR_FAULT_REASONS = frozenset({"ACCESS_TOKEN_TYPE_UNSUPPORTED", "CREDENTIALS_MISSING"})
"""Two credentials, none, or one of a kind this address does not take: no key would do better."""
_SWITCHED_OFF = re.compile(
    r"\W*(?:[\w ]{1,60} api has not been used in project \S+ before or it is disabled|"
    r"requests (?:to|from) this .{1,300} are blocked\b)",
    re.I,
)
_FOREIGN_FILE = re.compile(r"cachedcontent not found|permission to access the file|access.{0,80} file ", re.I)
_MODERATED = re.compile(
    r"\b(?:input|prompt|content|request|messages?)\b.{0,40}\bflagged\b|content.?(?:policy|filter)|requires moderation",
    re.I,
)
_WRONG_USE = re.compile(r"not allowed to generate \w+ from this model", re.I)
"""The caller asks a model for what no key can get from it: to call that "not entitled" would lose the model."""
_CLOSED_TO_NEW = re.compile(r"\W*(?:this |the )?model\b.{0,300}\bno longer available to new users", re.I)
_ZERO = re.compile(r"\blimit: 0(?![.,]?\d)", re.I)
_MISSING_MODEL = re.compile(
    r"\bmodels?\b.{0,300}?(?:\bnot (?:be )?found\b|\bn[o']t exist\b|\bnot supported\b|\bdeprecated\b|"
    r"\bdecommissioned\b|\bno longer\b|\bnot available\b)|\bno endpoints found for\b|"
    r"\b(?:unknown|no such|cannot find|could not find|unsupported) (?:the )?model\b",
    re.I | re.S,
)
_SHARED_CAPACITY = re.compile(
    r"MODEL_CAPACITY_EXHAUSTED|shared capacity|at capacity|overloaded|resource exhausted\. please try again later", re.I
)
_SPENT_CODES = frozenset(
    {"insufficient_quota", "insufficient_user_quota", "insufficient_balance", "billing_not_active",
     "billing_hard_limit_reached"}
)  # fmt: skip
_SPENT = re.compile(
    r"prepa(?:y|id)|credits? (?:are|is|have been) depleted|spending (?:cap|limit)|billing.{0,80}not active|"
    r"insufficient (?:balance|credits?|funds)|credit balance is too low|"
    # OpenAI's words; Google's are the same but for the end ("head to"), and mean a quota.
    r"exceeded your current quota.{0,50}\. for more information on this error, read",
    re.I,
)


@dataclass(frozen=True, slots=True)
class _Said:
    """A refusal as the table reads it. `text` is without what an upstream quotes: that may be the caller's own words,
    and those must not decide over a key."""

    refusal: Refusal
    message: str
    text: str
    reasons: frozenset[str]
    words: frozenset[str]

    @classmethod
    def by(cls, refusal: Refusal) -> _Said:
        message = text = refusal.message[:MOST_CHARS]
        for quoted in _QUOTED:
            text = quoted.sub("", text)
        text = " ".join((text, refusal.status, refusal.code, *refusal.reasons))
        return cls(refusal, message, text, frozenset(refusal.reasons), frozenset({refusal.code, refusal.type}))


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
    outcome = _judged(status, headers, _Said.by(refusal), now, penalties)
    return replace(outcome, reason=redact(outcome.reason), project=refusal.project)


def _judged(status: int, headers: Mapping[str, str], said: _Said, now: float, penalties: Penalties) -> Outcome:
    if status in ABOUT_THE_REQUEST:
        return Outcome("rejected")
    if 300 <= status < 400:
        return overloaded(f"unexpected redirect ({status})", now)
    if status in OVERLOADED:
        return overloaded(f"{status} {said.message}".strip(), now)
    if said.refusal.html or (not said.text.strip() and headers.get("content-type", "").startswith("text/html")):
        # Whoever wrote it stands before the API: a balancer, a firewall, a portal.
        return overloaded(f"{status} with an HTML page", now)
    match status:
        case 429:
            return _rate_limited(headers, said, now, penalties)
        case 402:
            return _spent(said, now, penalties)
        case 400 | 401 | 403:
            return _refused(status, said, now, penalties)
        case 404:
            return _missing(said, now)
    return Outcome("other", reason=said.message)


def overloaded(reason: str, now: float) -> Outcome:
    """The upstream's own trouble: nobody is blamed, the same key may serve in a moment."""
    return Outcome("overloaded", SAME_KEY, KEY_MODEL, now + 1.0, transient=True, reason=reason, storm="5xx")


def failed(error: UpstreamError, penalties: Penalties = Penalties()) -> Outcome:
    """The verdict where no answer came at all."""
    if isinstance(error, CannotConnect):
        return Outcome("unreachable", OTHER_KEY, transient=True, reason=str(error), storm="unreachable")
    kind = "timeout" if isinstance(error, TimedOut) else "broken" if isinstance(error, Broken) else "failed"
    unsure = OTHER_KEY if penalties.retry_unsure else RETURN
    return Outcome(kind, unsure, transient=True, reason=str(error))


def _refused(status: int, said: _Said, now: float, penalties: Penalties) -> Outcome:
    """400, 401 and 403: the caller's mistake, the key's end, or a service switched off."""
    storm = "" if status == 400 else str(status)
    if said.words & _SPENT_CODES or "BILLING_DISABLED" in said.reasons:
        return _spent(said, now, penalties)
    if _key_is_invalid(status, said):
        return _dead(said, storm)
    if _OUR_FAULT.search(said.text) or _OUR_FAULT_REASONS & said.reasons:
        return Outcome("misrouted", reason=said.message)
    if _LOCATION.search(said.text):
        return Outcome("location", reason=said.message)
    if status == 400:
        return Outcome("rejected")
    if status == 403 and "model_not_found" in said.words:
        return _not_entitled(said, now)
    if _DEAD_REASONS & said.reasons or _LEAKED.search(said.text):
        return _dead(said, storm)
    if _is_switched_off(said):
        until = now + penalties.cooldown_s
        return Outcome("service_disabled", OTHER_KEY, KEY, until, blamed=True, reason=said.message, storm=storm)
    if status == 403 and _about_the_request(said):
        return Outcome("rejected")
    if status == 403 and re.search(r"\bmodel\b", said.message):
        return _not_entitled(said, now)
    return Outcome("suspected", OTHER_KEY, KEY, now + 60.0, blamed=True, reason=said.message, storm=storm)


def _key_is_invalid(status: int, said: _Said) -> bool:
    if "API_KEY_INVALID" in said.reasons or said.words & _DEAD_CODES:
        return True
    if status != 401:
        return bool(_INVALID_KEY.match(said.message))
    return bool(_INVALID_KEY.search(said.text) or _INVALID_ANYWHERE.search(said.text))


def _is_switched_off(said: _Said) -> bool:
    """The service in the key's project, or the key for the service, for our address or for our kind of client."""
    if "SERVICE_DISABLED" in said.reasons or _SWITCHED_OFF.match(said.message):
        return True
    return any(reason.startswith("API_KEY_") and reason.endswith("_BLOCKED") for reason in said.reasons)


def _about_the_request(said: _Said) -> bool:
    """A 403 that any key would get, or any but the one that made a file."""
    patterns = (_FOREIGN_FILE, _MODERATED, _WRONG_USE)
    return any(pattern.search(said.text) for pattern in patterns)


def _missing(said: _Said, now: float) -> Outcome:
    if _CLOSED_TO_NEW.match(said.text):
        return _not_entitled(said, now)
    if "model_not_found" in said.words or _MISSING_MODEL.search(said.message):
        return Outcome("model_missing", reason=said.message)
    return Outcome("rejected")


def _dead(said: _Said, storm: str) -> Outcome:
    return Outcome("dead", OTHER_KEY, KEY, FOREVER, blamed=True, reason=said.message, storm=storm)


def _not_entitled(said: _Said, now: float, quota: Quota | None = None, limits: tuple[Quota, ...] = ()) -> Outcome:
    until = now + WEEK_S
    return Outcome("not_entitled", OTHER_KEY, KEY_MODEL, until, reason=said.message, limits=limits, quota=quota)


def _spent(said: _Said, now: float, penalties: Penalties) -> Outcome:
    until = now + penalties.cooldown_s
    return Outcome("insufficient_quota", OTHER_KEY, KEY, until, blamed=True, reason=said.message)


def _rate_limited(headers: Mapping[str, str], said: _Said, now: float, penalties: Penalties) -> Outcome:
    """429: a day's quota, a minute's, money, or the upstream's own shortage."""
    refusal = said.refusal
    named = violations(refusal.details, said.message)
    if said.words & _SPENT_CODES or (not named and _SPENT.search(said.text)):
        return _spent(said, now, penalties)
    if not named:
        # With Google's word for the status, days end at midnight, in whatever words the message names them.
        rolling = refusal.status != "RESOURCE_EXHAUSTED"
        named = said_by_openai(said.message, refusal.type, rolling) or spent_allowances(headers)
    limits = tuple(quota for quota in named if quota.limit)
    refused = next((quota for quota in named if not quota.entitled), None)
    if refused or _ZERO.search(said.text):
        return _not_entitled(said, now, refused, limits)
    if not named and _SHARED_CAPACITY.search(said.text):
        return overloaded(said.message, now)
    quota = longest(named)
    told = told_s(said.text, refusal.details, headers, now)
    until = comes_back(quota, _reset_s(quota, headers) if told is None else told, now, penalties.quota_reset)
    return Outcome(
        "quota_day" if quota is not None and quota.window in ("day", "month") else "quota_minute",
        OTHER_KEY,
        KEY_MODEL,
        until,
        blamed=True,
        reason=said.message,
        limits=limits,
        quota=quota,
        storm="" if quota else "429",
    )


def _reset_s(quota: Quota | None, headers: Mapping[str, str]) -> float | None:
    """Where nothing says how long to wait: when an allowance is whole again, which is later than it need be."""
    spent = [each for each in allowances(headers) if not each.remaining or (quota and each.quota.unit == quota.unit)]
    return max((each.reset_s for each in spent if each.reset_s is not None), default=None)


# -- requests that no minute has room for -----------------------------------------------------------------------


def too_large(outcome: Outcome, estimated_prompt_tokens: int) -> Quota | None:
    """The minute's token quota that a request alone is larger than; None where it may fit into another minute.

    OpenAI counts for itself what a request needs, and is believed.
    """
    if outcome.kind not in ("quota_minute", "quota_day"):
        return None
    over = [quota for quota in outcome.limits if quota.too_small_for(estimated_prompt_tokens)]
    return min(over, key=lambda quota: quota.limit or 0, default=None)


def same_token_limit(one: Outcome, other: Outcome) -> Quota | None:
    """The minute's token quota on which two keys refused the same request; None where they refused differently.

    Where the upstream counted that the request fits, both keys were only busy.
    """
    theirs = {quota.limit for quota in other.limits if quota.of_a_minutes_tokens}
    ours = (quota for quota in one.limits if quota.of_a_minutes_tokens and quota.limit in theirs)
    return next(ours, None)
