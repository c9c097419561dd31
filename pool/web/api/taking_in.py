"""Taking a document in, at once or as a job: what an import of an export and of another product have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, g
from pydantic import Field

from pool.core.documents import Document
from pool.core.heap import let_go
from pool.web.api.answers import answer
from pool.web.api.key_shapes import pool_of
from pool.web.api.operations import Asked, Told
from pool.web.here import aside, auditor, keypool

MOST_AT_ONCE = 5_000
"""Keys that are taken in while somebody waits."""


class TakingAsked(Asked):
    dry_run: bool = Field(False, description="Say what would be done; nothing changes.")
    wait: bool = Field(False, description="Answer when it is done, however many keys there are.")
    pool: str | None = Field(
        None, max_length=200, description="The pool (id or name) for keys that name none; else `default`."
    )


class MovedNames(Told):
    added: list[str]
    known: int


class MovedClients(MovedNames):
    left: int = Field(description="Those that cannot be taken in.")


class MovedSettings(Told):
    set: list[str]
    known: int


class MovedKeys(Told):
    added: int
    linked: int = Field(description="Known here, and put into further pools.")
    restored: int = Field(description="Brought back from the bin.")
    duplicate: int
    masked: int = Field(description="Shown without their middle: they change nothing.")
    impossible: int


class Moved(Told):
    """What is done, or would be."""

    providers: MovedNames
    pools: MovedNames
    clients: MovedClients
    settings: MovedSettings
    keys: MovedKeys
    notes: list[str] = Field(description="What could not be carried over, in sentences.")


class TakenTold(Moved):
    success: bool
    message: str
    dry_run: bool
    import_id: int | None = Field(None, description="The import that can be undone; null where no key came.")


class JobBegun(Told):
    success: bool
    message: str
    job: int = Field(description="Its progress is at `/admin/jobs/{id}`.")


ANSWERS = {200: TakenTold, 202: JobBegun}


def taken_in(document: Document, query: TakingAsked, origin: str, product: str | None = None) -> Response:
    """Preview a document, take it in, or begin a job that does. `product`: whose database it was."""
    pool_id = pool_of(query.pool) if query.pool else None
    if query.dry_run:
        foreseen = keypool().moving.preview(document, pool_id)
        aside(let_go, document.keys)
        message = "This is what would be done; nothing has changed."
        return answer({"success": True, "message": message, "dry_run": True, **foreseen, "import_id": None})
    kind = "import.from" if product else "import.export"
    about = {"product": product} if product else {}
    work = _work(keypool(), document, pool_id, kind, origin, about, auditor())
    if query.wait or len(document.keys) <= MOST_AT_ONCE:
        return answer({"success": True, "message": "It is taken in.", "dry_run": False, **work(lambda n: None)})
    return begun(kind, lambda progress: work(progress.step), len(document.keys))


def begun(kind: str, work: Callable[[Any], Mapping[str, Any]], total: int) -> Response:
    """Have it done as a job; the answer that says so."""
    job = keypool().jobs.begin(kind, "admin", g.get("via", "session"), work, total)
    return answer({"success": True, "message": f"Job {job} is at it.", "job": job}, 202)


def _work(
    app: Any,
    document: Document,
    pool_id: int | None,
    kind: str,
    origin: str,
    about: Mapping[str, Any],
    audit: Callable[..., int],
) -> Callable[[Callable[[int], object]], dict[str, Any]]:
    """What is to be done, with nothing of the request in it."""

    def work(step: Callable[[int], object]) -> dict[str, Any]:
        try:
            told: dict[str, Any] = app.moving.take_in(document, pool_id, origin, "admin", step)
        finally:
            aside(let_go, document.keys)
        others = {name: told[name] for name in ("providers", "pools", "clients", "settings")}
        after = {**about, **told["keys"], **others}
        audit(kind, f"import {told['import_id']}" if told["import_id"] else "import", after=after)
        return told

    return work
