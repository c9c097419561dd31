"""What a client is told when no key is left to try: why, and when the first comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .faults import Fault
from .rotation import Rotation

_COUNTED = {"disabled", "dead", "not_entitled", "limited"}


def census(rotations: Sequence[Rotation], model: str, now: float) -> dict[str, int]:
    """Keys set aside for `model`, in the words of an answer: cooling, limited, not_entitled, disabled, dead."""
    counts: Counter[str] = Counter()
    for rotation in rotations:
        for reason, count in rotation.census(model, now).items():
            counts[reason if reason in _COUNTED else "cooling"] += count
    return dict(counts)


def nothing_left(rotations: Sequence[Rotation], model: str, now: float) -> Fault:
    """All cooling: 429 with the earliest recovery. No key entitled: 404. None enabled or all dead: 503."""
    counts = census(rotations, model, now)
    if counts.get("cooling") or counts.get("limited"):
        moments = [moment for rotation in rotations if (moment := rotation.recovery(model)) is not None]
        wait_s = max(1.0, min(moments) - now) if moments else 60.0
        message = f"Every key of this pool is cooling down for {model!r}; the first recovers in {wait_s:.0f} s."
        return Fault(429, "all_keys_cooling", message, retry_after_s=wait_s, details={"keys": counts})
    if counts.get("not_entitled"):
        message = f"No key of this pool may use {model!r}."
        return Fault(404, "model_not_found", message, param="model", retryable=False, details={"keys": counts})
    return no_keys(counts)


def no_keys(counts: dict[str, int]) -> Fault:
    message = "This pool has no usable key: none is enabled, or all were refused by their upstream."
    return Fault(503, "no_available_keys", message, retry_after_s=60, retryable=False, details={"keys": counts})
