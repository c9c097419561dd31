"""An order by a figure that grows with use (uses, virtual time, last use): who stands lowest now."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from itertools import compress

from .ready import SHIFT, ReadySet

LEAF_SHIFT = 4
LEAF = 1 << LEAF_SHIFT
"""Slots a leaf, for each of which one bound is kept."""

MOST_WORK = 16
CORRECTION = 4
"""What one look may do to outdated bounds: correct four, or drop four times as many empty leaves; then the lowest
slot it met has to do. Every use outdates a bound for every model, so a look stays short however many there are. What
it finds stands among the lowest: a leaf's lowest is near the lowest of all, and the next looks go on correcting."""

FEW = 4
"""Up to so many exceptions a model has no bounds of its own: stepping over them costs less."""

MOST_STEPS = 2 * FEW
"""How many leaves one look steps over because it may not take their lowest: a request may have tried thousands, and
what it looks at once more each time must not add up. The lowest slot it met otherwise has to do."""

MOST_VIEWS = 64
"""How many models have bounds of their own at most."""

IDLE_LOOKS = 1024
"""A model that was not asked for during so many looks leaves its bounds to another."""

MOST_BACK = 512
"""How many slots that came back are told to the models one by one; models that missed more of them begin anew."""

TOP = 1 << 62
_WHOLE = (1 << LEAF) - 1
_LEAF_BITS = 20
_LEAVES = (1 << _LEAF_BITS) - 1
_WORD_SHIFT = SHIFT - LEAF_SHIFT
_IN_WORD = (1 << _WORD_SHIFT) - 1
_CHOSEN = tuple(bytes(byte >> place & 1 for place in range(8)) for byte in range(256))


class _Bounds:
    """How low the lowest ready slot of each leaf may stand: never too high. TOP for a leaf without one.

    `entries` is a heap of (bound, leaf), each as one number; one whose bound the leaf no longer has says nothing.
    """

    __slots__ = ("asked", "entries", "heard", "leaves")

    def __init__(self) -> None:
        self.leaves: array[int] = array("q")
        self.entries: list[int] = []
        self.heard = 0
        self.asked = 0

    def copy(self) -> _Bounds:
        twin = _Bounds()
        twin.leaves = self.leaves[:]
        twin.entries = self.entries.copy()
        return twin

    def lower(self, slot: int, height: int) -> None:
        leaf = slot >> LEAF_SHIFT
        while leaf >= len(self.leaves):
            self.leaves.append(TOP)
        if height < self.leaves[leaf]:
            self.leaves[leaf] = height
            heappush(self.entries, height << _LEAF_BITS | leaf)
            if len(self.entries) > 2 * len(self.leaves) + LEAF:
                self.entries[:] = [bound << _LEAF_BITS | at for at, bound in enumerate(self.leaves) if bound < TOP]
                heapify(self.entries)

    def correct(self, leaf: int, height: int) -> None:
        """The first entry, of this leaf, stands higher."""
        self.leaves[leaf] = height
        if height < TOP:
            heapreplace(self.entries, height << _LEAF_BITS | leaf)
        else:
            heappop(self.entries)


class Ladder:
    """Slots ordered by `heights`, whole numbers which all models share; the lowest is found through bounds.

    Heights grow, so a bound can be too low but never too high: it is corrected when it is the lowest of all. Only
    a slot that is new or ready again lowers one. So nothing is built at once, however many slots there are, and a
    model with exceptions costs a copy of the bounds, a few bytes a slot. With `catch_up` a slot that comes back
    stands where the others have got to, so that a rest is not paid back in a burst; and a newcomer begins there.
    """

    def __init__(self, catch_up: bool = False) -> None:
        self.heights: array[int] = array("q")
        self._catch_up = catch_up
        self._floor = 0
        self._every = _Bounds()
        self._views: dict[str, _Bounds] = {}
        self._back: list[int] = []
        self._looks = 0

    def put(self, slot: int, height: int) -> None:
        """Take a slot in: the one after the last, or one that became free."""
        height += self._floor
        if slot < len(self.heights):
            self.heights[slot] = height
        else:
            self.heights.append(height)
        leaf, leaves = slot >> LEAF_SHIFT, self._every.leaves
        if self._views or leaf >= len(leaves) or height < leaves[leaf]:
            self.returned(slot)

    def returned(self, slot: int, model: str = "") -> None:
        """`slot` is ready again, for one model or ("") for all that have nothing of their own against it."""
        height = self.heights[slot]
        if height < self._floor:
            height = self.heights[slot] = self._floor
        if not model:
            self._every.lower(slot, height)
            if self._views:
                self._tell(slot)
        elif model in self._views:
            self._views[model].lower(slot, height)

    def forget(self, model: str) -> None:
        self._views.pop(model, None)

    def grow(self, slot: int, height: int) -> None:
        """`slot`, the lowest, has had its turn and stands at `height` now. The next look corrects its bound."""
        if self._catch_up:
            self._floor = self.heights[slot]
        self.heights[slot] = height

    def lowest(
        self,
        ready: ReadySet,
        model: str = "",
        away: ReadySet | None = None,
        barred: Callable[[int], bool] | None = None,
    ) -> int | None:
        """The lowest slot that is ready, not `away` (set aside for this model) and not barred from this look.

        Changes no order. None may also mean that this look was too short to find one.
        """
        bounds, lasting = self._bounds(model, away)
        if bounds is None:
            return None
        entries, leaves = bounds.entries, bounds.leaves
        stepped: list[int] = []
        best, best_height = None, TOP
        work = 0
        while entries and work < MOST_WORK and len(stepped) < MOST_STEPS:
            bound, leaf = entries[0] >> _LEAF_BITS, entries[0] & _LEAVES
            if bound >= best_height:
                break
            if bound != leaves[leaf]:
                heappop(entries)
                continue
            bits = _open(leaf, ready, away)
            height, slot = lasts, _ = self._lowest_of(leaf, bits)
            if barred is not None and bits and barred(slot):
                height, slot = self._lowest_of(leaf, _allowed(leaf, bits, barred))
            if height < best_height:
                best, best_height = slot, height
                if height == bound:
                    break
            if lasting is not away:
                lasts, _ = self._lowest_of(leaf, _open(leaf, ready, lasting))
            if lasts == bound:
                stepped.append(heappop(entries))
            else:
                bounds.correct(leaf, lasts)
                work += CORRECTION if lasts < TOP else 1
        for entry in stepped:
            heappush(entries, entry)
        return best

    def _lowest_of(self, leaf: int, bits: int) -> tuple[int, int]:
        """The height and the slot of the lowest of those slots of a leaf that `bits` name; TOP and -1 for no bits."""
        first = leaf << LEAF_SHIFT
        heights = self.heights[first : first + LEAF]
        if bits == _WHOLE:
            height = min(heights)
            return height, first + heights.index(height)
        if not bits:
            return TOP, -1
        height = min(compress(heights, _CHOSEN[bits & 255] + _CHOSEN[bits >> 8]))
        place = heights.index(height)
        while not bits >> place & 1:
            place = heights.index(height, place + 1)
        return height, first + place

    def _bounds(self, model: str, away: ReadySet | None) -> tuple[_Bounds | None, ReadySet | None]:
        """The bounds that hold for a model, and the slots they leave out; None where too many models have their own."""
        if away is None or away.count <= FEW:
            return self._every, None
        bounds = self._views.get(model)
        if bounds is None or bounds.heard < 0:
            if bounds is None and not self._room():
                return None, away
            bounds = self._views[model] = self._every.copy()
            bounds.heard = len(self._back)
        elif bounds.heard < len(self._back):
            for slot in self._back[bounds.heard :]:
                bounds.lower(slot, self.heights[slot])
            bounds.heard = len(self._back)
        self._looks += 1
        bounds.asked = self._looks
        return bounds, away

    def _room(self) -> bool:
        if len(self._views) >= MOST_VIEWS:
            oldest = min(self._views, key=lambda model: self._views[model].asked)
            if self._looks - self._views[oldest].asked < IDLE_LOOKS:
                return False
            del self._views[oldest]
        return True

    def _tell(self, slot: int) -> None:
        self._back.append(slot)
        if len(self._back) >= MOST_BACK:
            for bounds in self._views.values():
                bounds.heard = 0 if bounds.heard == len(self._back) else -1
            self._back.clear()


def _allowed(leaf: int, bits: int, barred: Callable[[int], bool]) -> int:
    """Which of these slots of a leaf are not barred."""
    left = bits
    while left:
        low = left & -left
        if barred((leaf << LEAF_SHIFT) + low.bit_length() - 1):
            bits ^= low
        left ^= low
    return bits


def _open(leaf: int, ready: ReadySet, away: ReadySet | None) -> int:
    """Which slots of a leaf are ready and not away, as bits."""
    word, shift = leaf >> _WORD_SHIFT, (leaf & _IN_WORD) << LEAF_SHIFT
    bits = ready.words[word] >> shift & _WHOLE
    if bits and away is not None and word < len(away.words):
        bits &= ~(away.words[word] >> shift)
    return bits
