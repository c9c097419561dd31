"""Letting keys begin anew, slice by slice: their counters, rests, errors or figures, in memory and as stored.

`app` is the `Keypool`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .core.limits import key_bounds, measure
from .core.state import Change

COUNTERS, COOLDOWNS, ERRORS, STATS, ALL = SCOPES = ("counters", "cooldowns", "errors", "stats", "all")

SLICE = 500
"""Keys of one transaction: nobody waits long behind it."""

EVERYTHING = 2**50
"""More than any counter holds: nothing falls below 0."""


def reset(app: Any, scope: str, provider: str | None = None) -> int:
    """Let the keys of a provider, or all of them, begin anew in one respect. How many keys that were."""
    # What the journal still holds was asked before, and would count as asked after.
    app.recorder.drain()
    done = 0
    for key_ids in _slices(app, provider):
        for part, change in PARTS.items():
            if scope in (part, ALL):
                change(app, key_ids)
        done += len(key_ids)
        app.relay.pause(0.001)
    return done


def forget_counts(app: Any, key_ids: Sequence[int]) -> None:
    """What keys were asked so far counts for none of their limits any more."""
    settings, now = app.preferences.current, app.relay.clock()
    changes = []
    for key in (app.catalogue.keys.get(key_id) for key_id in key_ids):
        if key is None:
            continue
        caps = [bound for bound in key_bounds(key, "", 0, now, settings.quota_reset) if measure(bound) == "cap"]
        changes += [Change(cap.counter, -EVERYTHING, "period", period=cap.period) for cap in caps]
        if key.limits:
            app.state.forget(f"k{key.id}")
    app.state.settle(changes)
    app.inventory.forgive_requests(key_ids, settings.quota_reset)


def _forget_errors(app: Any, key_ids: Sequence[int]) -> None:
    for key_id in key_ids:
        app.relay.judge.forgive(key_id)
    app.inventory.forget_errors(key_ids)


def _forget_figures(app: Any, key_ids: Sequence[int]) -> None:
    app.inventory.forget_figures(key_ids)


def _end_cooldowns(app: Any, key_ids: Sequence[int]) -> None:
    app.inventory.end_cooldowns(key_ids)


PARTS: dict[str, Callable[[Any, Sequence[int]], None]] = {
    COUNTERS: forget_counts,
    STATS: _forget_figures,
    COOLDOWNS: _end_cooldowns,
    ERRORS: _forget_errors,
}


def _slices(app: Any, provider: str | None) -> Iterator[list[int]]:
    ids = [key.id for key in list(app.catalogue.keys.values()) if provider in (None, key.provider)]
    return (ids[at : at + SLICE] for at in range(0, len(ids), SLICE))
