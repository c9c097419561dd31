"""The retry budget: retries never multiply an outage.

While an upstream fails, retries of one request cost all of them: one upstream's extra attempts stay within a fifth
of its requests and three. While it mostly answers, a retry costs nothing.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 10
"""How far back an upstream's attempts tell whether it fails."""

SHARE = 0.2
"""Retries a request pays for."""

SAVED = 2.0
"""The most that is saved up, and where it begins. With the first retry, which is free, this makes three."""

ALL_FAILED = 5
"""So many failures in a row say more than ten seconds that began well."""


class RetryBudget:
    """What one upstream's attempts of the last ten seconds came to, and the retries left to spend."""

    __slots__ = ("_failures", "_in_a_row", "_seconds", "_successes", "_tokens")

    def __init__(self) -> None:
        self._tokens = SAVED
        self._seconds: deque[list[int]] = deque()
        self._successes = 0
        self._failures = 0
        self._in_a_row = 0

    def asked(self) -> None:
        """A client's request is on its way to this upstream."""
        if self._tokens < SAVED:
            self._tokens = min(SAVED, self._tokens + SHARE)

    def succeeded(self, now: float) -> None:
        self._in_a_row = 0
        self._second(now)[1] += 1
        self._successes += 1

    def failed(self, now: float) -> None:
        """An attempt failed in a way that may be the upstream's own trouble."""
        self._in_a_row += 1
        self._second(now)[2] += 1
        self._failures += 1

    def failing(self, now: float) -> bool:
        """Did fewer than half of the attempts of the last ten seconds succeed, or none of the last five?"""
        self._forget(int(now))
        if not self._seconds:
            self._in_a_row = 0
        return self._in_a_row >= ALL_FAILED or self._successes < self._failures

    def may_retry(self, now: float) -> bool:
        """One more attempt after a failure that was nobody's? A lone one is free; the budget binds in an outage."""
        failing = self.failing(now)
        if not failing and self._in_a_row < 2:
            return True
        if self._tokens < 1.0:
            return not failing
        self._tokens -= 1.0
        return True

    def _second(self, now: float) -> list[int]:
        """The figures of this second: [second, successes, failures]."""
        second = int(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._forget(second)
            self._seconds.append([second, 0, 0])
        return self._seconds[-1]

    def _forget(self, second: int) -> None:
        seconds = self._seconds
        while seconds and not second - WINDOW_S < seconds[0][0] <= second:
            _, successes, failures = seconds.popleft()
            self._successes -= successes
            self._failures -= failures
