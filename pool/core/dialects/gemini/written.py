"""What one candidate wrote: where the bytes that Google counts stand among the characters that the client got."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import groupby
from typing import Any, NamedTuple

TEXT, THOUGHT, OTHER = "text", "thought", "other"


MOST_CHARS = 24 * 1024
"""How much of a stream is kept word for word; a stream is as long as it likes, and there may be thousands of them."""

MOST_SINGLE = 64
JOINED_CHARS = 1024
"""After so many pieces a stream's next ones are joined to these sizes: a short text costs less than its object."""

PIECE_CHARS = 64
"""What a piece costs beside its text, in characters."""

MOST_MARKS = 1024
MARK_EVERY_BYTES = 512


class Piece(NamedTuple):
    """One part. `begins` is the place of its text in the client's content, in characters."""

    kind: str
    text: str
    begins: int


class Far:
    """Where text stands that was not kept: exact for ASCII, else within a few characters, however long it is."""

    __slots__ = ("_bytes", "_every", "_places", "begins_at", "ends_at", "place")

    def __init__(self, begins_at: int, place: int) -> None:
        self.begins_at = self.ends_at = begins_at
        self.place = place
        self._every = MARK_EVERY_BYTES
        self._bytes, self._places = array("Q"), array("Q")

    def add(self, text: str, place: int) -> None:
        """More visible text, which begins at a place of the content."""
        if place != self.place:
            self._mark(self.place)
        if not self._bytes or self.ends_at - self._bytes[-1] >= self._every or place != self.place:
            self._mark(place)
        self.ends_at += len(text) if text.isascii() else len(text.encode())
        self.place = place + len(text)

    def _mark(self, place: int) -> None:
        self._bytes.append(self.ends_at)
        self._places.append(place)
        if len(self._bytes) > MOST_MARKS:
            self._every *= 2
            self._bytes, self._places = self._bytes[::2], self._places[::2]

    def place_of(self, offset: int) -> int:
        """The place in the content of a byte of the visible text."""
        at = max(bisect_right(self._bytes, offset) - 1, 0)
        last = at + 1 == len(self._bytes)
        ends_at, ends = (self.ends_at, self.place) if last else (self._bytes[at + 1], self._places[at + 1])
        begins_at, begins = self._bytes[at], self._places[at]
        return begins + (min(offset, ends_at) - begins_at) * (ends - begins) // max(1, ends_at - begins_at)


class Written:
    """The parts of a candidate in order, of a whole answer or of a stream so far.

    `most_chars`: how much of the text is kept, for who cannot keep it all.
    """

    __slots__ = ("_far", "_left", "_length", "_pieces")

    def __init__(self, most_chars: float = float("inf")) -> None:
        self._pieces: list[Piece] = []
        self._length = 0
        self._left = most_chars
        self._far: Far | None = None

    def add_text(self, text: str) -> None:
        self._left -= len(text)
        if self._left >= 0:
            self._keep(TEXT, text)
        else:
            if self._far is None:
                visible = (piece for piece in self._pieces if piece.kind == TEXT)
                self._far = Far(sum(len(piece.text.encode()) for piece in visible), self._length)
            self._far.add(text, self._length)
        self._length += len(text)

    def _keep(self, kind: str, text: str = "") -> None:
        pieces = self._pieces
        if len(pieces) > MOST_SINGLE and pieces[-1].kind == kind and len(pieces[-1].text) < JOINED_CHARS:
            pieces[-1] = pieces[-1]._replace(text=pieces[-1].text + text)
        elif self._far is None:
            pieces.append(Piece(kind, text, self._length))
            self._left -= PIECE_CHARS

    def add(self, part: dict[str, Any], shown: str = "") -> None:
        """A part that is not text alone. `shown` is what stands for it in the content, such as code as Markdown."""
        if "text" in part and not part.get("thought"):
            self.add_text(shown)
            return
        self._keep(THOUGHT if part.get("thought") else OTHER)
        self._length += len(shown)

    def span(self, segment: dict[str, Any]) -> tuple[int, int]:
        """Where a segment begins and ends in the content; 0, 0 where it stands nowhere.

        Google counts bytes of UTF-8, OpenAI characters. Where no part is named, or the first (proto3 leaves zeros
        out), the bytes are those of all visible text together (recorded, with thoughts and searches before the text).
        The segment's own words tell which reading is right, where they are there.
        """
        start, end = _offset(segment.get("startIndex")), _offset(segment.get("endIndex"))
        words = segment.get("text")
        if self._far is not None and end > self._far.begins_at:
            return self._far_span(self._far, start, end)
        spans = []
        for pieces in self._readings(segment.get("partIndex")):
            span = _span(pieces, start, end)
            if span and (not words or _bytes(pieces)[start:end].decode("utf-8", "ignore") == words):
                return span
            spans.append(span)
        return next((span for span in spans if span), (0, 0))

    def _far_span(self, far: Far, start: int, end: int) -> tuple[int, int]:
        """A segment that reaches into what was not kept: among all visible text."""
        near = _span([piece for piece in self._pieces if piece.kind == TEXT], start, start + 1)
        first = near[0] if near else far.place_of(start)
        # What stands between two texts belongs to neither: the end is where the last byte's character ends.
        return first, max(first, far.place_of(end - 1) + 1)

    def _readings(self, index: Any) -> list[list[Piece]]:
        """The pieces a segment may count in, the likeliest first. In a stream one part comes in many pieces."""
        visible = [piece for piece in self._pieces if piece.kind == TEXT]
        if not index or not isinstance(index, int):
            return [visible, self._pieces[:1]]
        runs = [list(run) for _, run in groupby(self._pieces, key=lambda piece: piece.kind)]
        return [self._pieces[index : index + 1], *runs[index : index + 1], visible]


def _offset(stated: Any) -> int:
    return max(stated, 0) if isinstance(stated, int) else 0


def _bytes(pieces: list[Piece]) -> bytes:
    return "".join(piece.text for piece in pieces).encode()


def _span(pieces: list[Piece], start: int, end: int) -> tuple[int, int] | None:
    """None where the bytes begin behind the pieces. What we put between two pieces belongs to neither."""
    first = last = None
    for piece in pieces:
        raw = piece.text.encode()
        if first is None and start < len(raw):
            first = piece.begins + _characters(raw[:start])
        if first is not None and end > 0:
            last = piece.begins + _characters(raw[:end])
        start, end = start - len(raw), end - len(raw)
    return None if first is None else (first, max(first, last or 0))


def _characters(raw: bytes) -> int:
    return len(raw.decode("utf-8", "ignore"))
