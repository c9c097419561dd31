"""Totals that only ever grow, out of hourly roll-ups: closed hours are added up once, the latest at every look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LATE_S = 6 * 3600
"""Requests count in the hour they began. One that takes longer than this may be missed until the next start."""

FAR = 2**40


class Totals:
    """`add_up(since, until)` gives the sums of the hours from one to the other, which can be added."""

    def __init__(self) -> None:
        self._closed: Any = None
        self._until = 0

    def now(self, at: float, add_up: Callable[[int, int], Any]) -> Any:
        """Everything up to now."""
        closed = int((at - LATE_S) // 3600) * 3600
        if self._closed is None or closed > self._until:
            more = add_up(self._until, closed)
            self._closed = more if self._closed is None else self._closed + more
            self._until = closed
        return self._closed + add_up(self._until, FAR)
