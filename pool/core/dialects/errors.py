"""Errors in both dialects: read from any upstream body, written in the client's own shape."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pool.core.calls import GEMINI
from pool.core.dialects.gemini.errors import google_error
from pool.core.faults import Fault
from pool.core.masking import redact

JSON_TYPE = ("Content-Type", "application/json")
MAX_MESSAGE_CHARS = 2000

OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""The error types OpenAI documents; other 4xx are invalid_request_error, 5xx server_error."""

CODES = {
    400: "invalid_request",
    401: "invalid_api_key",
    402: "insufficient_quota",
    403: "permission_denied",
    404: "not_found",
    413: "request_too_large",
    429: "rate_limit_exceeded",
    499: "cancelled",
    503: "overloaded",
    504: "upstream_timeout",
    529: "overloaded",
}
"""The code of an upstream error that names none."""


@dataclass(frozen=True, slots=True)
class ErrorFields:
    """What an upstream's error body says, wherever it says it.

    `status` is Google's word ("RESOURCE_EXHAUSTED"), `number` the integer code in the body, `code` and
    `type` OpenAI's words. `reasons` are the ErrorInfo reasons, `details` all of Google's detail objects.
    """

    message: str = ""
    status: str = ""
    number: int | None = None
    code: str = ""
    type: str = ""
    param: str | None = None
    reasons: tuple[str, ...] = ()
    details: tuple[dict[str, Any], ...] = ()
    html: bool = False


def error_fields(body: bytes) -> ErrorFields:
    """Digs through an object, a list around it (array streams, Google's OpenAI layer), an SSE event, text."""
    text = body.strip()
    if text.startswith(b"data:"):
        text = text[5:].strip()
    try:
        error = _error_object(orjson.loads(text))
    except orjson.JSONDecodeError:
        return _from_text(text)
    if isinstance(error, str):
        return ErrorFields(message=error)
    if not isinstance(error, dict):
        return ErrorFields()
    code, message = error.get("code"), error.get("message")
    details = tuple(d for d in _list(error.get("details")) if isinstance(d, dict))
    return ErrorFields(
        message=message if isinstance(message, str) else "",
        status=_text(error.get("status")),
        number=code if isinstance(code, int) else None,
        code=_text(code),
        type=_text(error.get("type")),
        param=_text(error.get("param")) or None,
        reasons=tuple(d["reason"] for d in details if isinstance(d.get("reason"), str)),
        details=details,
    )


def _error_object(document: Any) -> Any:
    while isinstance(document, list):
        document = next((d for d in reversed(document) if d), None)
    if isinstance(document, dict):
        inner = document.get("error", document)
        # The interactions API and some proxies wrap twice.
        if isinstance(inner, dict) and isinstance(inner.get("error"), dict):
            inner = inner["error"]
        return inner if inner is not None else document
    return document


def _from_text(text: bytes) -> ErrorFields:
    if text[:200].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return ErrorFields(html=True)
    return ErrorFields(message=text[: 4 * MAX_MESSAGE_CHARS].decode("utf-8", "replace"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def upstream_fault(provider_dialect: str, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """An upstream's error as a `Fault` that keeps its status and message. `headers` are lower-case."""
    said = error_fields(body)
    if said.html:
        message = f"The upstream answered {status} with an HTML page."
    else:
        message = redact(said.message)[:MAX_MESSAGE_CHARS] or f"The upstream answered {status}."
    details: dict[str, Any] = {}
    if provider_dialect == GEMINI:
        details = {"google": _google_details(said)}
    return Fault(
        status,
        _code(said, status),
        message,
        type=said.type or None,
        param=said.param,
        retry_after_s=_retry_after_s(said, headers),
        details=details,
    )


def _google_details(said: ErrorFields) -> dict[str, Any]:
    try:
        details = orjson.loads(redact(orjson.dumps(said.details).decode()))
    except (TypeError, orjson.JSONDecodeError):
        # orjson reads deeper than it writes.
        details = []
    return {"status": said.status, "details": details}


def _code(said: ErrorFields, status: int) -> str:
    if said.code:
        return said.code
    if said.reasons:
        return said.reasons[0].lower()
    return CODES.get(status) or ("server_error" if status >= 500 else "invalid_request")


def _retry_after_s(said: ErrorFields, headers: Mapping[str, str]) -> float | None:
    stated = headers.get("retry-after", "")
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", stated):
        return float(stated)
    for detail in said.details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (found := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]*)?|\.[0-9]+)s", delay)):
            return float(found[1])
    return None


def render_fault(dialect: str, fault: Fault) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of an error answer in `dialect`."""
    headers = [JSON_TYPE]
    if fault.retry_after_s is not None:
        headers.append(("Retry-After", str(max(1, math.ceil(fault.retry_after_s)))))
    if fault.retryable is not None:
        headers.append(("x-should-retry", "true" if fault.retryable else "false"))
    return fault.status, headers, _body(dialect, fault)


def render_stream_fault(dialect: str, fault: Fault, *, array: bool = False, first: bool = False) -> bytes:
    """The error as the last bytes of a stream that already began.

    `array`: a Gemini stream without alt=sse. `first`: nothing of the array was sent before, not even "[".
    """
    body = _body(dialect, fault)
    if array:
        return (b"[" if first else b",") + body + b"]"
    return b"data: " + body + b"\n\n"


def _body(dialect: str, fault: Fault) -> bytes:
    if dialect == GEMINI:
        return orjson.dumps({"error": google_error(fault)})
    return orjson.dumps({"error": openai_error(fault)})


def openai_error(fault: Fault) -> dict[str, Any]:
    kind = fault.type or OPENAI_TYPES.get(fault.status)
    if kind is None:
        kind = "server_error" if fault.status >= 500 else "invalid_request_error"
    extra = {name: value for name, value in fault.details.items() if name != "google"}
    return {"message": fault.message, "type": kind, "param": fault.param, "code": fault.code, **extra}
