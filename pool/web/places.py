"""Where a page of keys begins, as an address has it: a place that nobody understands is the beginning."""

from __future__ import annotations

from pool.core.faults import Fault
from pool.web.api.key_shapes import place_of


def place_in(cursor: str) -> tuple[float, int] | None:
    try:
        return place_of(cursor[:200])
    except Fault:
        return None
