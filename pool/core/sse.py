"""Server-sent events: cut a byte stream into whole events, read them, write them.

Everything is bytes: U+2028 and its kind end no line, only CR, LF and CRLF do.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_EVENT_BYTES = 64 * 1024 * 1024
MAX_PEEK_BYTES = 64 * 1024
"""A tail longer than this is no event that only lacks its blank line."""

WHOLE_ENDS = (b"}", b"]")
BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """One event grew past the cap; the rest of the stream cannot be read."""


class Event(NamedTuple):
    """One dispatched event. `name` is b"" where the stream said nothing.

    `bare` holds the lines that are no field of the format but begin like JSON: Google sends an error
    inside a 200 stream as a plain JSON document without `data:`.
    """

    data: bytes
    name: bytes = b""
    bare: bytes = b""


# Over whole strings to the next brace; possessive, so that nothing is tried twice.
_TO_BRACE = re.compile(rb'(?:[^"{}]*+"(?:[^"\\]++|\\.)*+")*+[^"{}]*+', re.DOTALL)
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class Braces:
    """Follows the braces of JSON in a buffer that grows, each byte once."""

    __slots__ = ("_in_string", "at", "depth")

    def __init__(self) -> None:
        self.at = 0
        self.depth = 0
        self._in_string = False

    def next(self, buffer: bytearray) -> bool:
        """Goes on behind the next brace outside of strings; False where it has not come yet."""
        while self.at < len(buffer):
            if self._in_string:
                self._leave_string(buffer)
                if self._in_string:
                    return False
            found = _TO_BRACE.match(buffer, self.at)
            self.at = found.end() if found else self.at
            if self.at == len(buffer):
                return False
            byte = buffer[self.at]
            self.at += 1
            if byte == 0x22:
                self._in_string = True
            else:
                self.depth += 1 if byte == 0x7B else -1
                return True
        return False

    def open_in(self, buffer: bytearray) -> bool:
        """Whether a brace in the buffer is not closed in it."""
        while self.next(buffer):
            pass
        return self.depth > 0 or self._in_string

    def _leave_string(self, buffer: bytearray) -> None:
        found = _IN_STRING.match(buffer, self.at)
        self.at = found.end() if found else self.at
        # A lone backslash at the end waits for the byte it escapes.
        if buffer[self.at : self.at + 1] == b'"':
            self.at += 1
            self._in_string = False


class Cutter:
    """Hands out whole events as they came, byte for byte, and keeps the unfinished tail.

    Linear in the bytes fed, however they are split.
    """

    __slots__ = ("_after_cr", "_braces", "_max", "_peeked", "_scanned", "tail")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.tail = bytearray()
        self._scanned = 0
        self._max = max_event_bytes
        self._after_cr = False
        self._braces = Braces()
        self._peeked = 0

    @property
    def clean(self) -> bool:
        """Whether what is fed next begins an event."""
        return not self.tail and not self._after_cr

    def feed(self, piece: bytes) -> bytes:
        """All events that are complete now, with the blank lines that end them; b"" where there is none."""
        if self._after_cr and piece:
            self._after_cr = False
            if piece[:1] == b"\n":
                # The second half of a line end that was cut in two: clients wait for it before they read the event.
                return b"\n" + self.feed(piece[1:])
        if not self.tail and piece.endswith((b"\n\n", b"\r\n\r\n")):
            return bytes(piece)
        tail = self.tail
        tail += piece
        end = _last_blank_line(tail, max(0, self._scanned - 3))
        if end:
            whole = bytes(memoryview(tail)[:end])
            del tail[:end]
            self._braces = Braces()
            self._peeked = 0
            self._after_cr = not tail and whole.endswith(b"\r")
        else:
            whole = b""
        self._scanned = len(tail)
        if self._scanned > self._max:
            raise EventTooLarge(f"an event is larger than {self._max} bytes")
        return whole

    def whole_tail(self) -> bytes:
        """The tail where it may be JSON that lacks nothing but its blank line, which may never come; else b"".

        Asked after every piece: a tail that is huge, ends otherwise, or has braces left to close, is not copied. One
        that keeps looking whole is not looked at for ever: this stays linear in the bytes fed, too.
        """
        tail = self.tail
        if not tail or not MAX_PEEK_BYTES >= len(tail) >= self._peeked >> 3:
            return b""
        if not tail[-4:].rstrip().endswith(WHOLE_ENDS) or self._braces.open_in(tail):
            return b""
        self._peeked += len(tail)
        return bytes(tail)

    def end(self) -> bytes:
        """What is left when the stream ended: an event without its blank line, or b""."""
        left = bytes(self.tail)
        self.tail.clear()
        self._scanned = 0
        return left


def _last_blank_line(buffer: bytearray, start: int) -> int:
    """Offset just behind the last blank line at or after `start`, 0 where there is none."""
    end = 0
    at = buffer.rfind(b"\n\n", start)
    if at >= 0:
        end = at + 2
    if buffer.find(b"\r", start) < 0:
        return end
    for pair in (b"\n\r", b"\r\r"):
        at = buffer.rfind(pair, start)
        if at >= 0:
            # "\n\r" may be the beginning of "\n\r\n": the LF belongs to the same line end.
            end = max(end, at + (3 if buffer[at + 2 : at + 3] == b"\n" else 2))
    return end


def events(whole: bytes) -> Iterator[Event]:
    """The events in a run of whole ones (what `Cutter.feed` returned), comments and blank lines left out."""
    if b"\r" in whole:
        whole = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for block in whole.split(b"\n\n"):
        if block.startswith(b"data: ") and b"\n" not in block:
            yield Event(block[6:])
        elif block:
            event = _read(block)
            if event is not None:
                yield event


# Atomic: "\r\n" is one line end and must not be tried as two.
_BLANK_LINES = re.compile(rb"((?>\r\n|\n|\r)(?:\r\n|\n|\r)+)")


def blocks(whole: bytes) -> list[bytes]:
    """The same run of whole events, cut apart and otherwise untouched: blank lines stay with their event."""
    if whole.startswith(b"data") and whole.find(b"\n") >= len(whole) - 3:
        return [whole]
    if b"\r" not in whole and b"\n\n\n" not in whole and whole.endswith(b"\n\n"):
        return [block + b"\n\n" for block in whole.split(b"\n\n")[:-1]]
    pieces = _BLANK_LINES.split(whole)
    return [text + end for text, end in zip(pieces[::2], [*pieces[1::2], b""], strict=True) if text or end]


def without_comments(block: bytes) -> bytes:
    """One event without its comment lines; b"" where nothing else was in it."""
    if b":" not in (block[:1], block[1:2]) and b"\n:" not in block and b"\r:" not in block:
        return block
    lines = [line for line in block.splitlines(keepends=True) if not line.startswith(b":")]
    return b"".join(lines) if any(line.strip(b"\r\n") for line in lines) else b""


def read(block: bytes) -> Event | None:
    """The event in one block of `blocks`; None for comments and blank lines."""
    return _sole(block) or next(events(block.removeprefix(BOM)), None)


def _sole(whole: bytes) -> Event | None:
    """The event in a run that is nothing but one of one line, as nearly all are; None where it may be anything."""
    if whole.startswith(b"data: "):
        size = len(whole)
        if whole.endswith(b"\r\n\r\n") and whole.find(b"\r") == size - 4 and whole.find(b"\n") == size - 3:
            return Event(whole[6:-4])
        if whole.find(b"\n") == size - 2 and whole[-1] == 10 and b"\r" not in whole:
            return Event(whole[6:-2])
    return None


def _read(block: bytes) -> Event | None:
    """One event from its lines; None where the block dispatches nothing (comments, retry, id)."""
    lines, name = [], b""
    block = block.strip(b"\n")
    if block.lstrip().startswith((b"{", b"[")):
        return Event(b"", b"", block)
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    return Event(b"\n".join(lines), name) if lines else None


class Decoder:
    """Events out of bytes, for who wants to read and not to pass on."""

    __slots__ = ("_at_start", "_cutter")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._cutter = Cutter(max_event_bytes)
        self._at_start = True

    @property
    def pending(self) -> bytes:
        """The unfinished tail where it may be an event in all but its blank line, else b""."""
        return self._cutter.whole_tail()

    def sole(self, piece: bytes) -> bytes | None:
        """The data of the one event that a piece is, which need not be fed then; None where it may be anything."""
        event = _sole(piece) if self._cutter.clean else None
        return event.data if event is not None else None

    def feed(self, piece: bytes) -> list[Event]:
        whole = self._cutter.feed(piece)
        if not whole:
            return []
        sole = _sole(whole)
        if sole is None:
            return list(events(self._without_bom(whole)))
        self._at_start = False
        return [sole]

    def end(self) -> list[Event]:
        """What is left at the end of the stream, read as if its blank line had come.

        The standard throws it away; upstreams forget the last blank line, and a cut event is told from a
        whole one by its JSON.
        """
        left = self._cutter.end()
        return list(events(self._without_bom(left).rstrip(b"\r\n"))) if left else []

    def _without_bom(self, whole: bytes) -> bytes:
        if self._at_start:
            self._at_start = False
            return whole.removeprefix(BOM)
        return whole


def encode(data: bytes, name: bytes = b"") -> bytes:
    """One event. Line ends inside `data` become lines of their own, as a decoder joins them again."""
    head = b"event: " + name + b"\n" if name else b""
    if b"\n" not in data and b"\r" not in data:
        return head + b"data: " + data + b"\n\n"
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return head + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


DONE = b"data: [DONE]\n\n"
HEARTBEAT = b"\n"
"""A bare blank line: comments and `event:` lines kill google-genai's parser, this troubles nobody."""
