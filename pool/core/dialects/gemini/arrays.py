"""Streams without alt=sse: one JSON array that arrives piece by piece."""

from __future__ import annotations

from pool.core.sse import MAX_EVENT_BYTES, Braces, EventTooLarge


class ElementCutter:
    """Hands out whole top-level objects of the array, each with the bytes before it, nothing changed.

    Linear in the bytes fed, however they are split.
    """

    def __init__(self, max_element_bytes: int = MAX_EVENT_BYTES) -> None:
        self.tail = bytearray()
        self._max = max_element_bytes
        self._braces = Braces()

    def feed(self, piece: bytes) -> list[bytes]:
        self.tail += piece
        whole: list[bytes] = []
        taken = 0
        braces = self._braces
        while braces.next(self.tail):
            if braces.depth == 0:
                whole.append(bytes(memoryview(self.tail)[taken : braces.at]))
                taken = braces.at
        if taken:
            del self.tail[:taken]
            braces.at -= taken
        if len(self.tail) > self._max:
            raise EventTooLarge(f"an element is larger than {self._max} bytes")
        return whole

    def end(self) -> bytes:
        left = bytes(self.tail)
        self.tail.clear()
        self._braces = Braces()
        return left


def element_json(raw: bytes) -> bytes:
    """The object itself, out of the bracket, comma and white space before it."""
    return raw[raw.index(b"{") :]
