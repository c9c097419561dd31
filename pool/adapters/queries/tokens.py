"""Keys by their secrets: found by fingerprints, which only a secret in full leads to."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from pool.adapters.tables import Key


def ids_by_print(session: Session, fingerprints: Sequence[bytes]) -> dict[bytes, int]:
    """The ids of keys that are not in the bin."""
    found: dict[bytes, int] = {}
    for at in range(0, len(fingerprints), 500):
        some = Key.fingerprint.in_(fingerprints[at : at + 500])
        found.update((row[0], row[1]) for row in session.execute(
            select(Key.fingerprint, Key.id).where(some, Key.deleted_at.is_(None))
        ))  # fmt: skip
    return found
