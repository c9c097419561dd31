"""What is done beside requests: the journal into SQL, the disk, old files."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.event import Event

log = logging.getLogger(__name__)

REMINDED_S = 60.0
"""So often a chore that goes on failing in the same way is told of again: a full disk is not to fill the log, too."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something done every so often. `alone`: by one worker at a time. `at_end`: once more at the stop."""

    name: str
    every_s: float
    do: Callable[[], object]
    alone: bool = False
    at_end: bool = False


@dataclass(slots=True)
class Trouble:
    """What a chore fails with again and again."""

    kind: type[Exception]
    told_at: float
    times: int = 0
    """Failures nobody was told of yet."""


class Chores:
    """Runs each chore in a greenlet of its own; a chore that fails is logged and tried again."""

    def __init__(
        self,
        chores: list[Chore],
        lead: Callable[[str, float], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chores = chores
        self._lead = lead
        self._monotonic = monotonic
        self._troubles: dict[str, Trouble] = {}
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
        except Exception as error:
            if self._is_new(chore.name, error):
                log.exception("the chore %r failed and will be tried again", chore.name)
        else:
            if self._troubles.pop(chore.name, None) is not None:
                log.info("the chore %r works again", chore.name)

    def _is_new(self, name: str, error: Exception) -> bool:
        """Is it worth a traceback? What is known is told of in a line, now and then."""
        now, trouble = self._monotonic(), self._troubles.get(name)
        if trouble is None or trouble.kind is not type(error):
            self._troubles[name] = Trouble(type(error), now)
            return True
        trouble.times += 1
        if now - trouble.told_at >= REMINDED_S:
            said = (str(error).splitlines() or [""])[0]
            log.error("the chore %r failed %d times more: %s: %s", name, trouble.times, type(error).__name__, said)
            trouble.told_at, trouble.times = now, 0
        return False
