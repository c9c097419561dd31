"""What is done beside requests: the journal into SQL, the disk, old files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.event import Event

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something done every so often. `alone`: by one worker at a time. `at_end`: once more at the stop."""

    name: str
    every_s: float
    do: Callable[[], object]
    alone: bool = False
    at_end: bool = False


class Chores:
    """Runs each chore in a greenlet of its own; a chore that fails is logged and tried again."""

    def __init__(self, chores: list[Chore], lead: Callable[[str, float], bool]) -> None:
        self._chores = chores
        self._lead = lead
        self._stopping = Event()
        self._greenlets: list[gevent.Greenlet] = []

    def start(self) -> None:
        self._greenlets = [gevent.spawn(self._repeat, chore) for chore in self._chores]

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after what is under way, then do once more what must not be left behind."""
        self._stopping.set()
        gevent.joinall(self._greenlets, timeout=timeout_s)
        for chore in self._chores:
            if chore.at_end:
                self._once(chore)

    def _repeat(self, chore: Chore) -> None:
        while not self._stopping.wait(chore.every_s):
            if not chore.alone or self._lead(chore.name, chore.every_s * 3):
                self._once(chore)

    def _once(self, chore: Chore) -> None:
        try:
            chore.do()
        except Exception:
            log.exception("the chore %r failed and will be tried again", chore.name)
