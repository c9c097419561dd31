"""Several keys in full, by the password: `POST /admin/keys/copy`."""

from __future__ import annotations

from typing import Literal

from flask import Response
from pydantic import Field

from pool.web.api.key_actions import Selected
from pool.web.api.keys import TAG
from pool.web.api.operations import operation
from pool.web.api.unlocking import unlock
from pool.web.here import aside
from pool.web.key_formats import FORMATS
from pool.web.wholes import MEDIA, note_copy, rows_of, wholes


class CopyAsked(Selected):
    format: Literal["lines", "csv", "json", "env"] = "lines"
    password: str | None = Field(None, max_length=1_000, description="Needed unless typed in this session lately.")


@operation(
    "POST", "/admin/keys/copy", tag=TAG, summary="Copy keys in full", body=CopyAsked,
    media=("text/plain", "text/csv", "application/json"), example={"ids": [7, 8], "format": "lines", "password": "…"},
)  # fmt: skip
def copy_keys(body: CopyAsked) -> Response:
    """Up to 10,000 keys as lines, CSV, JSON or `.env`, and a line in the trail. An export takes more."""
    selection, _unknown = body.selection()
    unlock(body.password)
    rows = rows_of(selection)
    found = wholes(rows)
    note_copy(rows, body.format)
    return Response(aside(FORMATS[body.format], found), content_type=f"{MEDIA[body.format]}; charset=utf-8")
