"""One file with everything an empty machine needs, under a passphrase of its own; and the way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import Database
from pool.adapters.moving import Moving
from pool.adapters.schema import revisions
from pool.adapters.vault import Vault
from pool.core.documents import Document, NotEmpty
from pool.core.heap import let_go

from . import records, restoring
from .as_document import document_of
from .envelope import BadBackup, Cost, Seal
from .restoring import Contents

__all__ = ["MERGE", "MODES", "REPLACE", "Backups", "BadBackup", "Cost", "NotEmpty"]

REPLACE, MERGE = MODES = ("replace", "merge")


class Backups:
    """Writes and restores backups.

    Handed what else must hear of a restore (`settle`), what brings the database up to date (`drain`), and how to run
    what is long in a thread (`aside`).
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        moving: Moving,
        *,
        version: str,
        drain: Callable[[], object],
        settle: Callable[[], object],
        aside: Callable[..., Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._vault = vault
        self._moving = moving
        self._version = version
        self._drain = drain
        self._settle = settle
        self._aside = aside
        self._clock = clock
        self.cost = Cost()

    def write(self, passphrase: str, usage: bool = True) -> Iterator[bytes]:
        """The bytes of a backup. Nothing waits for it: neither streams nor the database's writer."""
        self._drain()
        about = {"made_at": self._clock(), "version": self._version, "schema": revisions()[-1]}
        seal = self._aside(Seal, passphrase, about, self.cost)
        yield seal.head
        for lines in records.records(self._database, self._vault, about, usage, self._aside):
            if some := self._aside(seal.add, lines):
                yield some
        yield self._aside(seal.end)

    def read(self, path: Path, passphrase: str) -> Contents:
        """What a file holds, once all of it was looked at. Raises `BadBackup`."""
        return self._aside(restoring.contents, path, passphrase)

    def preview(self, found: Contents, mode: str | None = None) -> dict[str, Any]:
        """What a restore would do. Raises `NotEmpty` where `mode` is missing; nothing changes."""
        here = self._database.read(_counted)
        mode = _settled(mode, here)
        told = _told(found, mode, here)
        if mode == MERGE:
            document = self._document(found)
            told["merge"] = self._moving.preview(document)
            self._aside(let_go, document.keys)
        return told

    def restore(self, found: Contents, who: str, mode: str | None = None) -> dict[str, Any]:
        """Bring it back, in one transaction: all or nothing. Raises `NotEmpty`."""
        self._drain()
        here = self._database.read(_counted)
        mode = _settled(mode, here)
        told = _told(found, mode, here)
        if mode == MERGE:
            document = self._document(found)
            told["merge"] = self._database.write(self._moving.merge, document, who, self._clock())
            self._aside(let_go, document.keys)
        else:
            told["written"] = self._database.write(restoring.replace_all, self._vault, found)
        self._settle()
        return told

    def _document(self, found: Contents) -> Document:
        document: Document = self._aside(document_of, found, found.fingerprint_key == self._vault.exported())
        return document

    def settled_mode(self, mode: str | None) -> str:
        """How a restore would go. Raises `NotEmpty`."""
        return _settled(mode, self._database.read(_counted))


def _settled(mode: str | None, here: dict[str, int]) -> str:
    if mode is None and any(here.values()):
        raise NotEmpty
    return mode or REPLACE


def _told(found: Contents, mode: str, here: dict[str, int]) -> dict[str, Any]:
    return {
        "made_at": found.made_at,
        "version": found.version,
        "mode": mode,
        "rows": {name: found.rows.get(name, 0) for name in records.BY_NAME},
        "here": here,
    }


def _counted(session: Session) -> dict[str, int]:
    """What somebody put here; what every fresh machine has does not count, nor does what its environment brought."""
    key, client, pool, setting = tables.Key, tables.ClientKey, tables.Pool, tables.Setting
    wanted: dict[str, Any] = {
        "keys": select(func.count()).select_from(key).where(key.origin != "env"),
        "pools": select(func.count()).select_from(pool).where(pool.is_default.is_not(True)),
        "client_keys": select(func.count()).select_from(client).where(client.origin != "env"),
        "settings": select(func.count()).select_from(setting),
    }
    return {name: session.scalar(query) or 0 for name, query in wanted.items()}
