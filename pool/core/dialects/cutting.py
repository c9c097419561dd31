"""Requests that an upstream takes only in parts: what they are cut into, and how the answers become one again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeGuard

from pool.core.calls import Call, Codec, Reply, Usage


class Cutting(Codec, Protocol):
    """A codec whose upstream has a limit that a client's dialect does not know."""

    def cut(self, call: Call, model: str) -> Sequence[Call]:
        """The parts of a call, in order: each is asked, and its answer read, as a call of its own.

        The call itself, alone, where it needs no cutting. Raises `Fault` 400 as `ask` does.
        """
        ...

    def joined(self, call: Call, replies: Sequence[Reply]) -> Reply:
        """One answer out of those to all the parts, in their order."""
        ...


def parts_of(codec: Codec, call: Call, model: str) -> Sequence[Call]:
    """What a call is cut into; the call alone for codecs and calls that need no cutting. Raises `Fault` 400."""
    return codec.cut(call, model) if cuts(codec) else (call,)


def joined(codec: Codec, call: Call, replies: Sequence[Reply]) -> Reply:
    return codec.joined(call, replies) if cuts(codec) else replies[0]


def cuts(codec: Codec) -> TypeGuard[Cutting]:
    return hasattr(codec, "cut")


def total(usages: Sequence[Usage]) -> Usage:
    """What several answers cost together; an estimate as soon as one of them is."""
    return Usage(
        sum(usage.input for usage in usages),
        sum(usage.output for usage in usages),
        sum(usage.cached for usage in usages),
        sum(usage.thinking for usage in usages),
        any(usage.estimated for usage in usages),
    )
