"""Keys with their secrets, piece by piece, for who may have them in full."""

from __future__ import annotations

from collections.abc import Sequence

import gevent

from pool.adapters import queries
from pool.core.faults import Fault
from pool.web.bulk import SLICE, Selection, hints, named
from pool.web.here import audit, keypool, read
from pool.web.key_formats import Whole

MOST = 10_000
PIECE = 50
"""Keys unsealed between two yields of the hub."""

MEDIA = {"lines": "text/plain", "csv": "text/csv", "json": "application/json", "env": "text/plain"}


def rows_of(selection: Selection) -> list[queries.KeyRow]:
    """Raises `Fault` 400 where they are too many to be copied."""
    if selection.wanted is None:
        return read(queries.some_keys, selection.ids)
    rows = read(queries.key_page, selection.wanted, size=MOST + 1)
    if len(rows) > MOST:
        message = f"These are more than {MOST:,} keys. Narrow them down, or ask for an export."
        raise Fault(400, "invalid_value", message, param="query", retryable=False)
    return rows


def wholes(rows: Sequence[queries.KeyRow]) -> list[Whole]:
    found = []
    for at in range(0, len(rows), PIECE):
        piece = rows[at : at + PIECE]
        secrets = keypool().inventory.secrets([row.id for row in piece])
        found += [Whole(row, secrets[row.id]) for row in piece if row.id in secrets]
        gevent.sleep(0)
    return found


def note_copy(rows: Sequence[queries.KeyRow], form: str) -> None:
    """In the trail: which keys, or how many, left in full."""
    masks = hints(rows) if len(rows) <= SLICE else len(rows)
    audit("key.copy", named(rows) if rows else "0 keys", after={"keys": masks, "format": form})
