"""The keys of one tier that serve together: who is next among those that are ready, by any policy."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

from .attendance import MOST_WAKES, Attendance, Member, Rank, Seat
from .ladder import Ladder
from .policies import ADAPTIVE, LEAST_USED, LRU, RANDOM, ROUND_ROBIN, WEIGHTED
from .ready import ReadySet
from .vitals import Vitals

GOLDEN = 0.6180339887498949

TURN = 1 << 20
"""How far one use takes a key of weight 1 in virtual time."""

HEARINGS = (MOST_WAKES, 8 * MOST_WAKES, 32 * MOST_WAKES, 128 * MOST_WAKES)
"""How many due alarms one choice hears, one after another while it finds nobody."""

MOST_DRAWS = 16
"""How often `random` draws among all slots, ready or not, before it counts the ready ones."""

MOST_PASSED = 8
"""How many keys `adaptive` may pass over before it takes the one that is nearest to a turn."""

ENOUGH = 1.0 - 1e-9
"""Credit for a turn: ten tenths in floating point."""

LOAD_STEP = 1 / 16
"""How far one key's load moves what is usual."""

Barred = Callable[[int], bool] | None


class Tier:
    """A ring of slots, an order for each policy, and who of them is ready.

    To look and to take are apart: a look changes nothing that can be seen, so that it may be a preview.
    """

    def __init__(self, rank: Rank, vitals: Vitals | None = None) -> None:
        self._rank = rank
        self.attendance = Attendance(self._returned, self._forgotten)
        self._vitals = vitals
        self._ladders = {
            WEIGHTED: Ladder(catch_up=True),
            ADAPTIVE: Ladder(catch_up=True),
            LEAST_USED: Ladder(),
            LRU: Ladder(),
        }
        self._used = self._ladders[LEAST_USED].heights
        self._last = self._ladders[LRU].heights
        self._cursor = 0
        self._clock = 0
        # For `adaptive`: what slots have saved towards a turn, and how many attempts a weight of 1 usually carries.
        self._credits: dict[int, float] = {}
        self._load = 0.0

    def add(self, member: Member) -> Seat:
        seat = self.attendance.arrive(member, self._rank)
        # Spread by the golden ratio: keys of equal weight that began level would be served in one block.
        spread = int((0.5 + seat.slot * GOLDEN) % 1.0 * TURN) // max(member.weight, 1)
        self._ladders[WEIGHTED].put(seat.slot, spread)
        self._ladders[ADAPTIVE].put(seat.slot, spread)
        self._ladders[LEAST_USED].put(seat.slot, member.used)
        self._ladders[LRU].put(seat.slot, 0)
        return seat

    def remove(self, seat: Seat) -> None:
        self.attendance.leave(seat)
        self._credits.pop(seat.slot, None)

    def choose(self, policy: str, model: str, now: float, tried: Collection[int], rng: random.Random) -> int | None:
        """The id of the next key that is ready and not tried, which has had its turn then."""
        slot, saved = self._find(policy, model, now, tried, rng)
        if slot is None:
            return None
        if saved:
            self._settle(slot, saved, now)
        self._take(policy, slot)
        return self._seat(slot).key_id

    def preview(self, policy: str, model: str, now: float, tried: Collection[int]) -> int | None:
        """The id that `choose` would give; for `random` one that it could give."""
        slot, _ = self._find(policy, model, now, tried, None)
        return None if slot is None else self._seat(slot).key_id

    def _find(
        self, policy: str, model: str, now: float, tried: Collection[int], rng: random.Random | None
    ) -> tuple[int | None, dict[int, float]]:
        """A slot, and what `adaptive` has each of those it looked at save. Without `rng`, `random` takes any."""
        attendance, barred = self.attendance, self._barring(tried)
        for most in HEARINGS:
            heard = attendance.hear(model, now, most)
            if attendance.count(model):
                slot, saved = self._look(policy, model, now, barred, rng)
                if slot is None:
                    # The look was too short, or met only tried ones: past so many slots there is another, if any.
                    start = self._cursor if policy == ROUND_ROBIN else self._anywhere()
                    slot = self._next(start, attendance.away(model), barred, len(tried))
                if slot is not None:
                    return slot, saved
            if not heard:
                break
        return None, {}

    def _look(
        self, policy: str, model: str, now: float, barred: Barred, rng: random.Random | None
    ) -> tuple[int | None, dict[int, float]]:
        away = self.attendance.away(model)
        if policy == ROUND_ROBIN:
            return self._next(self._cursor, away, barred), {}
        if policy == RANDOM:
            return self._draw(model, away, barred, rng) if rng is not None else None, {}
        if policy == ADAPTIVE and self._vitals is not None:
            return self._weigh(self._vitals, model, now, away, barred)
        return self._ladders[policy].lowest(self.attendance.ready, model, away, barred), {}

    def _anywhere(self) -> int:
        """A slot that moves about with every use, evenly."""
        return int(self._clock * GOLDEN % 1.0 * len(self.attendance.seats))

    def _next(self, start: int, away: ReadySet | None, barred: Barred, most: int = 0) -> int | None:
        """The first slot from `start` on that may be taken, past at most so many that are barred."""
        ready = self.attendance.ready
        slot = ready.next(start, away)
        while slot is not None and barred and barred(slot):
            if not most:
                return None
            most -= 1
            slot = ready.next(slot + 1, away)
        return slot

    def _draw(self, model: str, away: ReadySet | None, barred: Barred, rng: random.Random) -> int | None:
        ready, size = self.attendance.ready, len(self.attendance.seats)
        for _ in range(MOST_DRAWS):
            slot = int(rng.random() * size)
            if slot in ready and (away is None or slot not in away) and not (barred and barred(slot)):
                return slot
        slot = ready.select(rng.randrange(self.attendance.count(model)), away)
        return None if barred and barred(slot) else slot

    def _weigh(
        self, vitals: Vitals, model: str, now: float, away: ReadySet | None, barred: Barred
    ) -> tuple[int | None, dict[int, float]]:
        """In the order of `weighted` each key gets its share of a turn, and serves when it has saved up a whole one.

        So a key that does badly is passed over most times, and none is chosen for being the best: among equals this
        is the smooth order itself.
        """
        ladder, ready = self._ladders[ADAPTIVE], self.attendance.ready
        saved: dict[int, float] = {}

        def passed(slot: int) -> bool:
            return slot in saved or (barred is not None and barred(slot))

        while len(saved) < MOST_PASSED:
            slot = ladder.lowest(ready, model, away, passed if saved else barred)
            if slot is None:
                break
            credit = self._credits.get(slot, 0.0) + self._share(vitals, slot, now)
            if credit >= ENOUGH:
                saved[slot] = credit - 1.0
                return slot, saved
            saved[slot] = credit
        nearest = max(saved, key=saved.__getitem__, default=None)
        if nearest is not None:
            saved[nearest] = 0.0
        return nearest, saved

    def _share(self, vitals: Vitals, slot: int, now: float) -> float:
        """What a key gets of a turn: by its vitals, and less where it carries more than one that good usually does."""
        seat = self._seat(slot)
        share = vitals.weight(seat.key_id, now)
        carried, usual = vitals.in_flight(seat.key_id), self._load * max(seat.weight, 1) * share
        return share * (1.0 + usual) / (1.0 + carried) if carried > usual else share

    def _settle(self, slot: int, saved: dict[int, float], now: float) -> None:
        """Keep what each has saved. Those passed over go on as if they had served, and no lower than `slot` stood."""
        heights = self._ladders[ADAPTIVE].heights
        for other, credit in saved.items():
            seat = self._seat(other)
            weight = max(seat.weight, 1)
            if self._vitals is not None:
                load = self._vitals.in_flight(seat.key_id) / weight / self._vitals.weight(seat.key_id, now)
                # Limited, so that one key whose answers never come does not make its load the usual one.
                self._load += (min(load, 2.0 * self._load + 1.0) - self._load) * LOAD_STEP
            if credit > 1.0 - ENOUGH:
                self._credits[other] = credit
            else:
                self._credits.pop(other, None)
            if other != slot:
                heights[other] = max(heights[other] + TURN // weight, heights[slot])

    def _take(self, policy: str, slot: int) -> None:
        """`slot` has its turn. A use is a use for `least_used` and `lru`, whatever policy chose it."""
        self._clock += 1
        self._used[slot] += 1
        if policy == ROUND_ROBIN:
            self._cursor = slot + 1
        elif policy in (WEIGHTED, ADAPTIVE):
            ladder = self._ladders[policy]
            ladder.grow(slot, ladder.heights[slot] + TURN // max(self._seat(slot).weight, 1))
        self._last[slot] = self._clock

    def _barring(self, tried: Collection[int]) -> Barred:
        if not tried:
            return None
        seats = self.attendance.seats

        def barred(slot: int) -> bool:
            seat = seats[slot]
            return seat is None or seat.key_id in tried

        return barred

    def _seat(self, slot: int) -> Seat:
        seat = self.attendance.seats[slot]
        assert seat is not None
        return seat

    def _returned(self, slot: int, model: str) -> None:
        for ladder in self._ladders.values():
            ladder.returned(slot, model)

    def _forgotten(self, model: str) -> None:
        for ladder in self._ladders.values():
            ladder.forget(model)
