"""Streams without alt=sse: one JSON array that arrives piece by piece."""

from __future__ import annotations

import re

from pool.core.sse import MAX_EVENT_BYTES, EventTooLarge

# Over whole strings to the next brace; possessive, so that nothing is tried twice.
_TO_BRACE = re.compile(rb'(?:[^"{}]*+"(?:[^"\\]++|\\.)*+")*+[^"{}]*+', re.DOTALL)
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class ElementCutter:
    """Hands out whole top-level objects of the array, each with the bytes before it, nothing changed.

    Linear in the bytes fed, however they are split.
    """

    def __init__(self, max_element_bytes: int = MAX_EVENT_BYTES) -> None:
        self.tail = bytearray()
        self._max = max_element_bytes
        self._at = 0
        self._depth = 0
        self._in_string = False

    def feed(self, piece: bytes) -> list[bytes]:
        self.tail += piece
        whole: list[bytes] = []
        taken = 0
        while (end := self._object_end()) is not None:
            whole.append(bytes(memoryview(self.tail)[taken:end]))
            taken = end
        if taken:
            del self.tail[:taken]
            self._at -= taken
        if len(self.tail) > self._max:
            raise EventTooLarge(f"an element is larger than {self._max} bytes")
        return whole

    def end(self) -> bytes:
        left = bytes(self.tail)
        self.tail.clear()
        self._at = 0
        return left

    def _object_end(self) -> int | None:
        """Offset behind the next top-level object, None where it has not come yet."""
        tail = self.tail
        while self._at < len(tail):
            if self._in_string:
                self._leave_string()
                if self._in_string:
                    return None
            found = _TO_BRACE.match(tail, self._at)
            self._at = found.end() if found else self._at
            if self._at == len(tail):
                return None
            byte = tail[self._at]
            self._at += 1
            if byte == 0x22:
                self._in_string = True
            elif byte == 0x7B:
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    return self._at
        return None

    def _leave_string(self) -> None:
        found = _IN_STRING.match(self.tail, self._at)
        self._at = found.end() if found else self._at
        # A lone backslash at the end waits for the byte it escapes.
        if self.tail[self._at : self._at + 1] == b'"':
            self._at += 1
            self._in_string = False


def element_json(raw: bytes) -> bytes:
    """The object itself, out of the bracket, comma and white space before it."""
    return raw[raw.index(b"{") :]
