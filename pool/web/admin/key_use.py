"""What keys were used for today, and how much of their limits that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from pool.adapters import queries
from pool.core.limits import key_bounds
from pool.core.quota import last_reset
from pool.web.here import keypool, read


@dataclass(frozen=True, slots=True)
class Used:
    """Attempts of a key on this quota day; and `spent` of the `most` it may be used for in its window (None: any)."""

    today: int
    most: int | None = None
    spent: int = 0


def used_by(rows: Sequence[queries.KeyRow], at: float) -> dict[int, Used]:
    reset = keypool().preferences.current.quota_reset
    began = int(last_reset(at, reset) // 3600) * 3600
    today = read(queries.attempts_of, [row.id for row in rows], began)
    return {row.id: Used(today.get(row.id, 0), row.max_requests, _spent(row, at, reset)) for row in rows}


def _spent(row: queries.KeyRow, at: float, reset: str) -> int:
    key = keypool().catalogue.keys.get(row.id)
    if key is None or key.max_requests is None:
        return 0
    cap = key_bounds(key, "", 0, at, reset)[0]
    held: int = keypool().state.held(cap.counter, at, cap.period, cap.span_s)
    return held


def limit_window_text(window: str) -> str:
    """How long a limit counts before it begins anew."""
    return {"day": _("a day"), "month": _("a month")}.get(window, _("in all"))
