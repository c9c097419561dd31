"""Turns outcomes into what is known against keys: benches, streaks of errors, suspicions, deaths."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .catalogue import DEAD, Catalogue
from .keys import FOREVER, Key
from .outages import Outages
from .outcomes import KEY, KEY_MODEL, WEEK_S, Outcome
from .quota import Quota
from .records import bench_line, dead_line, limit_line, project_line, release_line
from .rotation import Rotation
from .state import Word
from .storms import Failure

OVERLOAD_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
CONFIRM_S = 60.0

MOST_OVERLOADED = 10_000
"""How many (key, model) pairs may have a count of overloads; callers name models, so there is no end of them."""

MOST_LEARNED = 10_000
"""How many limits are remembered as written down; beyond it one is written again."""

STAGGER_S = 86_400.0
"""Models a key may not use are asked for again after a week, not all of them in the same second."""

PROBE_S = 180.0
"""How long a key on probation is kept for the one request that tries it."""

ERRORS, PROBING, NOT_ENTITLED = "errors", "probing", "not_entitled"
OF_PROJECTS = frozenset({"quota_day", "quota_minute"})
"""Google counts these a project, so all of its keys are out together."""


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
        self.outages = Outages()
        self._catalogue = catalogue
        self._announce = announce
        self._remember = remember
        self._streaks: dict[int, deque[float]] = {}
        self._tripped: set[int] = set()
        self._probing: set[int] = set()
        self._suspected_at: dict[int, float] = {}
        self._overloads: dict[tuple[int, str], int] = {}
        self._learned: dict[tuple[object, ...], int] = {}

    def succeeded(self, key: Key, model: str, now: float) -> None:
        """A 2xx: streaks end, suspicions fall."""
        if self._streaks:
            self._streaks.pop(key.id, None)
        if self._tripped:
            self._tripped.discard(key.id)
        if self._suspected_at:
            self._suspected_at.pop(key.id, None)
        if self._overloads:
            self._overloads.pop((key.id, model), None)
        standing = self.outages.of(key.provider)
        standing.budget.succeeded(now)
        standing.storm.succeeded(key.id, now)

    def answered(self, key: Key, now: float) -> None:
        """The upstream refused the caller's own mistake: it is well."""
        self.outages.of(key.provider).budget.succeeded(now)

    def failed(
        self, key: Key, model: str, outcome: Outcome, now: float, rotation: Rotation, limits: Thresholds
    ) -> None:
        """Anything else. `model` is the upstream's name for it; `rotation` the one the key was chosen from."""
        self._learn(key, model, outcome, now)
        standing = self.outages.of(key.provider)
        if outcome.storm or outcome.transient:
            standing.budget.failed(now)
        if not outcome.storm:
            self._put_down(key, model, outcome, now, rotation, limits)
            return
        ready = max(each.ready(model, now) for each in self._catalogue.rotations_of(key.id) or [rotation])
        ruling = standing.storm.failed(Failure(key.id, model, outcome, now), ready, standing.budget.failing(now))
        for failure in ruling.undo:
            self._take_back(failure, now)
        if not ruling.blame:
            self._forgive(key.id, model)
            return
        for failure in ruling.redo:
            other = self._catalogue.keys.get(failure.key_id)
            if other is not None:
                self._put_down(other, failure.model, failure.outcome, now, rotation, limits)
        self._put_down(key, model, outcome, now, rotation, limits)

    def pardon(self, key: Key, model: str, outcome: Outcome, now: float) -> None:
        """What was put down to a key was not its fault after all."""
        self._take_back(Failure(key.id, model, outcome, now), now)

    def entitled(self, key: Key, model: str, now: float) -> None:
        """A key may use a model that it was not to use."""
        bench = self._catalogue.benches(key.id).get(model)
        if bench is not None and bench.reason == NOT_ENTITLED:
            self._announce(Word(key.id, NOT_ENTITLED, 0.0, model))
            self._remember(release_line(key.id, model, now))

    def not_entitled(self, key: Key, model: str, reason: str, now: float) -> None:
        """It still may not: asked again in a week."""
        until = now + WEEK_S + key.id * 7919 % STAGGER_S
        self._bench(key, NOT_ENTITLED, until, model, reason, now)

    def forgive(self, key_id: int) -> None:
        """Forget the errors counted against a key; what it rests for already stays."""
        for model in [model for known, model in self._overloads if known == key_id]:
            del self._overloads[key_id, model]
        self._forgive(key_id, "")
        self._tripped.discard(key_id)

    def on_probation(self, key: Key, now: float) -> bool:
        """Does the key come back from too many errors? Then nobody else may use it until `probed`."""
        if key.id not in self._tripped:
            return False
        self._catalogue.bench(key.id, PROBING, now + PROBE_S)
        self._probing.add(key.id)
        return True

    def probed(self, key: Key) -> None:
        """The one request that tries a key on probation has its answer."""
        if key.id not in self._probing:
            return
        self._probing.discard(key.id)
        bench = self._catalogue.benches(key.id).get("")
        if bench is not None and bench.reason == PROBING:
            self._catalogue.release(key.id, "")

    def _put_down(
        self, key: Key, model: str, outcome: Outcome, now: float, rotation: Rotation, limits: Thresholds
    ) -> None:
        if outcome.kind == "overloaded":
            self._rest_overloaded(key, model, outcome, now, rotation)
        elif outcome.dead or (outcome.kind == "suspected" and self._confirmed(key, now)):
            self._bury(key, outcome.reason, now)
            return
        elif outcome.scope in (KEY, KEY_MODEL) and outcome.until is not None:
            view = model if outcome.scope == KEY_MODEL else ""
            for each in self._together(key) if outcome.kind in OF_PROJECTS else (key,):
                until = _staggered(each, outcome)
                self._bench(each, outcome.kind, until, view, outcome.reason, now, outcome.quota)
        if outcome.blamed:
            self._count(key, now, limits)

    def _together(self, key: Key) -> Iterable[Key]:
        """All keys of its project, itself first."""
        yield key
        for key_id in self._catalogue.project_of(key):
            other = self._catalogue.keys.get(key_id)
            if other is not None and other is not key:
                yield other

    def _rest_overloaded(self, key: Key, model: str, outcome: Outcome, now: float, rotation: Rotation) -> None:
        """From the second in a row 1·2ⁿ s, at most 60 s, and never the last usable key of a model in any pool."""
        times = self._overloads.pop((key.id, model), 0)
        self._overloads[key.id, model] = min(times + 1, len(OVERLOAD_S))
        if len(self._overloads) > MOST_OVERLOADED:
            del self._overloads[next(iter(self._overloads))]
        rotations = self._catalogue.rotations_of(key.id) or [rotation]
        if times and all(each.ready(model, now) > 1 for each in rotations):
            self._announce(Word(key.id, outcome.kind, now + OVERLOAD_S[times - 1], model))

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
            self._bench(key, ERRORS, now + limits.window_s, "", text, now)

    def _bench(
        self, key: Key, reason: str, until: float, model: str, text: str, now: float, quota: Quota | None = None
    ) -> None:
        self._announce(Word(key.id, reason, until, model))
        self._remember(bench_line(key.id, model, reason, until, text, now, quota))

    def _take_back(self, failure: Failure, now: float) -> None:
        """Undo what one failure put down, and nothing that was known besides."""
        key, outcome = self._catalogue.keys.get(failure.key_id), failure.outcome
        self._forgive(failure.key_id, failure.model)
        if key is None:
            return
        if key.dead is not None and (outcome.dead or outcome.kind == "suspected"):
            key.dead = None
            self._announce(Word(key.id, DEAD, 0.0))
            self._remember(release_line(key.id, None, now))
            for model, bench in self._catalogue.benches(key.id).items():
                self._remember(bench_line(key.id, model, bench.reason, bench.until, "", now))
            return
        view = failure.model if outcome.scope == KEY_MODEL else ""
        for each in self._together(key) if outcome.kind in OF_PROJECTS else (key,):
            known = self._catalogue.benches(each.id).get(view)
            if known is not None and known.reason == outcome.kind:
                self._announce(Word(each.id, outcome.kind, 0.0, view))
                self._remember(release_line(each.id, view, now))

    def _forgive(self, key_id: int, model: str) -> None:
        self._streaks.pop(key_id, None)
        self._suspected_at.pop(key_id, None)
        self._overloads.pop((key_id, model), None)

    def _learn(self, key: Key, model: str, outcome: Outcome, now: float) -> None:
        """Write down what an error told besides: the key's project, and the size of quotas."""
        if outcome.project and not key.project:
            self._catalogue.put_in_project(key, outcome.project)
            self._remember(project_line(key.id, outcome.project, now))
        for quota in outcome.limits:
            of_model = quota.model or model
            what = (key.project or key.id, of_model, quota.window, quota.unit)
            if quota.limit and self._learned.get(what) != quota.limit:
                if len(self._learned) >= MOST_LEARNED:
                    del self._learned[next(iter(self._learned))]
                self._learned[what] = quota.limit
                self._remember(limit_line(key.id, key.project or "", of_model, quota, now))


def _staggered(key: Key, outcome: Outcome) -> float:
    """Spread what would come back at one moment, a week from now, over a day."""
    assert outcome.until is not None
    if outcome.kind != NOT_ENTITLED:
        return outcome.until
    return outcome.until + key.id * 7919 % STAGGER_S
