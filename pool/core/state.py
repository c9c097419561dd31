"""What all workers must agree on: the port `PoolState`, with one implementation in memory and one in Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["sliding", "period", "level"]


@dataclass(frozen=True, slots=True)
class Bound:
    """One limit somebody must fit under: `counter` holds at most `most`, and `amount` more is asked.

    sliding: what was put in within the last `span_s` seconds, reckoned in whole seconds and never too little.
    period: what was put in during the period of this name ("" for ever, "2026-11-21", "2026-11"), over at `ends_at`.
    level: what is in use now and will be given back.

    Counters are named `owner/what`, e.g. `k17/rpm/gemini-2.5-pro`; one name is always of one kind.
    """

    counter: str
    most: int
    amount: int = 1
    kind: Kind = "sliding"
    span_s: float = 60.0
    period: str = ""
    ends_at: float = float("inf")


Offer = Sequence[Bound]
"""The limits one key (or client, or pool) would be used under: all of them hold, or it is not used."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Offer number `offer` was taken, all of it. `left` is what remains of each of its bounds; `at` is for `Change`."""

    offer: int
    left: tuple[int, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Refused:
    """No offer fits. For each, the number of the bound that is in the way, what is left of it, and when it may fit.

    `frees_at` is Unix seconds: infinite for a level, or where the amount alone is more than the limit.
    """

    bounds: tuple[int, ...]
    left: tuple[int, ...]
    frees_at: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A correction of what was taken: `amount` more (or less) in the same second or period as then."""

    counter: str
    amount: int
    kind: Kind = "sliding"
    at: int = 0
    period: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """What storage knows of a counter, to be taken over at a start. `at`: the second, of a sliding one."""

    counter: str
    amount: int
    kind: Kind = "period"
    at: int = 0
    period: str = ""
    ends_at: float = float("inf")


MADE = "made"
"""The reason of a word that says nothing against a key: it made an upstream object, whose description is in `model`."""


@dataclass(frozen=True, slots=True)
class Word:
    """News of a key for every worker: set aside (`until` a moment), or released (`until` 0).

    With model None a release ends all that is known against the key, its death too. With the reason `MADE` it is
    about an object of the key, known until a moment or (`until` 0) no more.
    """

    key_id: int
    reason: str
    until: float
    model: str | None = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer of a counted window: allowed or not, what is left, and when there is room again (Unix seconds)."""

    allowed: bool
    remaining: int
    resets_at: float


class PoolState(Protocol):
    """Every method is atomic across workers and takes at most one round trip."""

    def admit(self, offers: Sequence[Offer], now: float) -> Taken | Refused:
        """Reserve the first offer that fits under all of its bounds. An offer without bounds always fits."""
        ...

    def settle(self, changes: Sequence[Change]) -> None:
        """Correct reservations: tokens and cost to what they came to, levels given back. Nothing falls below 0."""
        ...

    def held(self, counter: str, now: float, period: str = "", span_s: float = 60.0) -> int:
        """What a counter holds: in this period, in the last `span_s` seconds, or in use."""
        ...

    def restore(self, counts: Sequence[Count]) -> None:
        """Take over counts from storage; a higher count already here stays."""
        ...

    def forget(self, owner: str) -> None:
        """Drop every counter of an owner ("k17")."""
        ...

    def claim(self, chore: str, holder: str, ttl_s: float, now: float) -> bool:
        """Lead a chore for `ttl_s` seconds; True for the one who holds it, again and again."""
        ...

    def announce(self, word: Word) -> None:
        """Tell every worker, this one included and at once."""
        ...

    def listen(self, hear: Callable[[Word], None]) -> None:
        """Call `hear` for every word announced from now on."""
        ...

    @property
    def degraded(self) -> bool:
        """Is it without what the workers share, going on by what this one knows?"""
        ...


def take(state: PoolState, bucket: str, limit: int, window_s: float, now: float) -> Grant:
    """Count one event in the sliding window of a bucket, or nothing where it would pass `limit`."""
    answer = state.admit([[Bound(bucket, limit, span_s=window_s)]], now)
    if isinstance(answer, Taken):
        return Grant(True, answer.left[0], now)
    return Grant(False, 0, answer.frees_at[0])
