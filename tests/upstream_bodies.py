"""Bodies in the shapes of Gemini and OpenAI: answers, streams and errors with values of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.upstream_actions import Action, answer


def gemini_text(text: str = "Hello", *, model: str = "gemini-2.5-flash", finish: str | None = "STOP") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": 7,
            "candidatesTokenCount": _tokens(text),
            "totalTokenCount": 7 + _tokens(text),
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}],
        },
        "modelVersion": model,
        "responseId": "scripted-0001",
    }


def gemini_stream(
    texts: Sequence[str] = ("Hel", "lo"), *, model: str = "gemini-2.5-flash", finish: str | None = "STOP"
) -> list[dict[str, Any]]:
    """One chunk a text; the last one says why it ended, unless `finish` is None."""
    chunks = [gemini_text(text, model=model, finish=None) for text in texts]
    total = 0
    for text, chunk in zip(texts, chunks, strict=True):
        total += _tokens(text)
        chunk["usageMetadata"] |= {"candidatesTokenCount": total, "totalTokenCount": 7 + total}
    if finish and chunks:
        chunks[-1]["candidates"][0]["finishReason"] = finish
    return chunks


def openai_text(text: str = "Hello", *, model: str = "gpt-4o-mini", finish: str = "stop") -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    return {
        "id": "chatcmpl-scripted0001",
        "object": "chat.completion",
        "created": 1780000000,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": _openai_usage(text),
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }


def openai_stream(
    texts: Sequence[str] = ("Hel", "lo"),
    *,
    model: str = "gpt-4o-mini",
    finish: str | None = "stop",
    usage: bool = False,
) -> list[dict[str, Any]]:
    """Role, texts, finish and, if asked for, usage. `[DONE]` is `sse(..., done=True)`."""
    chunks = [_openai_chunk(model, {"role": "assistant", "content": "", "refusal": None})]
    chunks += [_openai_chunk(model, {"content": text}) for text in texts]
    if finish:
        chunks.append(_openai_chunk(model, {}, finish))
    if usage:
        for chunk in chunks:
            chunk["usage"] = None
        chunks.append(_openai_chunk(model, {}) | {"choices": [], "usage": _openai_usage("".join(texts))})
    return chunks


def gemini_error_body(
    status: int, name: str, message: str = "Scripted failure.", details: Sequence[Any] = ()
) -> dict[str, Any]:
    error: dict[str, Any] = {"code": status, "message": message, "status": name}
    if details:
        error["details"] = list(details)
    return {"error": error}


def gemini_error(
    status: int,
    name: str | None = None,
    message: str = "Scripted failure.",
    *,
    reason: str | None = None,
    quota_id: str | None = None,
    quota_value: str = "15",
    retry_delay: str | None = None,
    model: str = "gemini-2.5-flash",
    headers: dict[str, str] | None = None,
) -> Action:
    """An error as Google sends it: `reason` in an ErrorInfo, `quota_id` in a QuotaFailure, a RetryInfo."""
    name = name or _GOOGLE_STATUS.get(status, "UNKNOWN")
    details: list[Any] = []
    if reason:
        details.append(_google_detail("ErrorInfo", reason=reason, domain="googleapis.com"))
    if quota_id:
        violation = {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "quotaId": quota_id,
            "quotaDimensions": {"location": "global", "model": model},
            "quotaValue": quota_value,
        }
        details.append(_google_detail("QuotaFailure", violations=[violation]))
    if retry_delay:
        details.append(_google_detail("RetryInfo", retryDelay=retry_delay))
    return answer(status, gemini_error_body(status, name, message, details), headers)


def openai_error(
    status: int,
    code: str | None = None,
    message: str = "Scripted failure.",
    *,
    type: str = "invalid_request_error",
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Action:
    error = {"message": message, "type": type, "param": param, "code": code}
    return answer(status, {"error": error}, headers)


_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _google_detail(kind: str, **members: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **members}


def _openai_chunk(model: str, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted0001",
        "object": "chat.completion.chunk",
        "created": 1780000000,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }


def _openai_usage(text: str) -> dict[str, Any]:
    return {
        "prompt_tokens": 7,
        "completion_tokens": _tokens(text),
        "total_tokens": 7 + _tokens(text),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _tokens(text: str) -> int:
    return -(-len(text) // 4)
