"""Google's error object: written from a `Fault`, and what only Google says in one.

Source: https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
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

NUMBERS = {word: number for number, word in reversed(STATUSES.items())} | {
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "DATA_LOSS": 500,
    "UNKNOWN": 500,
    "UNAVAILABLE": 503,
}
"""The status of each word, where a body has no other."""

REASONS = {"invalid_api_key": "API_KEY_INVALID"}
"""Our codes that Google has its own word for; all others go out in upper case."""

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


_CONSUMER = re.compile(r"projects?[/:]([0-9]{1,20})")
_SAID_OF_PROJECT = re.compile(
    r"[\w ]{1,80} API has not been used in project ([0-9]{4,20}) before or it is disabled\b|"
    r"Quota exceeded for quota (?:metric|group) '[^']{1,200}' and limit '[^']{1,200}' of service '[^']{1,100}' "
    r"for consumer '(?:project_number:|projects/)([0-9]{1,20})'|"
    r"Permission denied on resource project ([0-9]{4,20})\.|"
    r"This API method requires billing to be enabled\. Please enable billing on project #([0-9]{4,20})\b"
)
"""Google's own sentences, from their beginning: further on a message may hold what the caller wrote."""


def project_of(status: str, message: str, details: Sequence[Mapping[str, Any]]) -> str:
    """The project of the key that was refused, "projects/123456"; "" where the error does not tell its number."""
    for detail in details:
        for name in _consumers(detail):
            if found := _CONSUMER.fullmatch(name):
                return f"projects/{found[1]}"
    found = _SAID_OF_PROJECT.match(message) if status in NUMBERS else None
    return f"projects/{next(number for number in found.groups() if number)}" if found else ""


def _consumers(detail: Mapping[str, Any]) -> list[str]:
    """Who is refused: in ErrorInfo's metadata, or as the subject of an older QuotaFailure."""
    kind, rows = str(detail.get("@type", "")), detail.get("violations")
    if kind.endswith("ErrorInfo"):
        rows = [detail.get("metadata")]
    elif not kind.endswith("QuotaFailure") or not isinstance(rows, list):
        return []
    names = [row.get("consumer") or row.get("subject") for row in rows if isinstance(row, dict)]
    return [name for name in names if isinstance(name, str)]


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
