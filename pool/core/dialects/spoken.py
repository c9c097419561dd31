"""What a streamed answer came to so far, for upstreams that do not say, and for streams cut before they did."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from pool.core.calls import Call, Usage
from pool.core.tokens import estimate_prompt, weigh

BYTES_A_TOKEN = 4
"""Near enough for any script: a CJK character is three bytes and 0.7 tokens."""

MEDIA_BYTES = 64 * 1024
"""An event as large as that holds a picture, and none of its bytes are text."""


PADDING = b'"obfuscation"'


class Spoken:
    """Adds up what was handed out. Events that pass unread are weighed by their size less what frames their text:
    the frame of a stream's events stays the same, and the first one with text shows how long it is."""

    __slots__ = ("_call", "_events", "_frame", "_padded", "_size", "_tokens")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._tokens = 0.0
        self._frame = 0
        self._padded = False
        self._size = 0
        self._events = 0

    def read(self, said: Any, block: bytes) -> None:
        """One event that was read: the part of its JSON that holds what was said, and its bytes as a whole."""
        tokens = weigh(said)
        if not tokens:
            return
        # No event holds less than a token, and OpenAI's hold one each.
        self._tokens += max(tokens, 1)
        if not self._frame:
            self._frame = max(0, len(block) - int(tokens * BYTES_A_TOKEN))
            # OpenAI pads events so that their size tells nothing.
            self._padded = PADDING in block

    def passed(self, size: int, events: int) -> None:
        """A run of events that nobody read."""
        if size < MEDIA_BYTES * events:
            self._size += size
            self._events += events

    def heard(self, size: int) -> None:
        """One event that nobody read, but whose text is known to be so many bytes."""
        if size < MEDIA_BYTES:
            self._tokens += 1 if self._padded else max(size / BYTES_A_TOKEN, 1)

    def wrote(self, size: int) -> None:
        """Bytes of text alone."""
        self._size += size

    def usage(self, stated: Usage, finished: bool) -> Usage:
        """What the upstream stated; estimated where it stated nothing, or was cut before it stated its output."""
        if stated.output or (stated.total and finished):
            return stated
        text = 0 if self._padded else self._size - self._events * self._frame
        written = math.ceil(self._tokens + max(text / BYTES_A_TOKEN, self._events))
        if not written and stated.total:
            return stated
        read = stated.input or estimate_prompt(self._call)
        return replace(stated, input=read, output=written, estimated=True)


def estimated(call: Call, said: Any) -> Usage:
    """Usage of a whole answer that told none; `said` is the part of its JSON that holds what was said."""
    return Usage(estimate_prompt(call), math.ceil(weigh(said)), estimated=True)
