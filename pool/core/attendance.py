"""Which keys of one tier are ready, which are set aside, why, for which model and until when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace

from .keys import FOREVER
from .ready import ReadySet

MOST_WAKES = 8
"""How many alarms one look hears: at midnight all benches are due at once, and more would be felt by every stream."""

MOST_WEIGHED = 64
"""How many benches one question about the next recovery may weigh."""

ANY = ""
"""Stands for every model."""

Rank = tuple[int, int]
"""Which tier serves first: its number, and 1 for its standby keys."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Why a key is set aside, and until when (Unix seconds; FOREVER for good)."""

    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Member:
    """A key's place in a pool. weight 1–100, 0 = standby; tier 0 first; used: uses in the current window."""

    key_id: int
    weight: int = 1
    tier: int = 0
    used: int = 0


class Seat:
    """A key's place in a tier, and what is known against it by model; `benches` is None where that is nothing."""

    __slots__ = ("benches", "key_id", "rank", "slot", "weight")

    def __init__(self, member: Member, rank: Rank, slot: int) -> None:
        self.key_id = member.key_id
        self.weight = member.weight
        self.rank = rank
        self.slot = slot
        self.benches: dict[str, Bench] | None = None


class _Absence:
    """The slots set aside for one model, counted by reason, and the alarms that end it: (until, slot).

    `doubled`: how many of them are set aside for every model as well, so that they miss from `ready` already.
    """

    __slots__ = ("alarms", "doubled", "reasons", "slots")

    def __init__(self) -> None:
        self.slots = ReadySet()
        self.doubled = 0
        self.reasons: dict[str, int] = {}
        self.alarms: list[tuple[float, int]] = []

    def count(self, reason: str, by: int) -> None:
        left = self.reasons.get(reason, 0) + by
        if left:
            self.reasons[reason] = left
        else:
            del self.reasons[reason]


class Attendance:
    """`ready`: slots nothing is known against for every model; per-model state holds exceptions only.

    Benches end by themselves: every look first hears what alarms are due, a bounded number of them. Whatever the
    models are, a change costs the same: it touches what is known about one key. `returned(slot, model)` is told of
    slots that come back.
    """

    def __init__(self, returned: Callable[[int, str], None], forgotten: Callable[[str], None]) -> None:
        self.ready = ReadySet()
        self.seats: list[Seat | None] = []
        self._returned = returned
        self._forgotten = forgotten
        self._free: list[int] = []
        self._all = _Absence()
        self._models: dict[str, _Absence] = {}
        self._turns: deque[str] = deque()

    def __len__(self) -> int:
        return len(self.seats) - len(self._free)

    def arrive(self, member: Member, rank: Rank) -> Seat:
        slot = self._free.pop() if self._free else len(self.seats)
        seat = Seat(member, rank, slot)
        if slot == len(self.seats):
            self.seats.append(seat)
        else:
            self.seats[slot] = seat
        self.ready.add(slot)
        return seat

    def leave(self, seat: Seat) -> None:
        self.release(seat, tuple(seat.benches or ()))
        self.ready.discard(seat.slot)
        self.seats[seat.slot] = None
        self._free.append(seat.slot)

    def away(self, model: str) -> ReadySet | None:
        """The slots set aside for one model only; None where there is no exception."""
        absence = self._models.get(model)
        return absence.slots if absence is not None else None

    def count(self, model: str) -> int:
        """How many are ready for `model`."""
        absence = self._models.get(model)
        if absence is None:
            return self.ready.count
        return self.ready.count - absence.slots.count + absence.doubled

    def absent(self, model: str) -> int:
        """How many are set aside for one model."""
        absence = self._models.get(model)
        return absence.slots.count if absence is not None else 0

    def census(self, model: str) -> Iterator[tuple[str, int]]:
        """How many are set aside, by reason: those for every model, and then those for this one alone."""
        yield from self._all.reasons.items()
        if model in self._models:
            yield from self._models[model].reasons.items()

    def bench(self, seat: Seat, model: str, bench: Bench) -> None:
        absence = self._absence(model)
        self._tally(seat, -1)
        if seat.benches is None:
            seat.benches = {}
        known = seat.benches.get(model)
        seat.benches[model] = bench
        self._tally(seat, 1)
        if known is None:
            self._rest(seat, model, absence)
        # An alarm that comes too early is set anew when it is heard: a bench that is extended keeps the one it has.
        if bench.until < (known.until if known is not None else FOREVER):
            heappush(absence.alarms, (bench.until, seat.slot))

    def release(self, seat: Seat, models: Iterable[str]) -> None:
        """End what is known against a key for some models, ANY among them or not."""
        for model in models:
            if seat.benches and model in seat.benches:
                self._end(seat, seat.benches, model)

    def forget(self, model: str) -> None:
        """End every bench for one model."""
        for slot in list(self.away(model) or ()):
            seat = self.seats[slot]
            if seat is not None:
                self.release(seat, (model,))

    def hear(self, model: str, now: float, most: int = MOST_WAKES) -> int:
        """End the benches that are due for every model and for this one; how many alarms were heard.

        Goes on with one other model where some are left, so that those nobody asks for end too.
        """
        heard = 0
        names = (ANY, model, self._turns[0]) if self._turns else (ANY,)
        self._turns.rotate(-1)
        for name in names:
            absence = self._models.get(name) if name else self._all
            if absence is not None and absence.alarms and absence.alarms[0][0] <= now:
                heard += self._hear(name, absence, now, most - heard)
        return heard

    def hear_all(self, now: float, most: int) -> int:
        """End up to so many of the benches that are due, of whatever model; how many alarms were heard."""
        heard = self._hear(ANY, self._all, now, most)
        for model in list(self._models):
            if heard >= most:
                break
            heard += self._hear(model, self._models[model], now, most - heard)
        return heard

    def recovery(self, model: str) -> float | None:
        """The earliest moment a key set aside serves `model` again; None where none ever does.

        Weighs up to MOST_WEIGHED benches; where more of them stand before the first that counts, it says at least
        when that can be.
        """
        earliest = self._earliest(self._all.alarms, model)
        if model in self._models:
            earliest = min(earliest, self._earliest(self._models[model].alarms, model))
        return None if earliest == FOREVER else earliest

    def _absence(self, model: str) -> _Absence:
        if model == ANY:
            return self._all
        absence = self._models.get(model)
        if absence is None:
            absence = self._models[model] = _Absence()
            self._turns.append(model)
        return absence

    def _rest(self, seat: Seat, model: str, absence: _Absence) -> None:
        absence.slots.add(seat.slot)
        if model == ANY:
            self.ready.discard(seat.slot)
            self._double(seat, 1)
        elif seat.slot not in self.ready:
            absence.doubled += 1

    def _end(self, seat: Seat, benches: dict[str, Bench], model: str) -> None:
        absence = self._absence(model)
        self._tally(seat, -1)
        del benches[model]
        if not benches:
            seat.benches = None
        self._tally(seat, 1)
        absence.slots.discard(seat.slot)
        if model == ANY:
            self.ready.add(seat.slot)
            self._double(seat, -1)
        elif seat.slot not in self.ready:
            absence.doubled -= 1
        if seat.slot in self.ready:
            self._returned(seat.slot, model)
        if model != ANY and not absence.slots.count:
            del self._models[model]
            self._turns.remove(model)
            self._forgotten(model)

    def _double(self, seat: Seat, by: int) -> None:
        for model in seat.benches or ():
            if model != ANY:
                self._models[model].doubled += by

    def _tally(self, seat: Seat, by: int) -> None:
        """Count a key in or out of the census, once for each model: a reason for every model goes first."""
        if not seat.benches:
            return
        if ANY in seat.benches:
            self._all.count(seat.benches[ANY].reason, by)
        else:
            for model, bench in seat.benches.items():
                self._models[model].count(bench.reason, by)

    def _hear(self, model: str, absence: _Absence, now: float, most: int) -> int:
        alarms, heard = absence.alarms, 0
        while heard < most and alarms and alarms[0][0] <= now:
            heard += 1
            slot = alarms[0][1]
            seat = self.seats[slot]
            benches = seat.benches if seat is not None else None
            bench = benches.get(model) if benches else None
            if bench is not None and now < bench.until < FOREVER:
                heapreplace(alarms, (bench.until, slot))
                continue
            heappop(alarms)
            if seat is not None and benches and bench is not None and bench.until <= now:
                self._end(seat, benches, model)
        return heard

    def _earliest(self, alarms: list[tuple[float, int]], model: str) -> float:
        """The first moment one of these slots serves `model`; looks at a heap in its order, without taking it apart."""
        earliest = FOREVER
        ahead = [(alarms[0][0], 0)] if alarms else []
        for _ in range(MOST_WEIGHED):
            if not ahead or ahead[0][0] >= earliest:
                return earliest
            _, at = heappop(ahead)
            earliest = min(earliest, self._back_at(alarms[at][1], model))
            for child in (2 * at + 1, 2 * at + 2):
                if child < len(alarms):
                    heappush(ahead, (alarms[child][0], child))
        return min(earliest, ahead[0][0]) if ahead else earliest

    def _back_at(self, slot: int, model: str) -> float:
        """When everything known against a key for `model` is over; FOREVER where nothing is known."""
        seat = self.seats[slot]
        if seat is None or seat.benches is None:
            return FOREVER
        return max((bench.until for name, bench in seat.benches.items() if name in (ANY, model)), default=FOREVER)
