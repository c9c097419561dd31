"""Importing keys by programs, and taking imports back: `/admin/keys/import`, `/admin/imports`."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from flask import Response, request
from pydantic import Field
from werkzeug.formparser import MultiPartParser

from pool.adapters import queries
from pool.core.catalogue import Pool
from pool.core.faults import Fault
from pool.core.heap import uncollected
from pool.core.importing_words import tags_of
from pool.core.masking import mask
from pool.explaining import find_pool
from pool.importing_keys import Candidate, Wish
from pool.jobs import Progress
from pool.web.api.answers import answer
from pool.web.api.operations import JSON, Asked, Told, checked, operation
from pool.web.api.taking_in import JobBegun, begun
from pool.web.here import aside, keypool, read
from pool.web.importing import KIND, MOST_AT_ONCE, MOST_BYTES, decoded, taking_back, taking_in
from pool.web.proxy.body import read_body
from pool.web.proxy.multipart import boundary_of

FORM = "multipart/form-data"
TEXTS = ("text/plain", "text/csv", "text/tab-separated-values", "application/octet-stream")

LISTED = 500


class WishAsked(Asked):
    pool: str | int | None = Field(None, description="Which pool they join: its id or name; else `default`.")
    provider: str | None = Field(None, max_length=60, description="Whose keys they are; else their shape tells.")
    unknown: str | None = Field(
        None, max_length=60, description="Whose those of unknown shape are; else `openai`. Empty: they are left out."
    )
    tags: list[str] | str = Field([], description="Tags of all of them: a list, or a text with commas.")
    project: str = Field("", max_length=200)
    weight: int | None = Field(None, ge=0, le=100, description="For keys that name none themselves.")
    name: str = Field("", max_length=200, description="What to call the import: a file's name.")


class ImportAsked(WishAsked):
    dry_run: bool = Field(False, description="Answer the preview; nothing changes.")
    wait: bool = Field(False, description="Answer when all of them are in, however many there are.")
    limit: int = Field(LISTED, ge=0, le=LISTED, description="Rows of the preview.")
    after: int = Field(0, ge=0, description="`next` of the preview before.")


class ImportBody(WishAsked):
    text: str = Field(description="Whatever holds keys: see above.")
    take: list[int] | None = Field(None, description="The `index` of the rows to take; else all that can be taken.")


class RowTold(Told):
    index: int
    line: int
    key: str
    provider: str
    fate: str = Field(
        description="`new`, `linked` (known; joins the pool), `restored` (from the bin), `here` (in the pool already), "
        "`twice`, `impossible`, `left_out`."
    )
    problem: str
    pools: list[str]
    name: str
    email: str
    note: str
    project: str
    tags: list[str]
    weight: int


class PreviewTold(Told):
    success: bool
    dry_run: bool
    message: str
    pool_id: int
    pool_name: str
    total: int
    takeable: int
    unsure: int = Field(description="How many of them have an unfamiliar shape.")
    counts: dict[str, int]
    rows: list[RowTold]
    next: str | None


class RejectTold(Told):
    line: int
    problem: str


class ImportedTold(Told):
    success: bool
    message: str
    import_id: int | None = Field(description="To take it back with; null where nothing came in.")
    pool_id: int
    pool_name: str
    imported: int
    fates: dict[str, int] = Field(description="`added`, `linked`, `restored`, `duplicate`.")
    counts: dict[str, int] = Field(description="Rows that were not taken: `here`, `twice`, `impossible`, `left_out`.")
    rejected: int
    rejects: list[RejectTold]


@operation(
    "POST", "/admin/keys/import", tag="imports", summary="Import keys", body=ImportBody, query=ImportAsked,
    answers={200: ImportedTold | PreviewTold, 202: JobBegun}, takes=(JSON, *TEXTS, FORM), most_bytes=MOST_BYTES,
    example={"text": "somebody@example.com:AIza…\nsk-…|5", "pool": "default", "tags": ["paid"]},
)  # fmt: skip
@uncollected()
def import_keys(query: ImportAsked, body: ImportBody | None) -> Response:
    """Takes a text of any form: lines, commas, cells of a spreadsheet, CSV with a header, JSON, `.env`, `email:key`,
    `key|weight`, prose, and the exports of other gateways.

    It comes as `text` of a JSON object, as the body itself, or as `file` in a form. Look first with `?dry_run=1`.
    More than 5,000 keys are taken in by a job. Every import has an id to take it back with.
    """
    sent = body or checked(ImportBody, {**_from_elsewhere()})
    wish = wish_of({**query.model_dump(exclude_unset=True), **sent.model_dump(exclude_unset=True)})
    candidates = keypool().importer.candidates(sent.text, wish)
    sums = keypool().importer.sums(candidates)
    if query.dry_run:
        return _preview(candidates, sums, wish.pool, query)
    take = frozenset(sent.take) if sent.take is not None else None
    work = taking_in(
        candidates, lambda each: take is None or each.index in take, wish.pool, "api", sent.name or query.name
    )  # fmt: skip
    total = sums.takeable if take is None else min(len(take), sums.takeable)
    if total > MOST_AT_ONCE and not query.wait:
        return begun(KIND, work, total)
    return answer(_imported(work(Progress(total))))


def wish_of(said: Mapping[str, Any]) -> Wish:
    """Raises `Fault`: 404 for a pool, 400 for a provider there is not."""
    catalogue = keypool().catalogue
    pool = find_pool(catalogue, str(said.get("pool") or ""))
    if pool is None:
        raise Fault(404, "pool_not_found", f"There is no pool {said['pool']!r}.", param="pool", retryable=False)
    provider, unknown = said.get("provider") or "", said.get("unknown")
    unknown = "openai" if unknown is None else unknown
    for name, slug in (("provider", provider), ("unknown", unknown)):
        if slug and slug not in catalogue.providers:
            message = f"`{name}` must be one of {', '.join(catalogue.providers)}."
            raise Fault(400, "invalid_value", message, param=name, retryable=False)
    tags = said.get("tags") or ""
    words = tags_of(tags if isinstance(tags, str) else ",".join(tags))
    return Wish(pool, provider, unknown, words, said.get("project") or "", said.get("weight"))


def _from_elsewhere() -> dict[str, Any]:
    """What a body says that is no JSON: the text alone, or the fields of a form."""
    sent = read_body(request.environ, MOST_BYTES)
    boundary = boundary_of(request.headers.get("Content-Type", ""))
    if boundary is None:
        return {"text": aside(decoded, sent)}
    form = _fields(sent, boundary)
    take = form.pop("take", None)
    return form if not take else {**form, "take": take.split(",")}


def _in_memory(
    total_content_length: int | None, content_type: str | None, filename: str | None, content_length: int | None = None
) -> BytesIO:
    return BytesIO()


def _fields(sent: bytes, boundary: bytes) -> dict[str, Any]:
    """A form's fields; its file stands for the text. All of it stays in memory: the keys must not come to a disk."""
    parser = MultiPartParser(stream_factory=_in_memory, max_form_memory_size=MOST_BYTES)
    try:
        fields, files = aside(lambda: parser.parse(BytesIO(sent), boundary, len(sent)))
    except ValueError:
        raise Fault(400, "invalid_body", "The form is not framed as it should be.", retryable=False) from None
    form: dict[str, Any] = fields.to_dict()
    file = files.get("file")
    if file is not None:
        form["text"] = "\n".join(filter(None, (form.get("text"), decoded(file.read()))))
        form.setdefault("name", (file.filename or "")[:200])
    return form


def _preview(candidates: list[Candidate], sums: Any, pool: Pool, query: ImportAsked) -> Response:
    rows = candidates[query.after : query.after + query.limit]
    more = query.after + len(rows) < len(candidates)
    response = answer(
        {
            "success": True, "dry_run": True, "message": f"{sums.takeable} of {len(candidates)} rows can be taken.",
            "pool_id": pool.id, "pool_name": pool.name, "total": len(candidates), "takeable": sums.takeable,
            "unsure": sums.unsure, "counts": sums.counts, "rows": [_row(each) for each in rows],
            "next": str(query.after + len(rows)) if more and rows else None,
        }
    )  # fmt: skip
    keypool().importer.forget(candidates)
    return response


def _row(each: Candidate) -> dict[str, Any]:
    row = each.row
    return {
        "index": each.index, "line": row.line, "key": mask(row.secret) if row.secret else "", "provider": row.provider,
        "fate": each.fate, "problem": row.problem, "pools": each.pools, "name": row.name, "email": row.email,
        "note": row.note, "project": row.project, "tags": row.tags, "weight": row.weight,
    }  # fmt: skip


def _imported(told: Mapping[str, Any]) -> dict[str, Any]:
    fates = told["fates"]
    imported = sum(number for fate, number in fates.items() if fate != "duplicate")
    return {"success": True, "message": f"{imported} keys are imported.", "imported": imported, **told}


class ImportsAsked(Asked):
    limit: int = Field(50, ge=1, le=LISTED)
    after: int = Field(0, ge=0, description="`next` of the page before.")


class ImportTold(Told):
    id: int
    created_at: float
    who: str
    origin: str
    name: str
    pool_id: int | None
    pool_name: str
    counts: dict[str, int]
    job_id: int | None
    ended_at: float | None = Field(description="Null while it is under way, and where it was cut short.")
    undone_at: float | None
    under_way: bool


class OneImportTold(ImportTold):
    keys_left: int = Field(description="Keys it made or brought back that are in use.")
    links_left: int
    changed_since: list[int] = Field(description="Keys it made that somebody changed since, up to 1,000.")


class ImportsTold(Told):
    imports: list[ImportTold]
    next: str | None


class UndoBody(Asked):
    force: bool = Field(False, description="Take back what was changed since, too.")


class UndoAsked(Asked):
    wait: bool = Field(False, description="Answer when it is done, however many keys there are.")


class UndoneTold(Told):
    success: bool
    message: str
    import_id: int
    removed: int = Field(description="Keys that are in the bin now.")
    unlinked: int = Field(description="Keys that left the pool, and are in use elsewhere.")
    kept: int = Field(description="Keys that were changed since, and are left as they are.")
    kept_ids: list[int] = Field(description="Up to 1,000 of those.")


@operation(
    "GET", "/admin/imports", tag="imports", summary="Imports, newest first", query=ImportsAsked,
    answers={200: ImportsTold},
)  # fmt: skip
def list_imports(query: ImportsAsked) -> Response:
    """Every paste, file and batch that brought keys."""
    rows = read(queries.import_page, after=query.after, size=query.limit + 1)
    page = rows[: query.limit]
    return answer({"imports": [_told(row) for row in page], "next": str(page[-1].id) if rows[len(page) :] else None})


@operation("GET", "/admin/imports/<int:import_id>", tag="imports", summary="One import", answers={200: OneImportTold})
def show_import(import_id: int) -> Response:
    """With what is left of it: that is what undoing takes back, but for keys that were changed since."""
    row, left = _one(import_id), read(queries.left_of, import_id)
    more = {"keys_left": left.keys, "links_left": left.links, "changed_since": left.changed}
    return answer({**_told(row), **more})


@operation(
    "POST", "/admin/imports/<int:import_id>/undo", tag="imports", summary="Take an import back", body=UndoBody,
    query=UndoAsked, answers={200: UndoneTold, 202: JobBegun},
)  # fmt: skip
def undo_import(import_id: int, body: UndoBody, query: UndoAsked) -> Response:
    """Removes the keys and links it made, and only those: the keys go to the bin. Keys that somebody changed since are
    left as they are, and named, unless `force` says otherwise.

    One that is under way, or was undone, is 409.
    """
    row = _one(import_id)
    if row.under_way:
        raise _refused("import_under_way", f"Import {import_id} is under way; cancel job {row.job_id} first.")
    if row.undone_at is not None and not body.force:
        raise _refused("already_undone", f"Import {import_id} was undone already.")
    work, total = taking_back(import_id, body.force), sum(row.counts.values())
    if total > MOST_AT_ONCE and not query.wait:
        return begun("import.undo", work, total)
    progress = Progress(total)
    fates = work(progress)["fates"]
    numbers = {fate: fates.get(fate, 0) for fate in ("removed", "unlinked", "kept")}
    message = "{removed} keys are in the bin, {unlinked} left the pool, {kept} are kept.".format(**numbers)
    kept = progress.rows.get("kept", [])
    return answer({"success": True, "message": message, "import_id": import_id, **numbers, "kept_ids": kept})


def _one(import_id: int) -> queries.ImportRow:
    row = read(queries.import_row, import_id)
    if row is None:
        message = f"There is no import {import_id}."
        raise Fault(404, "import_not_found", message, param="import_id", retryable=False)
    return row


def _refused(code: str, message: str) -> Fault:
    return Fault(409, code, message, param="import_id", retryable=False)


def _told(row: queries.ImportRow) -> dict[str, Any]:
    return {name: row.at if name == "created_at" else getattr(row, name) for name in ImportTold.model_fields}
