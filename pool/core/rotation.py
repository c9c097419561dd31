"""Who is next among the keys of one provider in one pool: six policies over tiers, in O(log n)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from .keys import FOREVER
from .ladder import Ladder
from .ready import ReadySet

ROUND_ROBIN, WEIGHTED, LEAST_USED, RANDOM, LRU, ADAPTIVE = POLICIES = (
    "round_robin",
    "weighted",
    "least_used",
    "random",
    "lru",
    "adaptive",
)
POLICY_ALIASES = {
    "roundRobin": ROUND_ROBIN,
    "rr": ROUND_ROBIN,
    "leastUsed": LEAST_USED,
    "weighted_random": WEIGHTED,
    "weightedRandom": WEIGHTED,
    "smart": ADAPTIVE,
}

MOST_MODELS = 512
"""How many models of one rotation may hold exceptions; beyond it one without any is forgotten, else the oldest."""

MOST_WAKES = 64
"""How many keys one choice may wake while it finds one: at midnight all of them are due at once."""

ANY = ""
"""The view of a model without exceptions."""

GOLDEN = 0.6180339887498949


def canonical_policy(name: str) -> str | None:
    """The policy a client or a setting means; None where there is none of that name."""
    name = POLICY_ALIASES.get(name, name)
    return name if name in POLICIES else None


@dataclass(frozen=True, slots=True)
class Member:
    """A key's place in a pool. weight 1–100, 0 = standby; tier 0 first; used: uses in the current window."""

    key_id: int
    weight: int = 1
    tier: int = 0
    used: int = 0


@dataclass(frozen=True, slots=True)
class Bench:
    """Why a key is set aside, and until when (Unix seconds; FOREVER for good)."""

    reason: str
    until: float


def _rank(member: Member) -> tuple[int, int]:
    return member.tier, 0 if member.weight > 0 else 1


class _Group:
    """The members of one tier that serve together: ring, ladders, and one ready set a model with exceptions."""

    def __init__(self) -> None:
        self.members: list[Member | None] = []
        self.views: dict[str, ReadySet] = {ANY: ReadySet()}
        self.cursor = 0
        self._clock = 0
        self._ladders: dict[str, Ladder] = {}

    def append(self, member: Member) -> int:
        slot = len(self.members)
        self.members.append(member)
        for view in self.views.values():
            view.add(slot)
        for policy, ladder in self._ladders.items():
            ladder.add(slot, self._height(policy, slot, member))
        return slot

    def vacate(self, slot: int) -> None:
        self.rest(slot, ANY)
        self.members[slot] = None
        for ladder in self._ladders.values():
            ladder.remove(slot)

    def view(self, model: str) -> str:
        return model if model in self.views else ANY

    def split_off(self, model: str) -> None:
        """From now on `model` has exceptions of its own."""
        if model not in self.views:
            self.views[model] = self.views[ANY].copy()

    def join(self, model: str) -> None:
        self.views.pop(model, None)
        for ladder in self._ladders.values():
            ladder.forget(model)

    def rest(self, slot: int, model: str) -> None:
        for view in [model] if model else list(self.views):
            self.views[view].discard(slot)

    def wake(self, slot: int, views: Iterable[str]) -> None:
        for view in views:
            self.views[view].add(slot)
            for ladder in self._ladders.values():
                ladder.returned(slot, view)

    def choose(self, policy: str, model: str, tried: Collection[int], rng: random.Random) -> int | None:
        view = self.view(model)
        ready = self.views[view]
        if not ready.count:
            return None
        if policy == ROUND_ROBIN:
            return self._round(ready, tried)
        if policy == RANDOM:
            return self._any(ready, tried, rng)
        return self._ladder(policy).lowest(view, ready, tried, lambda slot, height: self._grown(policy, slot, height))

    def _round(self, ready: ReadySet, tried: Collection[int]) -> int | None:
        slot = ready.next(self.cursor)
        for _ in range(len(tried) + 1):
            if slot is None or slot not in tried:
                break
            slot = ready.next(slot + 1)
        if slot is None or slot in tried:
            return None
        self.cursor = slot + 1
        return slot

    def _any(self, ready: ReadySet, tried: Collection[int], rng: random.Random) -> int | None:
        for _ in range(8):
            slot = ready.select(rng.randrange(ready.count))
            if slot not in tried:
                return slot
        left = ready.next(rng.randrange(len(self.members)))
        for _ in range(len(tried) + 1):
            if left is None or left not in tried:
                return left
            left = ready.next(left + 1)
        return None

    def _ladder(self, policy: str) -> Ladder:
        ladder = self._ladders.get(policy)
        if ladder is None:
            ladder = self._ladders[policy] = Ladder(catch_up=policy in (WEIGHTED, ADAPTIVE))
            for slot, member in enumerate(self.members):
                if member is not None:
                    ladder.add(slot, self._height(policy, slot, member))
        return ladder

    def _height(self, policy: str, slot: int, member: Member) -> float:
        if policy == LEAST_USED:
            return float(member.used)
        if policy == LRU:
            return 0.0
        # Spread by the golden ratio: keys of equal weight that began level would be served in one block.
        return (0.5 + slot * GOLDEN) % 1.0 / max(member.weight, 1)

    def _grown(self, policy: str, slot: int, height: float) -> float:
        if policy == LEAST_USED:
            return height + 1.0
        if policy == LRU:
            self._clock += 1
            return float(self._clock)
        member = self.members[slot]
        return height + 1.0 / max(member.weight if member else 1, 1)


class Rotation:
    """The keys of one (pool, provider) in one order, with what is known against each of them.

    A key may be benched for every model or for one; per-model state holds exceptions only. Benches end by
    themselves: every look first wakes what is due.
    """

    def __init__(self, members: Iterable[Member] = (), rng: random.Random | None = None) -> None:
        self._groups: dict[tuple[int, int], _Group] = {}
        self._order: list[_Group] = []
        self._places: dict[int, tuple[_Group, int]] = {}
        self._benches: dict[int, dict[str, Bench]] = {}
        self._counts: dict[str, Counter[str]] = {ANY: Counter()}
        self._recoveries: dict[str, float | None] = {}
        self._alarms: list[tuple[float, int, str]] = []
        self._rng = rng or random.Random()
        for member in members:
            self.add(member)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key_id: int) -> bool:
        return key_id in self._places

    def add(self, member: Member) -> None:
        """Take a key in, or give it another weight or tier."""
        if member.key_id in self._places:
            group, slot = self._places[member.key_id]
            if self._groups.get(_rank(member)) is group:
                # In its old place: a key that got another weight keeps its turn and what it has served.
                group.members[slot] = member
                return
            benches = self._benches.get(member.key_id, {})
            self.remove(member.key_id)
            self._place(member)
            for model, bench in benches.items():
                self.bench(member.key_id, bench.reason, bench.until, model)
        else:
            self._place(member)

    def _place(self, member: Member) -> None:
        rank = _rank(member)
        if rank not in self._groups:
            self._groups[rank] = group = _Group()
            for model in self._counts:
                if model:
                    group.split_off(model)
            self._order = [self._groups[key] for key in sorted(self._groups)]
        group = self._groups[rank]
        self._places[member.key_id] = (group, group.append(member))

    def remove(self, key_id: int) -> None:
        place = self._places.pop(key_id, None)
        if place is None:
            return
        group, slot = place
        self._tally(self._benches.pop(key_id, {}), -1)
        group.vacate(slot)

    def bench(self, key_id: int, reason: str, until: float, model: str = ANY) -> None:
        """Set a key aside until a moment, for one model or for all. Says nothing about keys elsewhere."""
        place = self._places.get(key_id)
        if place is None:
            return
        group, slot = place
        if model not in self._counts:
            self._open(model)
        benches = self._benches.setdefault(key_id, {})
        self._tally(benches, -1)
        benches[model] = Bench(reason, until)
        self._tally(benches, 1)
        group.rest(slot, model)
        if until != FOREVER:
            heappush(self._alarms, (until, key_id, model))

    def release(self, key_id: int, model: str | None = ANY) -> None:
        """End a bench; with model None every bench of the key."""
        benches = self._benches.get(key_id)
        if not benches or key_id not in self._places:
            return
        self._tally(benches, -1)
        ended = list(benches) if model is None else [model] if model in benches else []
        for name in ended:
            del benches[name]
        self._tally(benches, 1)
        if not benches:
            del self._benches[key_id]
        group, slot = self._places[key_id]
        if ANY not in benches:
            group.wake(slot, [view for view in (group.views if ANY in ended else ended) if view not in benches])

    def benches(self, key_id: int) -> dict[str, Bench]:
        """What is known against a key, by model ("" for all)."""
        return dict(self._benches.get(key_id, {}))

    def member(self, key_id: int) -> Member | None:
        """A key's place; None where it has none here."""
        place = self._places.get(key_id)
        return place[0].members[place[1]] if place is not None else None

    def tiers(self, model: str, now: float) -> list[tuple[int, bool, int]]:
        """(tier, are they standby, how many of them could serve `model` now), in the order they are asked."""
        self._wake_due(now)
        return [
            (tier, bool(standby), group.views[group.view(model)].count)
            for (tier, standby), group in sorted(self._groups.items(), key=lambda item: item[0])
            if any(member is not None for member in group.members)
        ]

    def choose(self, policy: str, model: str, now: float, tried: Collection[int] = ()) -> int | None:
        """The next key for `model`, never one of `tried`; None where no tier has one."""
        while self._alarms and self._alarms[0][0] <= now:
            self._wake_due(now, MOST_WAKES)
            key_id = self._choose(policy, model, tried)
            if key_id is not None:
                return key_id
        return self._choose(policy, model, tried)

    def _choose(self, policy: str, model: str, tried: Collection[int]) -> int | None:
        for group in self._order:
            slots: Collection[int] = ()
            if tried:
                slots = {place[1] for key in tried if (place := self._places.get(key)) and place[0] is group}
            slot = group.choose(policy, model, slots, self._rng)
            if slot is not None:
                member = group.members[slot]
                assert member is not None
                return member.key_id
        return None

    def ready(self, model: str, now: float) -> int:
        """How many keys could serve `model` now."""
        self._wake_due(now)
        return sum(group.views[group.view(model)].count for group in self._order)

    def census(self, model: str, now: float) -> dict[str, int]:
        """How many keys are set aside for `model`, by reason; a key counts once, a reason for every model first."""
        self._wake_due(now)
        total: Counter[str] = Counter()
        for view in {ANY, model}:
            total.update(self._counts.get(view, {}))
        return {reason: count for reason, count in total.items() if count > 0}

    def recovery(self, model: str) -> float | None:
        """The earliest moment a benched key serves `model` again; None where none ever does.

        Looks at benched keys one by one, once a change: ask only where there is nothing left to choose.
        """
        view = model if model in self._counts else ANY
        if view not in self._recoveries:
            moments = (
                max((benches[name].until for name in {ANY, view} & benches.keys()), default=FOREVER)
                for benches in self._benches.values()
            )
            self._recoveries[view] = min((moment for moment in moments if moment != FOREVER), default=None)
        return self._recoveries[view]

    def _tally(self, benches: dict[str, Bench], by: int) -> None:
        """Count a key, once for each model, in or out of the census."""
        self._recoveries.clear()
        if ANY in benches:
            self._counts[ANY][benches[ANY].reason] += by
        else:
            for model, bench in benches.items():
                self._counts[model][bench.reason] += by

    def _open(self, model: str) -> None:
        if len(self._counts) > MOST_MODELS:
            models = [name for name in self._counts if name]
            self._forget(next((name for name in models if not any(self._counts[name].values())), models[0]))
        self._counts[model] = Counter()
        if model:
            for group in self._order:
                group.split_off(model)

    def _forget(self, model: str) -> None:
        for key_id in [key_id for key_id, benches in self._benches.items() if model in benches]:
            self.release(key_id, model)
        del self._counts[model]
        for group in self._order:
            group.join(model)

    def _wake_due(self, now: float, most: int | None = None) -> None:
        left = len(self._alarms) if most is None else most
        while left and self._alarms and self._alarms[0][0] <= now:
            left -= 1
            until, key_id, model = heappop(self._alarms)
            bench = self._benches.get(key_id, {}).get(model)
            # A later bench of the same key and model has an alarm of its own.
            if bench and bench.until == until:
                self.release(key_id, model)
