"""Beginning anew: what was counted of keys, what they rest for, their errors, their figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from pool.adapters import tables
from pool.adapters.database import Database
from pool.adapters.queries import spent
from pool.adapters.upserts import insert_into, upsert
from pool.core.catalogue import DEAD, DISABLED, LIMITED, Catalogue
from pool.core.periods import month_began
from pool.core.quota import last_reset
from pool.core.records import release_line
from pool.core.state import Word

from .keys import pieces, update_keys

PLACE = ("owner", "owner_id", "model", "window", "window_start")
FIGURES = ("requests", "successes", "errors", "tokens", "cost_nano")


class Resets:
    """The part of `Inventory` that lets keys begin anew."""

    _database: Database
    _catalogue: Catalogue
    _clock: Callable[[], float]
    _remember: Callable[[bytes], None]
    announce: Callable[[Word], None]

    def forgive_requests(self, key_ids: Sequence[int], quota_reset: str) -> None:
        """What keys were asked so far counts for no cap any more, also after a restart; figures stay."""
        now = self._clock()
        began = last_reset(now, quota_reset), month_began(now)
        self._database.write(forgive, list(key_ids), *began)
        for key_id in key_ids:
            key = self._catalogue.keys.get(key_id)
            if key is not None and (key.max_requests is not None or key.limits):
                self.announce(Word(key_id, LIMITED, 0.0))

    def end_cooldowns(self, key_ids: Sequence[int]) -> int:
        """Use keys again that rest; those that are dead or disabled stay so. How many rested."""
        ended = 0
        for key_id in key_ids:
            benches = self._catalogue.benches(key_id)
            rests = [model for model, bench in benches.items() if bench.reason not in (DEAD, DISABLED, LIMITED)]
            for model in rests:
                # Into the journal too: what it holds of them already is drained after this transaction.
                self._remember(release_line(key_id, model, self._clock()))
                self.announce(Word(key_id, "", 0.0, model))
            ended += bool(rests)
        self._database.write(forget_health, list(key_ids))
        return ended

    def forget_errors(self, key_ids: Sequence[int]) -> None:
        """The count of errors, and the last one's words."""
        values = {"errors": 0, "last_error": "", "last_error_at": None}
        self._database.write(update_keys, list(key_ids), values)

    def forget_figures(self, key_ids: Sequence[int]) -> None:
        """The totals of keys. What is kept by the hour, and the log, stay; so do the counts of caps."""
        self._database.write(forget_figures, list(key_ids))


def forgive(session: Session, key_ids: list[int], day_began: float, month_began_at: float) -> None:
    table = tables.Counter
    for piece in pieces(key_ids):
        owners = [str(key_id) for key_id in piece]
        session.execute(delete(table).where(table.owner == spent.FORGIVEN, table.owner_id.in_(owners)))
        rows = [
            _forgiven(key_id, window, began, attempts)
            for window, began in (("none", 0.0), ("day", day_began), ("month", month_began_at))
            for key_id, attempts in spent.attempts_of_capped(session, window, began, piece).items()
        ]
        if rows:
            session.execute(insert_into(session, table), rows)


def forget_figures(session: Session, key_ids: list[int]) -> None:
    """A cap that counts for ever goes by the total: what that loses is owed, as if less than nothing were forgiven."""
    pardoned = spent.forgiven(session, "none", 0.0)
    for piece in pieces(key_ids):
        capped = spent.attempts_of_capped(session, "none", 0.0, piece)
        rows = [_forgiven(key_id, "none", 0.0, pardoned.get(key_id, 0) - used) for key_id, used in capped.items()]
        upsert(session, tables.Counter, rows, PLACE, replace=("requests",))
        update_keys(session, piece, dict.fromkeys(FIGURES, 0))


def _forgiven(key_id: int, window: str, began: float, attempts: int) -> dict[str, Any]:
    owner = {"owner": spent.FORGIVEN, "owner_id": str(key_id), "model": ""}
    counts = {"requests": attempts, "tokens": 0, "cost_nano": 0}
    return {**owner, "window": window, "window_start": int(began), **counts}


def forget_health(session: Session, key_ids: list[int]) -> None:
    for piece in pieces(key_ids):
        session.execute(delete(tables.KeyHealth).where(tables.KeyHealth.key_id.in_(piece)))
