"""Errors in both dialects: read from any upstream body, written in the client's own shape."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pool.core import sse
from pool.core.calls import ANTHROPIC, GEMINI
from pool.core.dialects.gemini.errors import NUMBERS, google_error, project_of
from pool.core.faults import Fault
from pool.core.masking import redact
from pool.core.outcomes import ABOUT_THE_REQUEST
from pool.core.pauses import retry_after_s, retry_delay_s

JSON_TYPE = ("Content-Type", "application/json")
MAX_MESSAGE_CHARS = 2000
MOST_WAIT_S = 1e9

OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""The error types OpenAI documents; other 4xx are invalid_request_error, 5xx server_error."""

ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Source: https://docs.anthropic.com/en/api/errors"""

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


STATUSES = {
    **dict.fromkeys(
        (
            "invalid_prompt", "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url",
            "image_too_large", "image_too_small", "image_parse_error", "image_content_policy_violation",
            "invalid_image_mode", "image_file_too_large", "unsupported_image_media_type", "empty_image_file",
            "failed_to_download_image", "image_file_not_found",
        ),
        400,
    ),
    "invalid_request": 400,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "invalid_api_key": 401,
    "account_deactivated": 401,
    "authentication_error": 401,
    "insufficient_quota": 429,
    "billing_not_active": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "requests": 429,
    "tokens": 429,
    "permission_error": 403,
    "unsupported_country_region_territory": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "request_too_large": 413,
    "api_error": 500,
    "server_error": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "overloaded": 503,
    "overloaded_error": 529,
    "server_is_overloaded": 503,
    "service_unavailable_error": 503,
    "timeout_error": 504,
}  # fmt: skip
"""The status that a code or type means where it comes without one: inside an answer that began with 200."""


@dataclass(frozen=True, slots=True)
class ErrorFields:
    """What an upstream's error body says, wherever it says it.

    `status` is Google's word ("RESOURCE_EXHAUSTED"), `number` the HTTP status in the body, or what its words stand
    for; None where it says neither. `code` and `type` are OpenAI's words. `reasons` are the ErrorInfo reasons,
    `details` all of Google's detail objects, `project` the caller's Google project ("projects/123456").
    `html`: a page for people, not an answer of the API.
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
    project: str = ""


def error_fields(body: bytes) -> ErrorFields:
    """Digs through an object, a list around it (array streams, Google's OpenAI layer), SSE events, text."""
    text = _unframed(body)
    try:
        error = _error_object(orjson.loads(text))
    except orjson.JSONDecodeError:
        return _from_text(text)
    if isinstance(error, str):
        return ErrorFields(message=error)
    if not isinstance(error, dict):
        return ErrorFields()
    message = _text(error.get("message")) or _text(error.get("detail"))
    status, code, kind = _text(error.get("status")), _text(error.get("code")), _text(error.get("type"))
    details = tuple(d for d in _list(error.get("details")) if isinstance(d, dict))
    number = _number(error.get("code")) or NUMBERS.get(status) or STATUSES.get(code) or STATUSES.get(kind)
    return ErrorFields(
        message=message,
        status=status,
        number=number,
        code="" if _number(code) else code,
        type=kind,
        param=_text(error.get("param")) or None,
        reasons=tuple(d["reason"] for d in details if isinstance(d.get("reason"), str)),
        details=details,
        project=project_of(status, message, details),
    )


def _unframed(body: bytes) -> bytes:
    """A body without the frame of the first event that has data, and without a byte order mark."""
    text = body.removeprefix(sse.BOM).strip()
    if not text.startswith((b"data:", b"event:", b"id:", b"retry:", b":")):
        return text
    return next((event.data for event in sse.events(text + b"\n\n") if event.data), text)


def _number(value: Any) -> int | None:
    """The HTTP status that stands in a body as a number, or as its digits."""
    if isinstance(value, str) and re.fullmatch("[1-5][0-9][0-9]", value):
        return int(value)
    return value if type(value) is int and 100 <= value <= 599 else None


def _error_object(document: Any) -> Any:
    while isinstance(document, list):
        document = next((d for d in reversed(document) if d), None)
    if isinstance(document, dict):
        inner = document.get("error", document)
        if inner is document and isinstance(document.get("response"), dict):
            # "response.failed" of OpenAI's Responses API.
            inner = document["response"].get("error", document)
        # The interactions API and some proxies wrap twice.
        if isinstance(inner, dict) and isinstance(inner.get("error"), dict):
            inner = inner["error"]
        return inner if inner is not None else document
    return document


_PAGE = re.compile(rb"\s*<(?:!doctype|!--|\?xml|[a-z][a-z0-9]*[\s>/])", re.I)


def _from_text(text: bytes) -> ErrorFields:
    if _PAGE.match(text):
        return ErrorFields(html=True)
    return ErrorFields(message=text[: 4 * MAX_MESSAGE_CHARS].decode("utf-8", "replace"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def upstream_fault(provider_dialect: str, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """An upstream's error as a `Fault` that keeps its status and message. `headers` are lower-case.

    A page for people says nothing about the call, whatever its status: that is a bad gateway.
    """
    said = error_fields(body)
    if said.html:
        message = f"The upstream answered {status} with an HTML page."
        status = status if status >= 500 or status in ABOUT_THE_REQUEST else 502
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
        retry_after_s=_stated_wait_s(said, headers),
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


def _stated_wait_s(said: ErrorFields, headers: Mapping[str, str]) -> float | None:
    told = retry_after_s(headers)
    told = retry_delay_s(said.details) if told is None else told
    return told if told is not None and told < MOST_WAIT_S else None


def render_fault(dialect: str, fault: Fault) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of an error answer in `dialect`."""
    headers = [JSON_TYPE]
    if fault.retry_after_s is not None:
        headers.append(("Retry-After", str(max(1, math.ceil(fault.retry_after_s)))))
    if fault.retryable is not None:
        headers.append(("x-should-retry", "true" if fault.retryable else "false"))
    return fault.status, headers, _body(dialect, fault)


def render_stream_fault(
    dialect: str, fault: Fault, *, array: bool = False, first: bool = False, number: int | None = None
) -> bytes:
    """The error as the last bytes of a stream that already began.

    `array`: a Gemini stream without alt=sse. `first`: nothing of the array was sent before, not even "[".
    `number`: the event's, in the Responses API.
    """
    if number is not None:
        # The members of OpenAI's reference, and beside them the object for which its SDK for Python raises.
        error = openai_error(fault)
        event = {**error, "type": "error", "sequence_number": number, "error": error}
        return b"event: error\ndata: %b\n\n" % orjson.dumps(event)
    body = _body(dialect, fault)
    if dialect == ANTHROPIC:
        return b"event: error\ndata: " + body + b"\n\n"
    if array:
        return (b"[" if first else b",") + body + b"]"
    return b"data: " + body + b"\n\n"


def _body(dialect: str, fault: Fault) -> bytes:
    if dialect == GEMINI:
        return orjson.dumps({"error": google_error(fault)})
    if dialect == ANTHROPIC:
        return orjson.dumps({"type": "error", "error": anthropic_error(fault)})
    return orjson.dumps({"error": openai_error(fault)})


def anthropic_error(fault: Fault) -> dict[str, Any]:
    """Anthropic names the kind of an error and says it; what else we know stands beside that."""
    kind = ANTHROPIC_TYPES.get(fault.status) or ("api_error" if fault.status >= 500 else "invalid_request_error")
    extra = {name: value for name, value in fault.details.items() if name != "google"}
    return {"type": kind, "message": fault.message, "code": fault.code, "param": fault.param, **extra}


def openai_error(fault: Fault) -> dict[str, Any]:
    kind = fault.type or OPENAI_TYPES.get(fault.status)
    if kind is None:
        kind = "server_error" if fault.status >= 500 else "invalid_request_error"
    extra = {name: value for name, value in fault.details.items() if name != "google"}
    return {"message": fault.message, "type": kind, "param": fault.param, "code": fault.code, **extra}
