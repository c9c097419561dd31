"""Everything as text, and back: `GET /admin/export` with masks, `POST /admin/export` in full, `POST /admin/import`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from flask import Response, request
from pydantic import Field, model_validator

from pool.adapters.queries.exports import export_frame, export_keys
from pool.core.documents import BadDocument, parse_document
from pool.core.faults import Fault
from pool.core.heap import uncollected
from pool.version import VERSION
from pool.web import export_formats as formats
from pool.web.api.key_shapes import pool_of
from pool.web.api.operations import JSON, Asked, checked, operation
from pool.web.api.receiving import BYTES
from pool.web.api.taking_in import ANSWERS, TakingAsked, taken_in
from pool.web.api.unlocking import unlock
from pool.web.here import aside, audit, keypool
from pool.web.proxy.body import read_body

PAGE = 400
MOST_BYTES = 200_000_000
MEDIA = {"json": JSON, "csv": "text/csv", "lines": "text/plain", "env": "text/plain"}
ENDINGS = {"json": "json", "csv": "csv", "lines": "txt", "env": "env"}


class ExportAsked(Asked):
    format: Literal["json", "csv", "lines", "env"] = Field("json", description="`lines` and `env` have keys alone.")
    what: Literal["all", "keys", "pools", "clients", "providers", "settings"] | None = Field(
        None, description="`all` for JSON, `keys` for the others, where nothing is said."
    )
    pool: str | None = Field(None, max_length=200, description="Only the keys of this pool (id or name).")

    @property
    def part(self) -> str:
        return self.what or ("all" if self.format == "json" else "keys")

    @model_validator(mode="after")
    def _fits(self) -> ExportAsked:
        if self.format in ("lines", "env") and self.part != "keys":
            raise ValueError(f"`{self.format}` has keys alone, so `what` must be `keys`")
        if self.format == "csv" and self.part == "all":
            raise ValueError("CSV is one table: say which as `what`")
        return self


class FullExportAsked(ExportAsked):
    password: str | None = Field(None, max_length=1000, description="The admin's; not where it was typed lately.")


class ExportTakingAsked(TakingAsked):
    product: Literal["gpt-load", "gemini-balance", "one-api"] | None = Field(
        None, description="Whose database it was made of: the command line reads those itself."
    )


@operation(
    "GET", "/admin/export", tag="export", summary="Everything, with masks", query=ExportAsked, answers={200: None},
    media=tuple(dict.fromkeys(MEDIA.values())),
)  # fmt: skip
def export_masked(query: ExportAsked) -> Response:
    """Providers, pools, client keys, settings and keys, their secrets as `prefix8...suffix4`. Taking it back in changes
    no secret."""
    return _export(query, False)


@operation(
    "POST", "/admin/export", tag="export", summary="Everything, in full", body=FullExportAsked, query=ExportAsked,
    answers={200: None}, media=tuple(dict.fromkeys(MEDIA.values())), example={"password": "…", "format": "json"},
)  # fmt: skip
def export_whole(query: ExportAsked, body: FullExportAsked) -> Response:
    """The same with keys, auth keys and proxies in full: with the admin password, or where it was typed within ten
    minutes in this session. What is wanted may be said in the body or in the query. Client keys are stored as digests,
    so that only a backup moves them."""
    unlock(body.password)
    said = query.model_dump(exclude_unset=True) | body.model_dump(exclude_unset=True, exclude={"password"})
    wanted = checked(ExportAsked, said)
    pool_id = pool_of(wanted.pool) if wanted.pool else None
    thing = "export" if pool_id is None else f"pool {pool_id}"
    audit("export.write", thing, after={"format": wanted.format, "what": wanted.part})
    return _export(wanted, True)


@operation(
    "POST", "/admin/import", tag="export", summary="Take an export in", query=ExportTakingAsked, answers=ANSWERS,
    takes=(BYTES,),
)  # fmt: skip
@uncollected()
def import_export(query: ExportTakingAsked) -> Response:
    """The body is the JSON of an export, as it is or as a file. What is here already stays as it is: providers are told
    by their slug, pools by their name, keys by themselves. A masked key changes nothing. With `dry_run` the answer says
    what would be done; more than 5,000 keys are taken in by a job unless `wait` is set.
    """
    body = read_body(request.environ, MOST_BYTES)
    try:
        document = aside(parse_document, body)
    except BadDocument as error:
        code = "invalid_value" if error.place else "invalid_json"
        raise Fault(400, code, str(error), param=error.place or None, retryable=False) from None
    return taken_in(document, query, "moved" if query.product else "file", query.product)


def _export(asked: ExportAsked, whole: bool) -> Response:
    app, pool_id = keypool(), pool_of(asked.pool) if asked.pool else None
    response = Response(_text(app, asked, whole, pool_id), content_type=MEDIA[asked.format])
    name = time.strftime(f"keypool-{asked.part}-%Y-%m-%d.{ENDINGS[asked.format]}", time.gmtime())
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _text(app: Any, asked: ExportAsked, whole: bool, pool_id: int | None) -> Iterator[bytes]:
    """Nothing of the request is needed: it is over when this runs."""
    pages = _pages(app, whole, pool_id)
    match asked.format:
        case "lines":
            return formats.as_lines(pages)
        case "env":
            return formats.as_env(pages)
        case "csv" if asked.part == "keys":
            return formats.keys_as_csv(pages)
        case "csv":
            return formats.as_csv(_frame(app, whole)[asked.part])
    about = {"version": VERSION, "made_at": time.time(), "masked": not whole}
    frame = {} if asked.part == "keys" else _frame(app, whole)
    if asked.part in formats.SECTIONS:
        return formats.as_json({**about, asked.part: frame[asked.part]}, None)
    return formats.as_json({**about, **frame}, pages)


def _frame(app: Any, whole: bool) -> dict[str, Any]:
    frame = app.database.read(export_frame)
    for name in ("providers", "pools", "clients"):
        frame[name] = aside(_bared, frame[name], app.vault.decrypt, whole)
    return frame


def _pages(app: Any, whole: bool, pool_id: int | None) -> Iterator[Sequence[formats.Row]]:
    after = 0
    while page := app.database.read(export_keys, after, PAGE, pool_id):
        yield aside(_bared, page, app.vault.decrypt, whole)
        after = page[-1]["id"]


def _bared(rows: Sequence[formats.Row], opened: Callable[[bytes], str], whole: bool) -> list[formats.Row]:
    return [formats.bared(row, opened, whole) for row in rows]
