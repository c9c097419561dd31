"""Gemini keys in the shape of a predecessor: `/admin/keys/gemini`."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import Field

from pool.adapters import queries
from pool.core.faults import Fault
from pool.core.importing_words import Row, impossible
from pool.web.acts import Deed
from pool.web.api.answers import answer
from pool.web.api.key_actions import ActedTold, BegunTold, acted
from pool.web.api.key_shapes import LISTED, PROBLEMS, as_key_id, cursor_of, key_told, place_of
from pool.web.api.keys import TAG, ChangedTold, act
from pool.web.api.operations import Asked, Told, operation
from pool.web.bulk import Selection
from pool.web.here import audit, keypool, now, read

GEMINI = "gemini"
BEST_FIRST = queries.Order("success_rate", True)

_HEALTH = {"healthy": "healthy", "cooling": "rate_limited", "limited": "rate_limited"}


class GeminiAsked(Asked):
    limit: int = Field(LISTED, ge=1, le=LISTED)
    after: str = Field("", max_length=200, description="`next` of the page before.")


class GeminiTold(Told):
    id: int
    key: str = Field(description="Its mask.")
    status: int = Field(description="1: it may be used; 0: somebody disabled it, or it is dead.")
    health_status: str = Field(description="healthy, unknown (never used), rate_limited or unhealthy.")
    consecutive_failures: int
    last_check_time: float | None
    success_rate: float
    avg_response_time: float = Field(description="Milliseconds of its requests in the last 30 days; 0: none.")
    total_requests: int
    successful_requests: int
    created_at: float
    updated_at: float


class GeminisTold(Told):
    success: bool
    message: str
    data: list[GeminiTold]
    next: str | None


class NewGemini(Asked):
    key: Any = None


class GeminiAdded(Told):
    success: bool
    message: str
    data: None = None
    id: int


def _refused(message: str) -> Fault:
    return Fault(400, "http_400", message, type="invalid_request_error", retryable=False)


@operation("GET", "/admin/keys/gemini", tag=TAG, summary="List Gemini keys", query=GeminiAsked,
           answers={200: GeminisTold})  # fmt: skip
def list_gemini_keys(query: GeminiAsked) -> Response:
    """Masked, those that succeed most first."""
    wanted = queries.Wanted(now(), provider=GEMINI)
    rows = read(queries.key_page, wanted, BEST_FIRST, after=place_of(query.after), size=query.limit + 1)
    shown = rows[: query.limit]
    usual_ms = read(queries.latency_of, [row.id for row in shown], now() - 30 * 86_400)
    data = [_told(row, usual_ms.get(row.id, 0.0)) for row in shown]
    following = cursor_of(shown[-1], BEST_FIRST) if len(rows) > query.limit else None
    return answer({"success": True, "message": "Success", "data": data, "next": following})


def _told(row: queries.KeyRow, usual_ms: float) -> dict[str, Any]:
    told = key_told(row, now())
    health = _HEALTH.get(told["status"], "unhealthy")
    return {
        "id": row.id,
        "key": row.hint,
        "status": 1 if told["status"] not in ("disabled", "dead") else 0,
        "health_status": "unknown" if health == "healthy" and not row.requests else health,
        "consecutive_failures": 0 if told["status"] == "healthy" else 1,
        "last_check_time": row.checked_at,
        "success_rate": told["success_rate"],
        "avg_response_time": usual_ms,
        "total_requests": row.requests,
        "successful_requests": row.successes,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


@operation("POST", "/admin/keys/gemini", tag=TAG, summary="Add a Gemini key", body=NewGemini,
           answers={200: GeminiAdded}, example={"key": "AIzaSy…"})  # fmt: skip
def add_gemini_key(body: NewGemini) -> Response:
    """Into the pool `default`. Keys of every shape that Google gives out are taken."""
    if not body.key or not isinstance(body.key, str):
        raise _refused("API key is required and must be a string")
    problem = impossible(body.key.strip())
    if problem:
        raise _refused("API key is too short" if problem == "short" else PROBLEMS[problem])
    default = keypool().catalogue.default_pool_id
    (taken,) = keypool().inventory.add_keys([Row(0, body.key.strip(), GEMINI)], default, "api", "admin")
    if taken.fate == "duplicate":
        raise _refused("Failed to add Gemini key (may already exist)")
    row = read(queries.key_row, taken.key_id)
    audit("key.add", f"key {taken.key_id}", after={"key": row.hint if row else "", "result": taken.fate})
    message = "Gemini key added successfully"
    return answer({"success": True, "message": message, "data": None, "id": taken.key_id})


@operation("DELETE", "/admin/keys/gemini/<key_id>", tag=TAG, summary="Delete a Gemini key", answers={200: ChangedTold})
def delete_gemini_key(key_id: str) -> Response:
    """Into the bin, for seven days."""
    known = as_key_id(key_id)
    if known is None and not key_id.startswith("key_"):
        raise _refused("Invalid key ID")
    row = read(queries.key_row, known) if known is not None else None
    if row is None or row.provider != GEMINI:
        raise _refused("Failed to delete Gemini key")
    act(row, Deed("delete"))
    return answer({"success": True, "message": "Gemini key deleted successfully", "data": None})


class UnhealthyAsked(Asked):
    dry_run: bool = Field(False, description="Only tell how many there are.")


@operation("DELETE", "/admin/keys/gemini/unhealthy", tag=TAG, summary="Delete dead Gemini keys", query=UnhealthyAsked,
           answers={200: ActedTold, 202: BegunTold})  # fmt: skip
def delete_unhealthy(query: UnhealthyAsked) -> Response:
    """Those that Google refused for good; one that only rests stays. They are in the bin for seven days."""
    dead = queries.Wanted(now(), state="dead", provider=GEMINI)
    return acted(Deed("delete"), Selection(wanted=dead), [], query.dry_run)
