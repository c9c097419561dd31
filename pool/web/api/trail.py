"""The audit trail: `/admin/audit`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from flask import Response
from pydantic import Field

from pool.adapters import queries
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told, operation
from pool.web.api.paging import cursor, place
from pool.web.here import read

Moment = Annotated[float, Field(ge=0, lt=1e11, allow_inf_nan=False)]
Word = Annotated[str, Field(max_length=200)]


class TrailAsked(Asked):
    action: Word = Field("", description="`keys.disable`; what ends in a dot or a star stands for all that begin so.")
    object: Word = Field("", description="`key 7`, `pool 3`, `settings`…")
    who: Word = ""
    since: Moment | None = Field(None, description="Unix seconds.")
    until: Moment | None = Field(None, description="Unix seconds; this moment itself is left out.")
    limit: int = Field(50, ge=1, le=500)
    after: Word = Field("", description="`next` of the page before.")


class EntryTold(Told):
    id: int
    at: float
    who: str
    via: str = Field(description="By which credential.")
    ip: str
    action: str
    object: str
    before: dict[str, Any] | None = Field(description="What was there, secrets masked.")
    after: dict[str, Any] | None


class TrailTold(Told):
    audit: list[EntryTold]
    next: str | None


@operation(
    "GET", "/admin/audit", tag="audit", summary="Every change, newest first", query=TrailAsked,
    answers={200: TrailTold},
)  # fmt: skip
def list_trail(query: TrailAsked) -> Response:
    """Who changed what, how they came in, from where, and what was there before."""
    given = query.model_dump(exclude={"limit", "after"})
    rows = read(queries.trail_page, queries.TrailWanted(**given), query.limit + 1, place(query.after))
    page = rows[: query.limit]
    more = cursor(page[-1].at, page[-1].id) if len(rows) > len(page) else None
    return answer({"audit": [asdict(row) for row in page], "next": more})
