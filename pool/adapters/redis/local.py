"""What one worker knows by itself: what it took, what it last saw of the shared counters, and what it owes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pool.adapters.memory import NEVER, MemoryState
from pool.core.state import Bound, Change, Count, Kind, Offer, Refused, Taken

DAY_S = 86_400.0
FOREVER_S = 400 * DAY_S
RETRY_S = 5.0

MOST_OWED = 100_000
"""Beyond it, and at every doubling from there, debts and sights that no longer matter are looked for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One count to be brought to Redis. `place`: the second of a sliding one, the period of a period.

    `ttl_s` 0: only where the counter is known there.
    """

    kind: Kind
    counter: str
    amount: int
    place: int | str
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Sight:
    """A shared counter as last seen: all that was used, how much of it by this worker, and until when that holds."""

    kind: Kind
    place: int | str
    used: int
    own: int
    over_at: float


class Local(MemoryState):
    """The counts of this worker alone, and what limits are while it is alone: its share of what it last saw."""

    def __init__(self) -> None:
        super().__init__()
        self._sights: dict[str, Sight] = {}
        self._stored: dict[str, Sight] = {}
        self._owed: dict[tuple[Kind, str, int | str], Entry] = {}
        self._tidy_at = self._pay_at = MOST_OWED

    # -- beside Redis ---------------------------------------------------------------------------------------

    def note_taken(self, bounds: Offer, taken: Taken) -> None:
        """Redis let this worker take these bounds."""
        for bound, left in zip(bounds, taken.left, strict=True):
            if bound.kind == "sliding" and (sliding := self._sliding.get(bound.counter)) is not None:
                sliding.forget_before(taken.at, bound.span_s)
            own = bound.most - self._put(bound, taken.at)
            if bound.kind != "level":
                self._sights[bound.counter] = _sight(bound, bound.most - left, own, taken.at)
        if len(self._sights) > self._tidy_at:
            self._tidy(taken.at)

    def note_refused(self, offers: Sequence[Offer], refused: Refused, now: float) -> None:
        """Redis let it take none; now it knows what the bounds in the way had left."""
        for bounds, number, left in zip(offers, refused.bounds, refused.left, strict=True):
            bound = bounds[number]
            if bound.kind != "level":
                own = self.own(bound, now)
                self._sights[bound.counter] = _sight(bound, bound.most - left, own, int(now))

    def own(self, bound: Bound, now: float) -> int:
        return self.held(bound.counter, now, bound.period, bound.span_s)

    def settle(self, changes: Sequence[Change]) -> None:
        super().settle(changes)
        for change in changes:
            sight = self._sights.get(change.counter)
            if sight is not None and (change.kind == "sliding" or sight.place == change.period):
                used, own = max(0, sight.used + change.amount), max(0, sight.own + change.amount)
                self._sights[change.counter] = replace(sight, used=used, own=own)

    def restore(self, counts: Sequence[Count]) -> None:
        """A period's count is everybody's, not this worker's own: it is remembered as if seen."""
        super().restore([count for count in counts if count.kind == "sliding"])
        for count in counts:
            known = self._stored.get(count.counter)
            if count.kind == "period" and (known is None or (known.place, known.used) != (count.period, count.amount)):
                period, own, _ = self._periods.get(count.counter, ("", 0, NEVER))
                own = own if period == count.period else 0
                used = max(count.amount, known.used if known is not None and known.place == count.period else 0)
                self._stored[count.counter] = Sight("period", count.period, used, own, count.ends_at)

    def forget(self, owner: str) -> None:
        super().forget(owner)
        for sights in (self._sights, self._stored):
            for counter in [name for name in sights if name.startswith(owner + "/")]:
                del sights[counter]
        for debt in [key for key in self._owed if key[1].startswith(owner + "/")]:
            del self._owed[debt]

    def seen(self, now: float) -> Iterator[Entry]:
        """What the shared counters were last seen at, as far as it holds."""
        return _entries(self._sights, now)

    def stored(self, now: float) -> Iterator[Entry]:
        """What storage said of periods."""
        return _entries(self._stored, now)

    def levels(self) -> list[Entry]:
        """What it holds now."""
        return [Entry("level", counter, level, "", 0.0) for counter, level in self._levels.items()]

    # -- alone ----------------------------------------------------------------------------------------------

    def admit_alone(self, offers: Sequence[Offer], now: float, instances: int) -> Taken | Refused:
        """Admit within this worker's share, and owe what was taken."""
        shares = [[replace(bound, most=self._share(bound, now, instances)) for bound in bounds] for bounds in offers]
        answer = self.admit(shares, now)
        if isinstance(answer, Taken):
            self.owe_taken(offers[answer.offer], answer.at, now)
            return answer
        frees_at = [
            self._may_fit_at(bounds[number], now, alone_at)
            for bounds, number, alone_at in zip(offers, answer.bounds, answer.frees_at, strict=True)
        ]
        return Refused(answer.bounds, answer.left, tuple(frees_at))

    def _share(self, bound: Bound, now: float, instances: int) -> int:
        """How much of a bound this worker may use by itself.

        Limit ÷ instances, but one request's worth at least; and of what was left when it last looked, its part. A
        level seen is no help: what others hold is given back unseen.
        """
        share = max(bound.most // instances, min(bound.amount, bound.most))
        parts = [sight.own + max(0, bound.most - sight.used) // instances for sight in self._sights_of(bound, now)]
        return min([share, *parts])

    def _sights_of(self, bound: Bound, now: float) -> list[Sight]:
        sights = (self._sights.get(bound.counter), self._stored.get(bound.counter))
        return [
            sight
            for sight in sights
            if sight is not None and sight.over_at > now and (sight.kind == "sliding" or sight.place == bound.period)
        ]

    def _may_fit_at(self, bound: Bound, now: float, alone_at: float) -> float:
        """When the limit itself makes room, where it is seen used up; else Redis may soon be back, with all shares."""
        if bound.kind == "level" or bound.amount > bound.most:
            return NEVER
        for sight in self._sights_of(bound, now):
            if sight.used + bound.amount > bound.most:
                return sight.over_at if bound.kind == "sliding" else bound.ends_at
        if self.own(bound, now) + bound.amount > bound.most:
            return alone_at
        return min(now + RETRY_S, bound.ends_at)

    def held_alone(self, counter: str, now: float, period: str, span_s: float) -> int:
        """What others put into a window is not known by its seconds, so of a window it is this worker's own."""
        own = self.held(counter, now, period, span_s)
        sights = [sight for sight in (self._sights.get(counter), self._stored.get(counter)) if sight is not None]
        return max([own, *(sight.used + own - sight.own for sight in sights if sight.place == period)])

    # -- debts ----------------------------------------------------------------------------------------------

    def owe_taken(self, bounds: Offer, at: int, now: float, sign: int = 1) -> None:
        """Redis must hear of these bounds; with `sign` -1, that it counted them and nobody used them."""
        for bound in bounds:
            if bound.kind == "sliding":
                self._owe(Entry("sliding", bound.counter, sign * bound.amount, at, bound.span_s + 2))
            elif bound.kind == "period":
                entry = Entry("period", bound.counter, sign * bound.amount, bound.period, kept_s(bound.ends_at - now))
                self._owe(entry)

    def owe_changes(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.kind != "level":
                place = change.at if change.kind == "sliding" else change.period
                self._owe(Entry(change.kind, change.counter, change.amount, place, 0.0))

    def owe(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.kind != "level":
                self._owe(entry)

    def debts(self) -> list[Entry]:
        """Everything owed; from now on it is owed no more."""
        owed = [entry for entry in self._owed.values() if entry.amount]
        self._owed = {}
        return owed

    def _owe(self, entry: Entry) -> None:
        key = (entry.kind, entry.counter, entry.place)
        known = self._owed.get(key)
        if known is not None:
            entry = replace(entry, amount=known.amount + entry.amount, ttl_s=max(known.ttl_s, entry.ttl_s))
        elif len(self._owed) >= self._pay_at:
            self._drop_settled(entry)
        self._owed[key] = entry

    def _drop_settled(self, newest: Entry) -> None:
        """Windows that are over owe nothing; what is owed to periods stays, however long Redis is away."""
        now = newest.place if isinstance(newest.place, int) else 0
        self._owed = {
            key: entry
            for key, entry in self._owed.items()
            if not isinstance(entry.place, int) or entry.place + max(entry.ttl_s, 62.0) > now
        }
        self._pay_at = max(MOST_OWED, 2 * len(self._owed))

    def _tidy(self, now: float) -> None:
        self._sights = {counter: sight for counter, sight in self._sights.items() if sight.over_at > now}
        self._stored = {counter: sight for counter, sight in self._stored.items() if sight.over_at > now}
        self._tidy_at = max(MOST_OWED, 2 * len(self._sights))


def _sight(bound: Bound, used: int, own: int, at: int) -> Sight:
    if bound.kind == "period":
        return Sight("period", bound.period, used, own, bound.ends_at)
    return Sight("sliding", at, used, own, at + 1 + bound.span_s)


def _entries(sights: Mapping[str, Sight], now: float) -> Iterator[Entry]:
    for counter, sight in list(sights.items()):
        if sight.used and sight.over_at > now:
            yield Entry(sight.kind, counter, sight.used, sight.place, _until(sight, now))


def _until(sight: Sight, now: float) -> float:
    return sight.over_at - now + 2 if sight.kind == "sliding" else kept_s(sight.over_at - now)


def kept_s(left_s: float) -> float:
    """How long Redis keeps a period that is over in `left_s`: a day more, for what is settled late."""
    return FOREVER_S if math.isinf(left_s) else max(left_s, 0.0) + DAY_S
