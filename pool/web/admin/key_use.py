"""What keys were used for today, and how much of their limits that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from pool.adapters import queries
from pool.core.keys import Key
from pool.core.limits import TOKENS, key_bounds, measure
from pool.core.quota import last_reset
from pool.core.state import Bound
from pool.web.here import keypool, now, read
from pool.web.names import isolated

ANY = "*"
MOST_LOOKED_AT = 6
"""Limits of one key whose counters a row asks for: each may be a way to Redis."""


@dataclass(frozen=True, slots=True)
class Spent:
    """A limit in words, and how much of the `most` it lets through is spent."""

    name: str
    most: int
    spent: int

    @property
    def share(self) -> float:
        return self.spent / self.most if self.most else 1.0


@dataclass(frozen=True, slots=True)
class Used:
    """Attempts of a key on this quota day; and the limit it is nearest to (None: it has none)."""

    today: int
    limit: Spent | None = None


def used_by(rows: Sequence[queries.KeyRow], at: float) -> dict[int, Used]:
    today = _today(rows, at)
    return {row.id: Used(today.get(row.id, 0), _nearest(row.id, at)) for row in rows}


def used_in_brief(rows: Sequence[queries.KeyRow], at: float) -> dict[int, Used]:
    """Without limits, which a page of five hundred keys does not show."""
    today = _today(rows, at)
    return {row.id: Used(today.get(row.id, 0)) for row in rows}


def _today(rows: Sequence[queries.KeyRow], at: float) -> dict[int, int]:
    began = int(last_reset(at, keypool().preferences.current.quota_reset) // 3600) * 3600
    return read(queries.attempts_of, [row.id for row in rows], began)


def limits_spent(key_id: int, models: Iterable[str] = (), most: int | None = None) -> list[Spent]:
    """Every limit of a key, those of all models but the named ones (`*`) for these `models`."""
    key, at = keypool().catalogue.keys.get(key_id), now()
    return [_spent(key, model, bound, at) for model, bound in _bounds(key, models, at)[:most]] if key else []


def _nearest(key_id: int, at: float) -> Spent | None:
    return max(limits_spent(key_id, most=MOST_LOOKED_AT), key=lambda limit: limit.share, default=None)


def _bounds(key: Key, models: Iterable[str], at: float) -> list[tuple[str, Bound]]:
    """The cap on all attempts first; then by model."""
    reset, limits = keypool().preferences.current.quota_reset, key.limits or {}
    named = [model for model in limits if model != ANY]
    others = [model for model in models if model not in limits] if ANY in limits else []
    whole = [("", bound) for bound in key_bounds(key, "", 0, at, reset) if measure(bound) == "cap"]
    return whole + [
        (model, bound)
        for model in (*named, *others)
        for bound in key_bounds(key, model, 0, at, reset)
        if measure(bound) != "cap"
    ]


def _spent(key: Key, model: str, bound: Bound, at: float) -> Spent:
    held = keypool().state.held(bound.counter, at, bound.period, bound.span_s)
    name = limit_name(measure(bound), key.max_requests_window)
    return Spent(f"{isolated(model)} · {name}" if model else name, bound.most, held)


def limit_name(what: str, window: str) -> str:
    """What a limit counts, and how long until it begins anew."""
    if what == "cap":
        return {"day": _("Attempts a day"), "month": _("Attempts a month")}.get(window, _("Attempts in all"))
    return {"rpm": _("Requests a minute"), TOKENS: _("Tokens a minute"), "rpd": _("Requests a day")}[what]
