"""`/api/{provider}/{path}`: a call in a provider's own dialect, by a policy it names, with errors in one flat shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from pool.core.catalogue import Catalogue
from pool.core.dialects import render_fault
from pool.core.faults import Fault
from pool.core.rotation import canonical_policy
from pool.relay import Answer, Caller

from .routes import Match, below_provider

DEFAULT = "roundRobin"
NO_KEYS = "No available API keys"

_SUGGESTIONS = {
    "no_available_keys": "Please add more keys or wait for rate limit reset",
    "all_keys_cooling": "Please add more keys or wait for rate limit reset",
    "unsupported_provider": "Use the slug of one of the providers of this server",
    "invalid_api_path": "Name a provider and a path of its API, as in /api/gemini/models/{model}:generateContent",
    "invalid_api_key": "Send a client key as `Authorization: Bearer …`, `x-goog-api-key` or `?key=`",
    "permission_required": "Use a user key that may do this",
}
_AGAIN = "Try again in a while"
_OTHERWISE = "Correct the request; the same one would be refused again"


def resolved(found: Match, method: str, catalogue: Catalogue) -> Match:
    """What the path asks for in its provider's dialect; as it is where there is no such provider, or no path."""
    provider = catalogue.providers.get(found.provider)
    return found if provider is None or found.path == "/" else below_provider(method, found, provider.dialect)


def check(found: Match, caller: Caller, catalogue: Catalogue) -> None:
    """Raises `Fault` for a path without a provider, one nobody knows, or one the caller's pool has no keys of."""
    if found.operation == "provider" and found.path == "/":
        raise Fault(400, "invalid_api_path", "Invalid API path. Expected: /api/:provider/*", retryable=False)
    if found.provider not in catalogue.providers:
        raise Fault(400, "unsupported_provider", f"Unsupported provider: {found.provider}", retryable=False)
    pools = (caller.pool.id, caller.pool.fallback_pool_id or 0)
    if not any(found.provider in catalogue.candidates(pool_id) for pool_id in pools):
        raise Fault(503, "no_available_keys", NO_KEYS, retry_after_s=60, retryable=False)


def policy_of(environ: Mapping[str, Any]) -> str | None:
    """The policy a request names; None where it names none, or one that does not exist: then the usual one serves."""
    return canonical_policy(_asked(environ))


def refusal(fault: Fault, provider: str, environ: Mapping[str, Any]) -> Answer:
    """An error of ours: `{"error", "provider", "strategy", "suggestion"}`."""
    status, headers, _ = render_fault("", fault)
    asked = _asked(environ)
    suggestion = _SUGGESTIONS.get(fault.code) or (_AGAIN if status == 429 or status >= 500 else _OTHERWISE)
    body = {
        "error": NO_KEYS if fault.code == "no_available_keys" else fault.message,
        "provider": provider,
        "strategy": asked if canonical_policy(asked) else DEFAULT,
        "suggestion": suggestion,
    }
    return Answer(status, [*headers, *fault.headers], orjson.dumps(body))


def _asked(environ: Mapping[str, Any]) -> str:
    pairs = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    return pairs.get("strategy") or environ.get("HTTP_X_POOL_STRATEGY", "") or ""
