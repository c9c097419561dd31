"""An order by a figure that only grows (uses, virtual time, last use): who stands lowest now."""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush, heapreplace

from .ready import ReadySet

MOST_CORRECTIONS = 256
"""How many outdated entries one look may correct. It bounds the work after a burst elsewhere; the order
is then off by a step until the next look goes on correcting."""


class Ladder:
    """Slots ordered by `height`; several views (one a model) share the heights, each with a heap of its own.

    Heights only grow, so an entry of a heap can be too low but never too high: it is corrected when it
    comes to the top. A slot that is not ready in its view is dropped then, and pushed when it comes back:
    with `catch_up` at the height the others have reached, so that a rest is not paid back in a burst; and a
    newcomer begins there.
    """

    def __init__(self, catch_up: bool = False) -> None:
        self.heights: dict[int, float] = {}
        self._heaps: dict[str, list[tuple[float, int]]] = {}
        self._dropped: dict[str, set[int]] = {}
        self._catch_up = catch_up
        self._floor = 0.0

    def add(self, slot: int, height: float) -> None:
        if self._catch_up:
            height += self._floor
        self.heights[slot] = height
        for view, heap in self._heaps.items():
            heappush(heap, (height, slot))
            self._dropped[view].discard(slot)

    def remove(self, slot: int) -> None:
        self.heights.pop(slot, None)
        for dropped in self._dropped.values():
            dropped.discard(slot)

    def forget(self, view: str) -> None:
        self._heaps.pop(view, None)
        self._dropped.pop(view, None)

    def returned(self, slot: int, view: str) -> None:
        """`slot` is ready again in `view`."""
        dropped = self._dropped.get(view)
        if dropped is not None and slot in dropped and slot in self.heights:
            dropped.discard(slot)
            if self._catch_up:
                self.heights[slot] = max(self.heights[slot], self._floor)
            heappush(self._heaps[view], (self.heights[slot], slot))

    def lowest(
        self, view: str, ready: ReadySet, tried: Collection[int], grown: Callable[[int, float], float]
    ) -> int | None:
        """The lowest ready slot not in `tried`; its height becomes `grown(slot, height)`."""
        heap = self._heap(view, ready)
        aside: list[tuple[float, int]] = []
        corrections = 0
        found = None
        while heap:
            height, slot = heap[0]
            if slot not in self.heights or slot not in ready:
                heappop(heap)
                if slot in self.heights:
                    self._dropped[view].add(slot)
            elif height < self.heights[slot] and corrections < MOST_CORRECTIONS:
                heapreplace(heap, (self.heights[slot], slot))
                corrections += 1
            elif slot in tried:
                aside.append(heappop(heap))
            else:
                found = slot
                self._floor = height
                after = grown(slot, self.heights[slot])
                self.heights[slot] = after
                heapreplace(heap, (after, slot))
                break
        for entry in aside:
            heappush(heap, entry)
        return found

    def _heap(self, view: str, ready: ReadySet) -> list[tuple[float, int]]:
        heap = self._heaps.get(view)
        if heap is None:
            first = next(iter(self._heaps), None)
            if first is not None:
                # A copy of any other view's heap will do: entries too low are corrected, a missing one is not.
                self._heaps[view] = heap = self._heaps[first].copy()
                back = {slot for slot in self._dropped[first] if slot in ready}
                for slot in back:
                    heappush(heap, (self.heights[slot], slot))
                self._dropped[view] = self._dropped[first] - back
            else:
                self._heaps[view] = heap = [(height, slot) for slot, height in self.heights.items() if slot in ready]
                heapify(heap)
                self._dropped[view] = {slot for slot in self.heights if slot not in ready}
        return heap
