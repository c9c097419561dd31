"""What all workers must agree on: the port `PoolState`, with one implementation in memory and one in Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Demand:
    """A key somebody would like to use: its cap on attempts, and the window the cap belongs to.

    `cap` None means no cap. `window` names the period ("" for ever, "2026-11-21", "2026-11").
    """

    key_id: int
    cap: int | None = None
    window: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer of a counted window: allowed or not, what is left, and when it begins anew (Unix seconds)."""

    allowed: bool
    remaining: int
    resets_at: float


@dataclass(frozen=True, slots=True)
class Word:
    """News of a key for every worker: set aside (`until` a moment), or released (`until` 0)."""

    key_id: int
    reason: str
    until: float
    model: str = ""


class PoolState(Protocol):
    """Every method is atomic across workers and takes at most one round trip."""

    def admit(self, demands: Sequence[Demand]) -> int | None:
        """Reserve one attempt on the first key that fits under its cap; None where none does."""
        ...

    def end(self, key_id: int) -> None:
        """An admitted attempt is over. Its count against the cap stays: caps count attempts."""
        ...

    def in_flight(self, key_id: int) -> int:
        """Attempts admitted and not ended."""
        ...

    def used(self, key_id: int, window: str) -> int:
        """Attempts counted against a key's cap in a window."""
        ...

    def restore(self, key_id: int, window: str, used: int) -> None:
        """Take over a count from storage; a higher count already here stays."""
        ...

    def reset(self, key_id: int) -> None:
        """Forget the attempts counted for a key."""
        ...

    def take(self, bucket: str, limit: int, window_s: float, now: float, amount: int = 1) -> Grant:
        """Count `amount` in the sliding window of a bucket, or nothing where it would pass `limit`."""
        ...

    def claim(self, chore: str, holder: str, ttl_s: float, now: float) -> bool:
        """Lead a chore for `ttl_s` seconds; True for the one who holds it, again and again."""
        ...

    def announce(self, word: Word) -> None:
        """Tell every worker, this one included."""
        ...

    def listen(self, hear: Callable[[Word], None]) -> None:
        """Call `hear` for every word announced from now on."""
        ...
