"""`PoolState` of a single process: plain dictionaries, changed between two yields of the hub."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from pool.core.state import Bound, Change, Count, Offer, Refused, Taken, Word

MOST_SLIDING = 200_000
"""How many sliding windows are remembered: addresses that try to log in are among them, and have no end."""

MOST_PERIODS = 100_000
"""Beyond it, and at every doubling from there, periods that are over are looked for."""

NEVER = float("inf")


class _Sliding:
    """Amounts by the second they were put in, the oldest first."""

    __slots__ = ("slots", "total")

    def __init__(self) -> None:
        self.slots: deque[list[int]] = deque()
        self.total = 0

    def forget_before(self, now: float, span_s: float) -> None:
        """A slot counts until its last instant is `span_s` old. Slots of the future: the clock was set back."""
        slots = self.slots
        while slots and (slots[0][0] + 1 + span_s <= now or slots[0][0] > now):
            self.total -= slots.popleft()[1]

    def add(self, second: int, amount: int) -> None:
        if self.slots and self.slots[-1][0] == second:
            self.slots[-1][1] += amount
        else:
            self.slots.append([second, amount])
        self.total += amount

    def correct(self, second: int, amount: int) -> None:
        """Change what was put in at `second`; it may be forgotten by now, and never falls below nothing."""
        for slot in reversed(self.slots):
            if slot[0] == second:
                amount = max(amount, -slot[1])
                slot[1] += amount
                self.total += amount
                return

    def frees_at(self, bound: Bound) -> float:
        """When enough will have been forgotten."""
        excess = self.total + bound.amount - bound.most
        for second, amount in self.slots:
            excess -= amount
            if excess <= 0:
                return second + 1 + bound.span_s
        return NEVER


class MemoryState:
    """No method yields, so each is atomic under gevent."""

    degraded = False

    def __init__(self) -> None:
        self._sliding: dict[str, _Sliding] = {}
        self._periods: dict[str, tuple[str, int, float]] = {}
        self._look_at = MOST_PERIODS
        self._levels: dict[str, int] = {}
        self._claims: dict[str, tuple[str, float]] = {}
        self._listeners: list[Callable[[Word], None]] = []

    def admit(self, offers: Sequence[Offer], now: float) -> Taken | Refused:
        refusals = []
        for place, bounds in enumerate(offers):
            refusal = self._refusal(bounds, now)
            if refusal is None:
                second = int(now)
                return Taken(place, tuple(self._put(bound, second) for bound in bounds), second)
            refusals.append(refusal)
        numbers, left, frees_at = zip(*refusals, strict=True) if refusals else ((), (), ())
        return Refused(numbers, left, frees_at)

    def settle(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind == "level":
                self._set_level(change.counter, self._levels.get(change.counter, 0) + change.amount)
            elif change.kind == "period":
                period, used, ends_at = self._periods.get(change.counter, ("", 0, NEVER))
                if change.counter in self._periods and period == change.period:
                    self._periods[change.counter] = (period, max(0, used + change.amount), ends_at)
            elif change.counter in self._sliding:
                self._sliding[change.counter].correct(change.at, change.amount)

    def held(self, counter: str, now: float, period: str = "", span_s: float = 60.0) -> int:
        if counter in self._levels:
            return self._levels[counter]
        if counter in self._sliding:
            sliding = self._sliding[counter]
            sliding.forget_before(now, span_s)
            return sliding.total
        name, used, _ = self._periods.get(counter, ("", 0, NEVER))
        return used if name == period else 0

    def restore(self, counts: Sequence[Count]) -> None:
        seconds: dict[str, dict[int, int]] = {}
        for count in counts:
            if count.kind == "sliding":
                of_counter = seconds.setdefault(count.counter, {})
                of_counter[count.at] = of_counter.get(count.at, 0) + count.amount
                continue
            period, used, _ = self._periods.get(count.counter, ("", 0, NEVER))
            if period != count.period or used < count.amount:
                self._periods[count.counter] = (count.period, count.amount, count.ends_at)
        for counter, amounts in seconds.items():
            if sum(amounts.values()) > (self._sliding[counter].total if counter in self._sliding else 0):
                self._sliding[counter] = fresh = _Sliding()
                for second in sorted(amounts):
                    fresh.add(second, amounts[second])

    def forget(self, owner: str) -> None:
        for counters in (self._sliding, self._periods, self._levels):
            for counter in [name for name in counters if name.startswith(owner + "/")]:
                del counters[counter]

    def claim(self, chore: str, holder: str, ttl_s: float, now: float) -> bool:
        owner, until = self._claims.get(chore, (holder, 0.0))
        if owner != holder and until > now:
            return False
        self._claims[chore] = (holder, now + ttl_s)
        return True

    def announce(self, word: Word) -> None:
        for hear in self._listeners:
            hear(word)

    def listen(self, hear: Callable[[Word], None]) -> None:
        self._listeners.append(hear)

    def _refusal(self, bounds: Offer, now: float) -> tuple[int, int, float] | None:
        """Which bound is in the way, what is left of it, and when it may fit; None where all of them hold."""
        for number, bound in enumerate(bounds):
            if bound.kind == "sliding":
                sliding = self._sliding.get(bound.counter)
                if sliding is not None:
                    sliding.forget_before(now, bound.span_s)
                used = sliding.total if sliding is not None else 0
            elif bound.kind == "level":
                used = self._levels.get(bound.counter, 0)
            else:
                used = self._used(bound)
            if used + bound.amount > bound.most:
                return number, max(0, bound.most - used), self._frees_at(bound)
        return None

    def _frees_at(self, bound: Bound) -> float:
        if bound.amount > bound.most or bound.kind == "level":
            return NEVER
        if bound.kind == "period":
            return bound.ends_at
        return self._sliding[bound.counter].frees_at(bound)

    def _put(self, bound: Bound, second: int) -> int:
        """Count a bound; what is left of it."""
        if bound.kind == "sliding":
            # At the end of the dictionary: the window that is given up first is the one longest unused.
            sliding = self._sliding.pop(bound.counter, None) or _Sliding()
            sliding.add(second, bound.amount)
            self._sliding[bound.counter] = sliding
            if len(self._sliding) > MOST_SLIDING:
                del self._sliding[next(iter(self._sliding))]
            return bound.most - sliding.total
        if bound.kind == "level":
            used = self._levels.get(bound.counter, 0) + bound.amount
            self._set_level(bound.counter, used)
            return bound.most - used
        used = self._used(bound) + bound.amount
        if len(self._periods) >= self._look_at:
            self._drop_ended(second)
        self._periods[bound.counter] = (bound.period, used, bound.ends_at)
        return bound.most - used

    def _used(self, bound: Bound) -> int:
        period, used, _ = self._periods.get(bound.counter, ("", 0, NEVER))
        return used if period == bound.period else 0

    def _set_level(self, counter: str, level: int) -> None:
        if level > 0:
            self._levels[counter] = level
        else:
            self._levels.pop(counter, None)

    def _drop_ended(self, now: float) -> None:
        for counter in [name for name, (_, _, ends_at) in self._periods.items() if ends_at <= now]:
            del self._periods[counter]
        self._look_at = max(MOST_PERIODS, 2 * len(self._periods))
