"""How management answers: JSON, and errors in the union of the shapes its predecessors' clients look for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import gevent
import orjson
from flask import Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from pool.core.calls import OPENAI
from pool.core.dialects import render_fault
from pool.core.dialects.errors import openai_error
from pool.core.faults import Fault
from pool.core.heap import uncollected
from pool.web.proxy.body import parse_object, read_body
from pool.web.tracing import trace_of

T = TypeVar("T")

PIECE = 50
"""Rows between two looks at what else is to be done."""

PREFIXES = ("/admin/", "/api/")
"""Below these even what does not exist is answered in JSON."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

MOST_BODY_BYTES = 1_000_000

_WORDS = {
    400: ("invalid_request", "The request could not be understood."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not answer to {method}; use {allow}."),
    413: ("request_too_large", "That is more than one request may carry."),
    415: ("unsupported_media_type", "Send the body as JSON."),
    500: ("internal_error", "Keypool failed; its log knows more."),
}


def answer(payload: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(payload), status, content_type="application/json")


def gradually(rows: Iterable[T], told: Callable[[T], Any]) -> list[orjson.Fragment]:
    """Each of many rows as it is told, for `answer`. Streams go on meanwhile, and no pile of values is left to free."""
    found = []
    with uncollected():
        for n, row in enumerate(rows, 1):
            found.append(orjson.Fragment(orjson.dumps(told(row))))
            if n % PIECE == 0:
                gevent.sleep(0.001)
    return found


def refusal(fault: Fault) -> Response:
    """`{"success": false, "message", "error": {"message", "type", "code", "param"?}}`, details beside the code."""
    status, headers, _ = render_fault(OPENAI, fault)
    error = openai_error(fault)
    if error["param"] is None:
        del error["param"]
    response = answer({"success": False, "message": fault.message, "error": error}, status)
    response.headers.update([*headers, *fault.headers])
    return response


def refusal_of(error: HTTPException) -> Response:
    """An error that Flask found, before or beside the views."""
    status = error.code or 500
    code, words = _WORDS.get(status, ("error", error.description or "The request could not be understood."))
    allow = ", ".join(sorted(error.valid_methods or ())) if isinstance(error, MethodNotAllowed) else ""
    trace = trace_of(error)
    words, more = words.format(method=request.method, allow=allow), {"trace": trace} if trace else None
    fault = Fault(status, code, words, retryable=False, details=more)
    if allow:
        fault.headers.append(("Allow", allow))
    return refusal(fault)


def asked(most_bytes: int = MOST_BODY_BYTES, optional: bool = False) -> dict[str, Any]:
    """The JSON object a request carries. Raises `Fault`: 400 for anything else, 408, 413.

    `optional`: nothing at all stands for an object without members.
    """
    # Not by Flask: its own limit cuts a chunked body short, and says nothing.
    body = read_body(request.environ, most_bytes)
    return {} if optional and not body else parse_object(body)
