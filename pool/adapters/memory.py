"""`PoolState` of a single process: plain dictionaries, changed between two yields of the hub."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

from pool.core.state import Demand, Grant, Word

MOST_BUCKETS = 100_000


class MemoryState:
    """No method yields, so each is atomic under gevent."""

    def __init__(self) -> None:
        self._in_flight: Counter[int] = Counter()
        self._used: dict[int, tuple[str, int]] = {}
        self._windows: dict[str, tuple[deque[tuple[float, int]], int]] = {}
        self._claims: dict[str, tuple[str, float]] = {}
        self._listeners: list[Callable[[Word], None]] = []

    def admit(self, demands: Sequence[Demand]) -> int | None:
        for demand in demands:
            if demand.cap is not None:
                window, used = self._used.get(demand.key_id, ("", 0))
                used = used if window == demand.window else 0
                if used >= demand.cap:
                    continue
                self._used[demand.key_id] = (demand.window, used + 1)
            self._in_flight[demand.key_id] += 1
            return demand.key_id
        return None

    def end(self, key_id: int) -> None:
        left = self._in_flight[key_id] - 1
        if left > 0:
            self._in_flight[key_id] = left
        else:
            del self._in_flight[key_id]

    def in_flight(self, key_id: int) -> int:
        return self._in_flight.get(key_id, 0)

    def used(self, key_id: int, window: str) -> int:
        counted, used = self._used.get(key_id, ("", 0))
        return used if counted == window else 0

    def restore(self, key_id: int, window: str, used: int) -> None:
        if used > self.used(key_id, window):
            self._used[key_id] = (window, used)

    def reset(self, key_id: int) -> None:
        self._used.pop(key_id, None)

    def take(self, bucket: str, limit: int, window_s: float, now: float, amount: int = 1) -> Grant:
        events, total = self._windows.pop(bucket, (deque(), 0))
        while events and not now - window_s < events[0][0] <= now:
            total -= events.popleft()[1]
        allowed = total + amount <= limit
        if allowed and amount:
            events.append((now, amount))
            total += amount
        if events:
            # At the end of the dictionary: the bucket that is given up first is the one longest unused.
            self._windows[bucket] = (events, total)
        if len(self._windows) > MOST_BUCKETS:
            self._windows.pop(next(iter(self._windows)))
        resets_at = events[0][0] + window_s if events else now
        return Grant(allowed, max(0, limit - total), resets_at)

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
