"""Keeps Python's collector from stopping everything while much is made at once.

One full collection looks at every object there is: with 100,000 keys in hand that is 100 ms during which no stream
moves. What such work makes is let go of by counting references, so nothing is lost by waiting for its end.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PIECE = 1_000

NEVER = 2**31 - 1

_under_way = 0
_usual = gc.get_threshold()


@contextmanager
def uncollected() -> Iterator[None]:
    """No full collection until this, and all of its kind under way, are over. Also a decorator.

    The short collections of what is new go on: put off, all that is new by then would be looked at in one go.
    """
    global _under_way, _usual
    if not _under_way:
        _usual = gc.get_threshold()
    _under_way += 1
    gc.set_threshold(*_usual[:2], NEVER)
    try:
        yield
    finally:
        _under_way -= 1
        if not _under_way:
            gc.set_threshold(*_usual)


def let_go(pile: list[Any]) -> None:
    """Free many values bit by bit, in a thread. Freed as one, 100,000 of them stop every thread for 100 ms."""
    while pile:
        del pile[-PIECE:]
