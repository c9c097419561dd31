"""Turns outcomes into what is known against keys: benches, streaks of errors, suspicions, deaths."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .catalogue import DEAD, Catalogue
from .keys import FOREVER, Key
from .outcomes import KEY, KEY_MODEL, Outcome
from .records import bench_line, dead_line
from .rotation import Rotation
from .state import Word

OVERLOAD_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
CONFIRM_S = 60.0

MOST_OVERLOADED = 10_000
"""How many (key, model) pairs may have a count of overloads; callers name models, so there is no end of them."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The settings a judgement depends on: errors in a row, and the window (s) they count in."""

    errors: int = 5
    window_s: float = 3600.0


class Judge:
    """Hears every outcome once. Holds state only for keys that something is known against.

    `announce` tells every worker, `remember` writes the journal.
    """

    def __init__(
        self, catalogue: Catalogue, announce: Callable[[Word], None], remember: Callable[[bytes], None]
    ) -> None:
        self._catalogue = catalogue
        self._announce = announce
        self._remember = remember
        self._streaks: dict[int, deque[float]] = {}
        self._tripped: set[int] = set()
        self._suspected_at: dict[int, float] = {}
        self._overloads: dict[tuple[int, str], int] = {}

    def succeeded(self, key: Key, model: str) -> None:
        """A 2xx: streaks end, suspicions fall."""
        if self._streaks:
            self._streaks.pop(key.id, None)
        if self._tripped:
            self._tripped.discard(key.id)
        if self._suspected_at:
            self._suspected_at.pop(key.id, None)
        if self._overloads:
            self._overloads.pop((key.id, model), None)

    def failed(
        self, key: Key, model: str, outcome: Outcome, now: float, rotation: Rotation, limits: Thresholds
    ) -> None:
        """Anything else. `model` is the upstream's name for it; `rotation` the one the key was chosen from."""
        if outcome.kind == "overloaded":
            self._rest_overloaded(key, model, outcome, now, rotation)
        elif outcome.dead or (outcome.kind == "suspected" and self._confirmed(key, now)):
            self._bury(key, outcome.reason, now)
            return
        elif outcome.scope in (KEY, KEY_MODEL) and outcome.until is not None:
            view = model if outcome.scope == KEY_MODEL else ""
            self._bench(key, outcome.kind, outcome.until, view, outcome.reason, now)
        if outcome.blamed:
            self._count(key, now, limits)

    def _rest_overloaded(self, key: Key, model: str, outcome: Outcome, now: float, rotation: Rotation) -> None:
        """1·2ⁿ s, at most 60 s, and never the last usable key of a model in any of its pools."""
        times = self._overloads.pop((key.id, model), 0)
        self._overloads[key.id, model] = min(times + 1, len(OVERLOAD_S) - 1)
        if len(self._overloads) > MOST_OVERLOADED:
            del self._overloads[next(iter(self._overloads))]
        rotations = self._catalogue.rotations_of(key.id) or [rotation]
        if all(each.ready(model, now) > 1 for each in rotations):
            self._announce(Word(key.id, outcome.kind, now + OVERLOAD_S[times], model))

    def _confirmed(self, key: Key, now: float) -> bool:
        """A second refusal without a known reason, at least a minute after the first, without a 2xx between."""
        first = self._suspected_at.setdefault(key.id, now)
        return now - first >= CONFIRM_S

    def _bury(self, key: Key, reason: str, now: float) -> None:
        if key.dead is None:
            key.dead = reason or "refused by the upstream"
            self._announce(Word(key.id, DEAD, FOREVER))
            self._remember(dead_line(key.id, key.dead, now))

    def _count(self, key: Key, now: float, limits: Thresholds) -> None:
        """Too many errors in a row, or one by a key that came back from such a rest: half-open by one probe."""
        streak = self._streaks.get(key.id, ())
        streak = self._streaks[key.id] = deque((*streak, now), maxlen=limits.errors)
        if key.id in self._tripped or (len(streak) >= limits.errors and now - streak[0] <= limits.window_s):
            streak.clear()
            self._tripped.add(key.id)
            text = f"{limits.errors} errors without a success"
            self._bench(key, "errors", now + limits.window_s, "", text, now)

    def _bench(self, key: Key, reason: str, until: float, model: str, text: str, now: float) -> None:
        self._announce(Word(key.id, reason, until, model))
        self._remember(bench_line(key.id, model, reason, until, text, now))
