"""Figures that are dear to add up, kept for a while: the longer the work took, the longer its answer is good."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from flask import current_app

T = TypeVar("T")

KEPT = 50.0
"""How many times as long as it took an answer is kept: looking again costs a fiftieth of one core at most."""

MOST_KEPT_S = 60.0


def lately(name: Hashable, work: Callable[..., T], *args: Any) -> T:
    """What `work` answers, or answered a moment ago. `name` says what it is about, moments aside."""
    kept: dict[Hashable, tuple[float, Any]] = current_app.extensions.setdefault("lately", {})
    began = time.monotonic()
    known = kept.get(name)
    if known is not None and began < known[0]:
        answer: T = known[1]
        return answer
    answer = work(*args)
    took_s = time.monotonic() - began
    kept[name] = time.monotonic() + min(KEPT * took_s, MOST_KEPT_S) if took_s > 0.02 else 0.0, answer
    return answer
