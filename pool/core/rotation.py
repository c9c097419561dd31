"""Who is next among the keys of one provider in one pool: six policies over tiers, the same for 10 keys and 100,000."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable

from .attendance import ANY, MOST_WAKES, Bench, Member, Rank, Seat
from .keys import FOREVER
from .policies import (
    ADAPTIVE,
    LEAST_USED,
    LRU,
    POLICIES,
    POLICY_ALIASES,
    RANDOM,
    ROUND_ROBIN,
    WEIGHTED,
    canonical_policy,
)
from .tier import Tier
from .vitals import Vitals

__all__ = (
    "ADAPTIVE",
    "ANY",
    "LEAST_USED",
    "LRU",
    "MOST_WAKES",
    "POLICIES",
    "POLICY_ALIASES",
    "RANDOM",
    "ROUND_ROBIN",
    "WEIGHTED",
    "Bench",
    "Member",
    "Rotation",
    "canonical_policy",
)

MOST_MODELS = 512
"""How many models of one rotation may hold exceptions; beyond it the one with the fewest is forgotten."""


def rank_of(member: Member) -> Rank:
    return member.tier, 0 if member.weight > 0 else 1


class Rotation:
    """The keys of one (pool, provider) in one order, with what is known against each of them.

    A key may be benched for every model or for one; per-model state holds exceptions only. Benches end by themselves:
    every look first hears what is due, as much as a stream would not feel. `vitals`, one for all rotations of a
    worker, is what `adaptive` goes by; without it `adaptive` is `weighted`.
    """

    def __init__(
        self, members: Iterable[Member] = (), rng: random.Random | None = None, vitals: Vitals | None = None
    ) -> None:
        self._tiers: dict[Rank, Tier] = {}
        self._order: list[Tier] = []
        self._seats: dict[int, Seat] = {}
        self._models: dict[str, None] = {}
        self._rng = rng or random.Random()
        self._vitals = vitals
        # One value for the many keys that are set aside until the same midnight.
        self._latest = Bench("", FOREVER)
        for member in members:
            self.add(member)

    def __len__(self) -> int:
        return len(self._seats)

    def __contains__(self, key_id: int) -> bool:
        return key_id in self._seats

    def add(self, member: Member) -> None:
        """Take a key in, or give it another weight or tier."""
        seat = self._seats.get(member.key_id)
        if seat is None:
            self._place(member)
        elif seat.rank == rank_of(member):
            # In its old place: a key that got another weight keeps its turn and what it has served.
            seat.weight = member.weight
        else:
            benches = self.benches(member.key_id)
            self.remove(member.key_id)
            self._place(member)
            for model, bench in benches.items():
                self.bench(member.key_id, bench.reason, bench.until, model)

    def _place(self, member: Member) -> None:
        rank = rank_of(member)
        tier = self._tiers.get(rank)
        if tier is None:
            tier = self._tiers[rank] = Tier(rank, self._vitals)
            self._order = [self._tiers[each] for each in sorted(self._tiers)]
        self._seats[member.key_id] = tier.add(member)

    def remove(self, key_id: int) -> None:
        seat = self._seats.pop(key_id, None)
        if seat is not None:
            self._tiers[seat.rank].remove(seat)

    def bench(self, key_id: int, reason: str, until: float, model: str = ANY) -> None:
        """Set a key aside until a moment, for one model or for all. Says nothing about keys elsewhere."""
        seat = self._seats.get(key_id)
        if seat is None:
            return
        if model and model not in self._models:
            self._open(model)
        if (reason, until) != (self._latest.reason, self._latest.until):
            self._latest = Bench(reason, until)
        self._tiers[seat.rank].attendance.bench(seat, model, self._latest)

    def release(self, key_id: int, model: str | None = ANY) -> None:
        """End a bench; with model None every bench of the key."""
        seat = self._seats.get(key_id)
        if seat is not None:
            self._tiers[seat.rank].attendance.release(seat, tuple(seat.benches or ()) if model is None else (model,))

    def benches(self, key_id: int) -> dict[str, Bench]:
        """What is known against a key, by model ("" for all)."""
        seat = self._seats.get(key_id)
        return dict(seat.benches or {}) if seat is not None else {}

    def member(self, key_id: int) -> Member | None:
        """A key's place, without its uses; None where it has none here."""
        seat = self._seats.get(key_id)
        return Member(key_id, seat.weight, seat.rank[0]) if seat is not None else None

    def tiers(self, model: str, now: float) -> list[tuple[int, bool, int]]:
        """(tier, are they standby, how many of them could serve `model` now), in the order they are asked."""
        self._hear(model, now)
        return [
            (number, bool(standby), tier.attendance.count(model))
            for (number, standby), tier in sorted(self._tiers.items(), key=lambda item: item[0])
            if len(tier.attendance)
        ]

    def choose(self, policy: str, model: str, now: float, tried: Collection[int] = ()) -> int | None:
        """The next key for `model`, never one of `tried`; None where no tier has one.

        `tried` holds what this request must not get: keys it tried, and keys that had no room for it. A set or a
        dict: it is asked about single keys, and may hold thousands.
        """
        for tier in self._order:
            key_id = tier.choose(policy, model, now, tried, self._rng)
            if key_id is not None:
                return key_id
        return None

    def preview(self, policy: str, model: str, now: float, tried: Collection[int] = ()) -> int | None:
        """The key `choose` would return now, while no turn is used up; for `random` one that it could return."""
        for tier in self._order:
            key_id = tier.preview(policy, model, now, tried)
            if key_id is not None:
                return key_id
        return None

    def wake(self, now: float, most: int = MOST_WAKES) -> int:
        """End benches that are due, for whatever model; how many were looked at: fewer than `most` when all is done.

        Choices do so by themselves, a few at a time; a chore may help in slices after midnight.
        """
        heard = 0
        for tier in self._order:
            heard += tier.attendance.hear_all(now, most - heard)
        return heard

    def ready(self, model: str, now: float) -> int:
        """How many keys could serve `model` now. Where many benches end at once they count little by little."""
        self._hear(model, now)
        return sum(tier.attendance.count(model) for tier in self._order)

    def census(self, model: str, now: float) -> dict[str, int]:
        """How many keys are set aside for `model`, by reason; a key counts once, a reason for every model first."""
        self._hear(model, now)
        total: dict[str, int] = {}
        for tier in self._order:
            for reason, count in tier.attendance.census(model):
                total[reason] = total.get(reason, 0) + count
        return total

    def recovery(self, model: str) -> float | None:
        """The earliest moment a benched key serves `model` again; None where none ever does.

        Where very many benches that do not count stand before it, it is a moment before which there is none.
        """
        moments = (tier.attendance.recovery(model) for tier in self._order)
        return min((moment for moment in moments if moment is not None), default=None)

    def _hear(self, model: str, now: float) -> None:
        for tier in self._order:
            tier.attendance.hear(model, now)

    def _open(self, model: str) -> None:
        """Make room for a model's exceptions."""
        if len(self._models) >= MOST_MODELS:
            counts = {name: sum(tier.attendance.absent(name) for tier in self._order) for name in self._models}
            fewest = min(counts, key=counts.__getitem__)
            if counts[fewest]:
                for tier in self._order:
                    tier.attendance.forget(fewest)
            self._models = {name: None for name, count in counts.items() if count and name != fewest}
        self._models[model] = None
