"""What the import page and the import of the API do alike: decode what was sent, and have its keys taken in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pool.core.catalogue import Pool
from pool.importing_keys import Candidate
from pool.jobs import Progress
from pool.web.here import auditor, keypool

MOST_BYTES = 50_000_000

MOST_AT_ONCE = 5_000
"""Keys that are taken in while somebody waits; more of them are a job."""

KIND = "import"


def decoded(content: bytes) -> str:
    """A file's text. Spreadsheets save "Unicode text" as UTF-16."""
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if wide else "utf-8", "replace")


def taking_in(
    candidates: list[Candidate],
    wanted: Callable[[Candidate], bool],
    pool: Pool,
    origin: str,
    name: str = "",
    end: Callable[[Mapping[str, Any] | None], None] = lambda told: None,
) -> Callable[[Progress], dict[str, Any]]:
    """The work of taking the wanted keys in, with nothing of the request in it.

    `end` is told what came of it, or None where it was cancelled or failed.
    """
    take_in, audit = keypool().importer.take_in, auditor()
    about = {"pool_id": pool.id, "origin": origin, "who": "admin", "name": name}

    def work(progress: Progress) -> dict[str, Any]:
        told: dict[str, Any] | None = None
        try:
            told = {"pool_id": pool.id, "pool_name": pool.name, **take_in(candidates, wanted, about, progress)}
        finally:
            batch_id = (progress.undo or {}).get("import")
            audit("key.import", f"pool {pool.id}", after={"pool": pool.name, "import": batch_id, **progress.fates})
            end(told)
        return told

    return work


def taking_back(import_id: int, forced: bool) -> Callable[[Progress], dict[str, Any]]:
    """The work of undoing an import."""
    inventory, audit = keypool().inventory, auditor()

    def work(progress: Progress) -> dict[str, Any]:
        undoing = inventory.undo_import(import_id, forced)
        progress.total = len(undoing.key_ids)
        try:
            for fates in undoing.slices():
                for fate, ids in fates.items():
                    progress.note(fate, len(ids), ids)
                progress.step(sum(map(len, fates.values())))
        finally:
            audit("import.undo", f"import {import_id}", after=dict(progress.fates))
        return {"import_id": import_id, "fates": dict(progress.fates)}

    return work
