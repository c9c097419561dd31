"""Token counts as upstreams state them, and the one place where they become a `Usage`."""

from __future__ import annotations

from typing import Any

from pool.core.calls import Usage

MOST_TOKENS = 2**53
"""What JSON readers in JavaScript and every column of ours can hold; nobody counts further."""


def count(holder: Any, name: str) -> int:
    """The count `name` of an object; 0 where there is none."""
    return bounded(holder[name]) if isinstance(holder, dict) and name in holder else 0


def bounded(stated: Any) -> int:
    """A stated number within 0…MOST_TOKENS; 0 for what is none. Integers beyond 64 bit are parsed as floats."""
    if type(stated) is int and 0 <= stated <= MOST_TOKENS:
        return stated
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        return 0
    return int(min(max(stated, 0), MOST_TOKENS))


def usage(read: int, written: int = 0, cached: int = 0, thinking: int = 0, estimated: bool = False) -> Usage:
    return Usage(bounded(read), bounded(written), bounded(cached), bounded(thinking), estimated)
