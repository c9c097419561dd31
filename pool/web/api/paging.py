"""Places in a list by time: opaque to who asks, good for as long as the list is, whatever comes in meanwhile."""

from __future__ import annotations

import base64
import binascii
import math

import orjson

from pool.core.faults import Fault

Place = tuple[float, int]
"""A row's moment and id: the next page begins after it."""


def cursor(at: float, row_id: int) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([at, row_id])).decode().rstrip("=")


def place(text: str | None) -> Place | None:
    """Where a cursor points; None without one. Raises `Fault` 400 for what is none of ours."""
    if not text:
        return None
    try:
        at, row_id = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        found = float(at), int(row_id)
    except (ValueError, TypeError, OverflowError, binascii.Error):
        raise _unknown() from None
    if not math.isfinite(found[0]) or not 0 <= found[1] < 2**63:
        raise _unknown()
    return found


def _unknown() -> Fault:
    message = "`after` is not the `next` of a page before; leave it out to begin anew."
    return Fault(400, "invalid_value", message, param="after", retryable=False)
