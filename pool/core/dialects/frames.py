"""What stands around the text of a stream's events: the same from one event to the next."""

from __future__ import annotations

import re

MOST_LEARNED = 8
"""Of how many shapes one stream's frames are learned: events that never look alike are not worth the trouble."""

# Strings that change from event to event and hold no escape; the rest of an event must stay as it is.
_TEXT = re.compile(rb'"(?:content|reasoning_content|reasoning|text|arguments|obfuscation)": ?"([^"\\\n\r]*)"')


class Frame:
    """Tells an event that differs from an earlier one in its text alone, so that it need not be read.

    Inside a JSON string every quote is escaped: where the first quote behind the text is followed by what followed it
    the last time, that text is all that is new. A text with an escaped quote in it does not fit, and is read.
    """

    __slots__ = ("_left", "_parts", "known", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._left = MOST_LEARNED
        self.known = False
        self.size = 0
        """Bytes that stand around the text."""

    def learn(self, event: bytes) -> None:
        """Take the shape of one whole event of one line, which may go on as it is."""
        # One that ends "\r\n\r" waits for the rest of its end.
        if b"\\" in event or not event.endswith(b"\n\n") or event.find(b"\n") != len(event) - 2:
            return
        self.known = False
        if not self._left:
            return
        self._left -= 1
        parts, at = [], 0
        for text in _TEXT.finditer(event):
            parts.append(event[at : text.start(1)])
            at = text.end(1)
        self.known = bool(parts)
        self._parts = [*parts, event[at:]]
        self.size = sum(map(len, self._parts))

    def fits(self, piece: bytes) -> bool:
        """Is a piece one such event, and nothing else?"""
        first, *others = self._parts
        if not piece.startswith(first) or piece.find(b"\n") != len(piece) - 2:
            return False
        at = len(first)
        for part in others:
            at = piece.find(b'"', at)
            if at < 0 or not piece.startswith(part, at):
                return False
            at += len(part)
        return at == len(piece)
