"""The log of requests: `/admin/requests`, and `/admin/logs/recent` as a predecessor had it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from flask import Response
from pydantic import Field

from pool.adapters import queries
from pool.core.faults import Fault
from pool.explaining import find_pool
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told, operation
from pool.web.api.paging import cursor, place
from pool.web.here import keypool, read

MOST = 500

Id = Annotated[int, Field(ge=1, lt=2**53)]
Moment = Annotated[float, Field(ge=0, lt=1e11, allow_inf_nan=False)]
Word = Annotated[str, Field(max_length=200)]


class LogAsked(Asked):
    pool: Word = Field("", description="By its id, its public id or its name.")
    client: Id | None = Field(None, description="The id of a client key.")
    key: Id | None = Field(None, description="The id of the key of the last attempt.")
    model: Word = Field("", description="As it was asked of the upstream.")
    status: int | None = Field(None, ge=100, le=599)
    outcome: Word = Field("", description="`ok`, or how it went wrong.")
    error_code: Word = ""
    since: Moment | None = Field(None, description="Unix seconds.")
    until: Moment | None = Field(None, description="Unix seconds; this moment itself is left out.")
    limit: int = Field(50, ge=1, le=MOST)
    after: Word = Field("", description="`next` of the page before.")


class RequestTold(Told):
    id: int
    request_id: str = Field(description="`X-Keypool-Request-Id` of the answer.")
    at: float
    pool_id: int | None
    pool: str | None
    client_id: int | None
    client: str | None
    key_id: int | None = Field(description="The key of the last attempt.")
    key: str = Field(description="Its mask.")
    operation: str
    dialect: str
    model: str = Field(description="As the client named it.")
    model_used: str
    stream: bool
    status: int
    outcome: str
    error_code: str | None
    latency_ms: int
    ttfb_ms: int | None
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_thinking: int
    estimated: bool = Field(description="No upstream told the tokens.")
    cost_usd: float
    attempts: int
    ip: str


class LoggedAttemptTold(Told):
    n: int
    key_id: int | None
    key: str
    provider: str
    why: str = Field(description="Why this key.")
    skipped: dict[str, int] = Field(description="How many others were passed over, by reason.")
    started_ms: int
    duration_ms: int
    status: int | None
    outcome: str
    blamed: str
    error: str


class OneRequestTold(RequestTold):
    tries: list[LoggedAttemptTold]


class RequestsTold(Told):
    requests: list[RequestTold]
    next: str | None


class Recent(Asked):
    limit: int = Field(100, ge=1, le=MOST)


class RecentTold(Told):
    success: bool
    logs: list[RequestTold]
    total: int = Field(description="How many are told here.")


@operation(
    "GET", "/admin/requests", tag="requests", summary="The log, newest first", query=LogAsked,
    answers={200: RequestsTold},
)  # fmt: skip
def list_requests(query: LogAsked) -> Response:
    """One row a request. Rows come about a second after the request ended, and stay for `usage_retention_days`."""
    rows = read(queries.logged_requests, _wanted(query), query.limit + 1, place(query.after))
    page = rows[: query.limit]
    more = cursor(page[-1].at, page[-1].id) if len(rows) > len(page) else None
    return answer({"requests": [told(row) for row in page], "next": more})


@operation(
    "GET", "/admin/requests/<reference>", tag="requests", summary="One request and its attempts",
    answers={200: OneRequestTold},
)  # fmt: skip
def show_request(reference: str) -> Response:
    """By its row's id, or by the `X-Keypool-Request-Id` its client was told."""
    found = read(queries.logged_request, reference)
    if found is None:
        message = f"There is no request {reference!r}, or no longer."
        raise Fault(404, "request_not_found", message, param="reference", retryable=False)
    row, tries = found
    return answer({**told(row), "tries": [asdict(each) for each in tries]})


@operation(
    "GET", "/admin/logs/recent", tag="compatible", summary="The latest requests", query=Recent,
    answers={200: RecentTold},
)  # fmt: skip
def list_recent(query: Recent) -> Response:
    """`/admin/requests` has filters and pages."""
    rows = [told(row) for row in read(queries.logged_requests, queries.LogWanted(), query.limit)]
    return answer({"success": True, "logs": rows, "total": len(rows)})


def _wanted(query: LogAsked) -> queries.LogWanted:
    pool = find_pool(keypool().catalogue, query.pool) if query.pool else None
    if query.pool and pool is None:
        # History outlives pools: an id that is gone may still have some.
        if not query.pool.isascii() or not query.pool.isdigit() or len(query.pool) > 18:
            raise Fault(404, "pool_not_found", f"There is no pool {query.pool!r}.", param="pool", retryable=False)
        pool_id = int(query.pool)
    else:
        pool_id = pool.id if pool else 0
    return queries.LogWanted(
        pool_id or None, query.client, query.key, query.model, query.status, query.outcome, query.error_code,
        query.since, query.until,
    )  # fmt: skip


def told(row: queries.LoggedRequest) -> dict[str, Any]:
    fields = asdict(row)
    fields["cost_usd"] = fields.pop("cost_nano") / 1e9
    return fields
