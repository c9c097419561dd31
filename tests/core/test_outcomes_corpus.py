"""The outcome table on recorded errors: what it makes of each, against what the corpus calls the right reaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from pool.core.outcomes import KEY, KEY_MODEL, NOBODY, OTHER_KEY, RETURN, SAME_KEY, Outcome, too_large
from pool.core.quota import allowances, next_reset

from . import corpus
from .refusals import DAY_S, NOW, judged

pytestmark = corpus.present

ERRORS = corpus.files("errors")
KEPT = [path for kind in ("openai", "gemini_native", "gemini_openai_compat") for path in corpus.files(kind)]

REACTIONS: dict[str, Callable[[Outcome], bool]] = {
    "return_to_client": lambda o: (o.next, o.scope, o.blamed) == (RETURN, NOBODY, False),
    "disable_key": lambda o: o.dead and o.next == OTHER_KEY and o.blamed,
    "retry_other_key": lambda o: o.next == OTHER_KEY,
    "retry_same_later": lambda o: o.next == SAME_KEY and not o.blamed,
    "cool_down_key_model_until(retryDelay)": lambda o: (
        (o.kind, o.scope, o.next) == ("quota_minute", KEY_MODEL, OTHER_KEY) and o.until is not None and o.until > NOW
    ),
    "cool_down_key_model_until(daily reset midnight Pacific)": lambda o: (
        (o.kind, o.scope, o.next, o.until) == ("quota_day", KEY_MODEL, OTHER_KEY, next_reset(NOW))
    ),
}
"""The corpus's words for what a key pool should do."""

OTHERWISE: dict[str, tuple[str, str]] = {
    "gemini-403-service-disabled-2023": ("service_disabled", "an owner may switch it on: it rests cooldown_hours"),
    "gemini-403-key-service-blocked": (
        "service_disabled",
        "an owner may lift the restriction: it rests cooldown_hours",
    ),
    "gemini-403-iam-permission-denied": ("suspected", "not among the known reasons: dead only at the second refusal"),
    "gemini-429-spending-cap": ("insufficient_quota", "the cap may be raised: it rests cooldown_hours"),
    "openai-429-billing-not-active": ("insufficient_quota", "the bill may be paid: it rests cooldown_hours"),
    "gemini-429-resource-exhausted-shared-capacity": ("overloaded", "an overload: the same key once, then another"),
}
"""Where the outcome table asks for something else: the kind it leads to, and why."""

RESTS: dict[str, float] = {
    "gemini-429-free-minute-requests-15": 40.0,
    "gemini-429-paid-minute-tokens-2m": 61.440629838,
    "gemini-429-paid-tier-input-tokens-per-minute": 50.939935699,
    "gemini-429-resource-exhausted-generic": 60.0,
    "gemini-429-resource-exhausted-shared-capacity": 1.0,
    "gemini-429-spending-cap": DAY_S,
    "openai-429-billing-not-active": DAY_S,
    "openai-429-rate-limit-ms": 3.0,
    "openai-429-rate-limit-tpm": 28.604,
}
"""How long a refusal that is not of a day rests, in seconds."""

QUOTAS: dict[str, tuple[str, str, int | None, str, str]] = {
    "gemini-429-embed-free-day-1000": ("day", "requests", 1000, "free", "gemini-embedding-001"),
    "gemini-429-free-daily-requests-20": ("day", "requests", 20, "free", "gemini-2.5-flash"),
    "gemini-429-free-minute-requests-15": ("minute", "requests", 15, "free", "gemini-2.0-flash"),
    "gemini-429-free-three-windows": ("day", "requests", None, "free", "gemini-2.5-flash-preview-image"),
    "gemini-429-paid-day-requests": ("day", "requests", None, "paid", ""),
    "gemini-429-paid-minute-tokens-2m": ("minute", "tokens", 2_000_000, "paid", "gemini-3.7-flash"),
    "gemini-429-paid-tier-input-tokens-per-minute": ("minute", "tokens", 1_000_000, "paid", "gemini-2.5-flash"),
    "openai-429-rate-limit-ms": ("minute", "tokens", 30_000, "", "gpt-4.1"),
    "openai-429-rate-limit-tpm": ("minute", "tokens", 10_000, "", "gpt-4"),
}
"""The quota that decides: window, unit, limit, tier, model. No other recording names one."""

PROJECTS = {
    "gemini-403-consumer-suspended",
    "gemini-403-consumer-suspended-2026",
    "gemini-403-key-service-blocked",
    "gemini-403-service-disabled-2023",
}
"""The recordings that tell the key's project; its number is overwritten there."""


def recorded(path: Path, as_list: bool = False) -> tuple[dict[str, Any], Outcome]:
    exchange = corpus.load(path)
    body = [exchange["body"]] if as_list else exchange["body"]
    return exchange, judged(exchange["status"], body, exchange["headers"] or {})


def test_all_the_recordings_are_here() -> None:
    assert len(ERRORS) >= 52
    named = {path.stem for path in ERRORS}
    assert OTHERWISE.keys() | RESTS.keys() | QUOTAS.keys() | PROJECTS <= named


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.stem)
def test_recorded_errors_get_the_right_reaction(path: Path) -> None:
    exchange, outcome = recorded(path)
    right = REACTIONS[exchange["right_reaction_for_a_key_pool"]](outcome)
    if path.stem in OTHERWISE:
        assert outcome.kind == OTHERWISE[path.stem][0]
        assert not right, "no longer an exception"
    else:
        assert right, outcome


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.stem)
def test_a_list_around_a_recorded_error_changes_nothing(path: Path) -> None:
    assert recorded(path)[1] == recorded(path, as_list=True)[1]


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.stem)
def test_recorded_quotas_are_decoded(path: Path) -> None:
    _, outcome = recorded(path)
    quota = outcome.quota
    found = quota and (quota.window, quota.unit, quota.limit, quota.tier, quota.model)
    assert found == QUOTAS.get(path.stem)
    assert all(each.limit and each.entitled for each in outcome.limits)
    assert (outcome.project != "") == (path.stem in PROJECTS)
    if path.stem in RESTS:
        assert outcome.until == pytest.approx(NOW + RESTS[path.stem])


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.stem)
def test_only_what_many_keys_could_share_counts_towards_a_storm(path: Path) -> None:
    exchange, outcome = recorded(path)
    status = exchange["status"]
    expected = ""
    if outcome.kind == "overloaded":
        expected = "5xx"
    elif outcome.kind in ("dead", "suspected", "service_disabled") and status in (401, 403):
        expected = str(status)
    elif status == 429 and outcome.kind == "quota_minute" and outcome.quota is None:
        expected = "429"
    assert outcome.storm == expected


def test_recorded_token_quotas_know_what_is_too_large_for_them() -> None:
    _, outcome = recorded(corpus.FOLDER / "errors" / "gemini-429-paid-tier-input-tokens-per-minute.json")
    assert too_large(outcome, 999_999) is None
    assert too_large(outcome, 1_000_000) == outcome.quota


REFUSED = [path for path in KEPT if 400 <= (corpus.load(path).get("response") or {}).get("status", 0) < 600]


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_errors_recorded_elsewhere_are_no_keys_fault_unless_they_say_so(path: Path) -> None:
    answer = corpus.load(path)["response"]
    body = answer.get("body") or orjson.loads((answer.get("sse") or ["null"])[0])
    outcome = judged(answer["status"], body, answer["headers"] or {})
    if answer["status"] == 404:
        assert outcome.kind in ("model_missing", "rejected")
    text = orjson.dumps(body).decode()
    assert outcome.dead == ("API_KEY_INVALID" in text or "invalid_api_key" in text or "API key not valid" in text)
    assert outcome.scope == NOBODY or answer["status"] in (429, 403) or outcome.scope == KEY


LIMITED = [
    path
    for path in corpus.files("openai")
    if str((corpus.load(path)["response"].get("headers") or {}).get("x-ratelimit-limit-requests", "")).isdigit()
]


@pytest.mark.parametrize("path", LIMITED, ids=lambda path: path.stem)
def test_recorded_rate_limit_headers_are_read(path: Path) -> None:
    headers = corpus.load(path)["response"]["headers"]
    requests, tokens = allowances(headers)
    assert (requests.quota.unit, tokens.quota.unit) == ("requests", "tokens")
    assert requests.quota.limit == int(headers["x-ratelimit-limit-requests"])
    assert tokens.quota.window == "minute"
    # 10,000 requests that come back at one in 8.64 s are a day's.
    slow = headers["x-ratelimit-reset-requests"] in ("8.64s", "1m0.198s")
    assert requests.quota.window == ("day" if slow else "minute")
