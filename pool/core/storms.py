"""Pool storms: many keys of one upstream fail alike at once, so it is the upstream that fails and not the keys.

Blocked egress, an outage or a broken rollout refuses every key in the same words. Believed key by key, it would empty
a pool in seconds. So penalties of the last moments are taken back, nobody is blamed, and one request at a time is let
through to see whether it is over.

A pool may also really be full of bad keys. Then a key that had not failed succeeds, and the others are asked once
more: if one of them is refused again, the refusals were meant, and what was held back is put down to the keys.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from .outcomes import Outcome

WINDOW_S = 10.0
FEW_KEYS = 5
SHARE = 0.2
PROBE_EVERY_S = 1.0
PROBE_S = 15.0
"""A probe that was not heard of for so long is given up for lost."""

DOUBT_S = 60.0
"""How long held-back penalties wait for one of their keys to be asked again."""

NOT_OF_KEYS = frozenset({"5xx", "unreachable"})
"""Trouble no key is ever blamed for: one success ends it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One key's failure, as it may have to be taken back or put down later."""

    key_id: int
    model: str
    outcome: Outcome
    at: float


@dataclass(frozen=True, slots=True)
class Ruling:
    """What follows from a failure or a success: is the key to blame, what to take back, what to put down now."""

    blame: bool = True
    undo: tuple[Failure, ...] = ()
    redo: tuple[Failure, ...] = ()


BLAME = Ruling()
NOTHING = Ruling(blame=False)


@dataclass(frozen=True, slots=True)
class Past:
    """A storm that is over, from and until when (Unix seconds), and how many keys were spared."""

    kind: str
    since: float
    until: float
    keys: int


class Storm:
    """Watches the failures of one upstream. `kind` is what all keys fail with while it lasts, "" in calm."""

    def __init__(self) -> None:
        self.kind = ""
        self.since = 0.0
        self.doubted = False
        self._recent: dict[str, dict[int, Failure]] = {}
        self._held: dict[int, Failure] = {}
        self._doubt_until = 0.0
        self._next_probe = 0.0
        self._probing = False
        self.past: deque[Past] = deque(maxlen=5)

    @property
    def keys(self) -> int:
        """How many keys were spared."""
        return len(self._held)

    def failed(self, failure: Failure, ready: int, failing: bool) -> Ruling:
        """Hear of a failure. `ready`: how many keys could be asked now; `failing`: of the upstream's attempts of
        these seconds fewer than half succeeded."""
        kind = failure.outcome.storm
        if not kind:
            return BLAME
        if self.kind:
            return self._failed_again(failure)
        recent = self._recent.setdefault(kind, {})
        recent.pop(failure.key_id, None)
        recent[failure.key_id] = failure
        while next(iter(recent.values())).at <= failure.at - WINDOW_S:
            del recent[next(iter(recent))]
        # A key that is not to blame stays ready; one that is was set aside, all but the one we hear of now.
        keys = max(len(recent), ready if kind in NOT_OF_KEYS else ready + len(recent) - 1)
        # Few keys are believed where they are said to be invalid, or just slowed down.
        believed = keys < FEW_KEYS and (failure.outcome.dead or kind == "429")
        if not failing or believed or len(recent) < _threshold(keys):
            return BLAME
        self._begin(kind, failure.at)
        del recent[failure.key_id]
        undo = tuple(recent.values())
        self._held = {**recent, failure.key_id: failure}
        self._recent.clear()
        return Ruling(False, undo)

    def succeeded(self, key_id: int, now: float) -> None:
        """Hear of a success: cheap in calm."""
        if self._recent:
            for recent in self._recent.values():
                recent.pop(key_id, None)
        if not self.kind:
            return
        if self.kind in NOT_OF_KEYS or key_id in self._held or (self.doubted and now >= self._doubt_until):
            self._end(now)
        elif not self.doubted:
            self.doubted = True
            self._doubt_until = now + DOUBT_S

    def may_pass(self, now: float) -> bool:
        """May a new request be sent to this upstream? In a storm one at a time, as a probe."""
        passes = self.would_pass(now)
        if passes and self.open:
            self._next_probe, self._probing = now + PROBE_S, True
        return passes

    def would_pass(self, now: float) -> bool:
        """The same, asked by who sends nothing."""
        return not self.open or now >= self._next_probe

    def gave_up(self, now: float) -> None:
        """A request ended. Where it was a probe that told nothing, the next one may go at once."""
        if self._probing:
            self._next_probe, self._probing = min(self._next_probe, now), False

    @property
    def open(self) -> bool:
        """Is it so bad that only probes go through?"""
        return bool(self.kind) and not self.doubted

    def _failed_again(self, failure: Failure) -> Ruling:
        self._next_probe, self._probing = min(self._next_probe, failure.at + PROBE_EVERY_S), False
        confirmed = self.doubted and failure.outcome.storm == self.kind and failure.key_id in self._held
        if confirmed:
            del self._held[failure.key_id]
            redo = tuple(self._held.values())
            self._end(failure.at, spared=False)
            return Ruling(True, redo=redo)
        if self.doubted and failure.at >= self._doubt_until:
            self._end(failure.at)
            return BLAME
        self._held[failure.key_id] = failure
        return NOTHING

    def _begin(self, kind: str, now: float) -> None:
        self.kind, self.since, self.doubted = kind, now, False
        self._next_probe, self._probing = now + PROBE_EVERY_S, False

    def _end(self, now: float, spared: bool = True) -> None:
        if spared:
            self.past.append(Past(self.kind, self.since, now, len(self._held)))
        self.kind, self.doubted = "", False
        self._held = {}


def _threshold(keys: int) -> int:
    """How many distinct keys must fail alike. One key alone proves nothing about its upstream."""
    if keys < FEW_KEYS:
        return max(2, keys)
    return max(FEW_KEYS, math.ceil(SHARE * keys))
