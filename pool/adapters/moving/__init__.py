"""Takes a whole document in: what is here already stays as it is, what is missing is added."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from pool.adapters import foreign
from pool.adapters.database import Database
from pool.adapters.inventory import Inventory
from pool.adapters.preferences import Preferences
from pool.adapters.vault import Vault
from pool.core.documents import Document, KeyEntry

from . import frame, keys
from .frame import Plan
from .keys import Batch, Counts

__all__ = ["Counts", "Moving"]

SLICE = 400
"""Keys in one transaction: proxying and other writers go on between two."""

REFRESHED = 25
"""Slices after which the catalogue takes over what came so far."""

SHOWN = 200


class Moving:
    """Merges documents: providers by slug, pools by name, client keys by what they are, keys by fingerprint."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        inventory: Inventory,
        preferences: Preferences,
        check: Callable[[str, Any], tuple[str, Any]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._vault = vault
        self._inventory = inventory
        self._preferences = preferences
        self._check = check
        self._clock = clock

    def read_file(self, product: str, path: Path, encryption_key: str = "") -> Document:
        """What another product left in an SQLite file. Raises `Unreadable`. Blocks: to be run in a thread."""
        return foreign.read_file(product, path, encryption_key)

    def read_url(self, product: str, url: str, encryption_key: str = "") -> Document:
        """The same of a database by its URL: for the command line alone."""
        return foreign.read_url(product, url, encryption_key)

    def preview(self, document: Document, pool_id: int | None = None) -> dict[str, Any]:
        """What taking it in would do; nothing changes."""
        plan = self._database.read(frame.plan, self._vault, document, pool_id, self._check)
        counts = Counts()
        seen: set[tuple[int, bytes]] = set()
        for entries in _slices(document.keys):
            for fate in self._database.read(keys.foresee, self._vault, entries, plan, seen):
                counts.count(fate)
        return told(plan, counts)

    def take_in(
        self,
        document: Document,
        pool_id: int | None,
        origin: str,
        who: str,
        step: Callable[[int], object] = lambda done: None,
    ) -> dict[str, Any]:
        """Take it in, some keys at a time, under one import that can be undone. `step` hears how many keys are done,
        and ends it by raising: what came so far stays, whole."""
        now, counts, seen = self._clock(), Counts(), set[tuple[int, bytes]]()
        plan, batch = self._database.write(self._begin, document, pool_id, origin, who, now)
        try:
            for number, entries in enumerate(_slices(document.keys), 1):
                for fate in self._database.write(keys.put, self._vault, entries, plan, seen, batch, now):
                    counts.count(fate)
                if number % REFRESHED == 0:
                    self._inventory.refresh()
                step(len(entries))
        finally:
            kept = self._database.write(keys.end, batch, counts, self._clock())
            self._inventory.refresh()
        self._preferences.change(plan.settings)
        return {**told(plan, counts), "import_id": batch.id if kept else None}

    def merge(self, session: Session, document: Document, who: str, now: float) -> dict[str, Any]:
        """The same within a caller's transaction: all or nothing. The catalogue and the settings are the caller's."""
        counts, seen = Counts(), set[tuple[int, bytes]]()
        plan, batch = self._begin(session, document, None, "backup", who, now)
        for entries in _slices(document.keys):
            for fate in keys.put(session, self._vault, entries, plan, seen, batch, now):
                counts.count(fate)
        kept = keys.end(session, batch, counts, now)
        frame.store_settings(session, plan.settings, now)
        return {**told(plan, counts), "import_id": batch.id if kept else None}

    def _begin(
        self, session: Session, document: Document, pool_id: int | None, origin: str, who: str, now: float
    ) -> tuple[Plan, Batch]:
        plan = frame.plan(session, self._vault, document, pool_id, self._check)
        frame.put(session, self._vault, plan, now)
        return plan, keys.begin(session, plan, origin, who, now)


def _slices(entries: Sequence[KeyEntry]) -> Iterator[Sequence[KeyEntry]]:
    return (entries[at : at + SLICE] for at in range(0, len(entries), SLICE))


def told(plan: Plan, counts: Counts) -> dict[str, Any]:
    """What is done or would be done, in figures and names."""
    return {
        "providers": {"added": [each.slug for each in plan.providers], "known": plan.known_providers},
        "pools": {"added": [each.name for each in plan.pools], "known": plan.known_pools},
        "clients": {"added": [each.name for each in plan.clients], "known": plan.known_clients,
                    "left": plan.left_clients},
        "settings": {"set": sorted(plan.settings), "known": plan.known_settings},
        "keys": counts.as_dict(),
        "notes": list(plan.notes[:SHOWN]),
    }  # fmt: skip
