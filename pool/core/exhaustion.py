"""What a client is told when no key is left to try: why, and when the first comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .faults import Fault, NotYet
from .rotation import Rotation

_COUNTED = {"disabled", "dead", "not_entitled", "limited"}


def census(rotations: Sequence[Rotation], model: str, now: float) -> dict[str, int]:
    """Keys set aside for `model`, in the words of an answer: cooling, limited, not_entitled, disabled, dead."""
    counts: Counter[str] = Counter()
    for rotation in rotations:
        for reason, count in rotation.census(model, now).items():
            counts[reason if reason in _COUNTED else "cooling"] += count
    return dict(counts)


def nothing_left(
    rotations: Sequence[Rotation], model: str, now: float, limited: int = 0, room_at: float = float("inf")
) -> Fault:
    """All cooling: 429 with the earliest recovery. No key entitled: 404. None enabled or all dead: 503.

    `limited`: keys that serve others, but have no room for a request of this size before `room_at`.
    """
    counts = census(rotations, model, now)
    if limited:
        counts["limited"] = counts.get("limited", 0) + limited
    if counts.get("cooling") or counts.get("limited"):
        moments = [moment for rotation in rotations if (moment := rotation.recovery(model)) is not None]
        wait_s = max(0.0, min([*moments, room_at]) - now)
        if wait_s == float("inf"):
            return Fault(429, "all_keys_cooling", f"No key of this pool has room for this request to {model!r}.",
                         retry_after_s=60.0, details={"keys": counts})  # fmt: skip
        message = f"Every key of this pool is cooling down for {model!r}; the first recovers in {wait_s:.0f} s."
        fault = Fault(429, "all_keys_cooling", message, retry_after_s=max(1.0, wait_s), details={"keys": counts})
        return NotYet(fault, wait_s)
    if counts.get("not_entitled"):
        message = f"No key of this pool may use {model!r}."
        return Fault(404, "model_not_found", message, param="model", retryable=False, details={"keys": counts})
    return no_keys(counts)


STORM_RETRY_S = 1.0


OF_OUR_KEYS = frozenset({"401", "403", "429"})
"""Refusals of Keypool's keys. Told as they came, a client would look for the fault in its own."""


def stormy(kind: str) -> Fault:
    """The upstream fails all keys alike."""
    message = f"The upstream fails every key alike ({kind}); Keypool is trying whether it is back."
    return Fault(503, "upstream_unavailable", message, retry_after_s=STORM_RETRY_S)


def in_a_storm(kind: str) -> NotYet:
    """The same, while one request at a time tries whether that is over."""
    return NotYet(stormy(kind), STORM_RETRY_S, storm=True)


def no_keys(counts: dict[str, int]) -> Fault:
    message = "This pool has no usable key: none is enabled, or all were refused by their upstream."
    return Fault(503, "no_available_keys", message, retry_after_s=60, retryable=False, details={"keys": counts})
