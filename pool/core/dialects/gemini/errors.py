"""Google's error object, written from a `Fault`.

Source: https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from pool.core.faults import Fault

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

REASONS = {"invalid_api_key": "API_KEY_INVALID"}
"""Our codes that Google has its own word for; all others go out in upper case."""

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def google_error(fault: Fault) -> dict[str, Any]:
    """The object under "error". An error of Google's own keeps its status word and details."""
    theirs = fault.details.get("google") or {}
    status = theirs.get("status") or STATUSES.get(fault.status)
    if status is None:
        status = "INTERNAL" if fault.status >= 500 else "INVALID_ARGUMENT"
    details = theirs["details"] if theirs else _our_details(fault)
    error = {"code": fault.status, "message": fault.message, "status": status}
    if details:
        error["details"] = details
    return error


def _our_details(fault: Fault) -> list[dict[str, Any]]:
    info: dict[str, Any] = {
        "@type": ERROR_INFO,
        "reason": REASONS.get(fault.code, fault.code.upper()),
        "domain": "keypool",
    }
    # ErrorInfo.metadata is a map of strings.
    metadata = {name: _as_text(value) for name, value in fault.details.items()}
    if fault.param:
        metadata["param"] = fault.param
    if metadata:
        info["metadata"] = metadata
    details = [info]
    if fault.retry_after_s is not None:
        details.append({"@type": RETRY_INFO, "retryDelay": f"{max(1, math.ceil(fault.retry_after_s))}s"})
    return details


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
