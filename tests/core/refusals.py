"""Refusals in the shapes of Google and OpenAI, with sentences of our own, and their verdicts at one moment."""

from __future__ import annotations

from typing import Any

import orjson

from pool.core.dialects import error_fields
from pool.core.outcomes import Outcome, Penalties, classify

NOW = 1_790_000_000.0
DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
TYPES = "type.googleapis.com/google.rpc."

Body = dict[str, Any]


def judged(
    status: int, body: Any = b"", headers: dict[str, str] | None = None, now: float = NOW, **penalties: Any
) -> Outcome:
    body = body if isinstance(body, bytes) else orjson.dumps(body)
    return classify(status, headers or {}, error_fields(body), now, Penalties(**penalties))


def google(status: int, message: str, *details: Body, reason: str = "", word: str = "") -> Body:
    if reason:
        details = (error_info(reason), *details)
    return {"error": {"code": status, "message": message, "status": word, "details": list(details)}}


def openai(message: str, code: str | None = None, kind: str = "invalid_request_error") -> Body:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error_info(reason: str, **metadata: str) -> Body:
    return {"@type": TYPES + "ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": metadata}


def quota(*ids: str, value: Any = None, metric: str = "", model: str = "") -> Body:
    """A QuotaFailure with a violation for each id; what is left out is left out of the wire, as Google does."""
    row: Body = {}
    if value is not None:
        row["quotaValue"] = value
    if metric:
        row["quotaMetric"] = metric
    if model:
        row["quotaDimensions"] = {"location": "global", "model": model}
    return {"@type": TYPES + "QuotaFailure", "violations": [{"quotaId": quota_id, **row} for quota_id in ids]}


def retry_info(delay: Any) -> Body:
    return {"@type": TYPES + "RetryInfo", "retryDelay": delay}


def spent(message: str = "You exceeded your current quota", *details: Body) -> Body:
    return google(429, message, *details, word="RESOURCE_EXHAUSTED")


def limited(words: str, code: str | None = "rate_limit_exceeded", kind: str = "tokens") -> Body:
    """OpenAI's 429: `words` stand where it says what is limited."""
    return openai(f"Rate limit reached for gpt-4o in organization org-x on {words}", code, kind)
