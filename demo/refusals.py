"""Why the simulated upstream refuses a key: one answer a reason, in the providers' own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.upstream import Action, answer, gemini_error, gemini_error_body, openai_error

_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error,"
    " head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
_METRIC = "* Quota exceeded for metric: generativelanguage.googleapis.com"


def _invalid(_key: str, _model: str) -> Action:
    return gemini_error(400, message="API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID")


def _leaked(_key: str, _model: str) -> Action:
    return gemini_error(403, message="Your API key was reported as leaked. Please use another API key.")


def _suspended(key: str, _model: str) -> Action:
    message = f"Permission denied: Consumer 'api_key:{key}' has been suspended."
    return _denied(message, "CONSUMER_SUSPENDED", consumer="projects/100200300400", containerInfo=f"api_key:{key}")


def _switched_off(_key: str, _model: str) -> Action:
    message = (
        "Generative Language API has not been used in project 500600700800 before or it is disabled. Enable it, wait a"
        " few minutes and retry."
    )
    return _denied(message, "SERVICE_DISABLED", consumer="projects/500600700800")


def _denied(message: str, reason: str, **metadata: str) -> Action:
    detail: dict[str, Any] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com", **metadata},
    }
    return answer(403, gemini_error_body(403, "PERMISSION_DENIED", message, [detail]))


def _day(_key: str, model: str) -> Action:
    # Google sends a RetryInfo here too, and it is not true: the quota comes back at midnight.
    return gemini_error(
        429,
        message=f"{_QUOTA}\n{_METRIC}/generate_content_free_tier_requests, limit: 1500\nPlease retry in 31.5s.",
        quota_id="GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        quota_value="1500",
        retry_delay="31s",
        model=model,
    )


def _minute(_key: str, model: str) -> Action:
    return gemini_error(
        429,
        message=f"{_QUOTA}\n{_METRIC}/generate_content_free_tier_requests, limit: 10\nPlease retry in 24.2s.",
        quota_id="GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        quota_value="10",
        retry_delay="24s",
        model=model,
    )


def _tokens(_key: str, model: str) -> Action:
    return gemini_error(
        429,
        message=f"{_QUOTA}\n{_METRIC}/generate_content_free_tier_input_token_count, limit: 250000",
        quota_id="GenerateContentInputTokensPerModelPerMinute-FreeTier",
        quota_value="250000",
        retry_delay="41s",
        model=model,
    )


def _zero(_key: str, model: str) -> Action:
    return gemini_error(
        429,
        message=f"{_QUOTA}\n{_METRIC}/generate_content_free_tier_requests, limit: 0\nPlease retry in 12.8s.",
        quota_id="GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        quota_value="0",
        retry_delay="12s",
        model=model,
    )


def _spent(_key: str, _model: str) -> Action:
    message = "You exceeded your current quota, please check your plan and billing details."
    return openai_error(429, "insufficient_quota", message, type="insufficient_quota")


def _deactivated(_key: str, _model: str) -> Action:
    message = "Your account associated with this API key has been deactivated."
    return openai_error(401, "account_deactivated", message)


def _rate(_key: str, model: str) -> Action:
    message = f"Rate limit reached for {model} on requests per min (RPM): Limit 500, Used 500. Please try again in 20s."
    return openai_error(429, "rate_limit_exceeded", message, type="requests")


REFUSALS: dict[str, Callable[[str, str], Action]] = {
    "invalid": _invalid,
    "leaked": _leaked,
    "suspended": _suspended,
    "switched_off": _switched_off,
    "day": _day,
    "minute": _minute,
    "tokens": _tokens,
    "zero": _zero,
    "spent": _spent,
    "deactivated": _deactivated,
    "rate": _rate,
}
"""By reason: what is answered to (key, model)."""


def overloaded() -> Action:
    return gemini_error(503, message="The model is overloaded. Please try again later.")
