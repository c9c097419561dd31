"""Keys that were given up are looked at again, a few each minute: the dead, the switched off, the not entitled.

Nothing here spends quota: a list of models tells whether a key lives, a count of tokens whether it may use a model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .checking import ALIVE, Checker

log = logging.getLogger(__name__)

EVERY_S = 60.0
AN_HOUR = 60
"""Looks in an hour, over which the keys that are due are spread."""

FEWEST, MOST = 5, 600
"""Keys a look: so many even if few are due, and no more however many are."""

SOON_S = 86_400.0
"""Models a key may not use are asked for before they would be tried by a client's request."""


@dataclass(frozen=True, slots=True)
class Due:
    """Who should be looked at: keys, (key, model) pairs, and how many there are of each in all."""

    keys: Sequence[int]
    pairs: Sequence[tuple[int, str]]


class Find(Protocol):
    def __call__(self, now: float, soon: float, looks: int, fewest: int, most: int, /) -> Due: ...


class Recovery:
    """`find` knows who is due. `calm` says whether an upstream's keys may be asked now."""

    def __init__(self, checker: Checker, find: Find, clock: Callable[[], float], calm: Callable[[int], bool]) -> None:
        self._checker = checker
        self._find = find
        self._clock = clock
        self._calm = calm

    def look(self) -> int:
        """One look; how many keys came back."""
        now = self._clock()
        due = self._find(now, now + SOON_S, AN_HOUR, FEWEST, MOST)
        checks = self._checker.check([key_id for key_id in due.keys if self._calm(key_id)])
        checks += self._checker.reach([pair for pair in due.pairs if self._calm(pair[0])])
        back = sum(check.word == ALIVE for check in checks)
        if checks:
            log.info("looked again at %d keys that were given up; %d are back", len(checks), back)
        return back
