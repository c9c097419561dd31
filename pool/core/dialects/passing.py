"""Streams whose dialect stays the same: every whole event goes on untouched and is only looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from pool.core import sse
from pool.core.calls import NO_USAGE, Call, Upload, Usage
from pool.core.dialects.frames import Frame
from pool.core.dialects.spoken import Spoken
from pool.core.masking import redact

TOO_LARGE = b'{"error":{"message":"The upstream sent an event that is too large.","code":502}}'
MISSHAPEN = (AttributeError, TypeError, LookupError, ValueError, ArithmeticError, RecursionError)
"""What reading valid JSON of a shape no upstream documents ends in."""

MOST_PASSED_BYTES = 8 * 1024
"""Larger pieces are always fed: they may have to be taken in parts."""

NOT_JSON = b'{"error":{"message":"The upstream sent an event that cannot be read.","code":502}}'


class PassingReader:
    """What the readers of all event streams share; a dialect says what one event means.

    Comments of the upstream are dropped: google-genai's parser dies of them. Blank lines stay.

    `farewell`: the event that told of a failure, where clients know it for an end of its own.
    """

    said_in: bytes
    """The member, quoted, that holds what an event says."""

    def __init__(self, call: Call) -> None:
        self.useful = False
        self.finished = False
        self.failure: bytes | None = None
        self.farewell = b""
        self._cutter = sse.Cutter()
        self._frame = Frame()
        self._spoken = Spoken(call)

    @property
    def usage(self) -> Usage:
        """Worked out when asked for: most streams are asked once, at their end."""
        return self._spoken.usage(self.stated_usage(), self.finished)

    @usage.setter
    def usage(self, usage: Usage) -> None:
        raise AttributeError("usage is what the stream said")

    def stated_usage(self) -> Usage:
        raise NotImplementedError

    def feed(self, piece: bytes) -> bytes:
        if self.failure is not None:
            return b""
        if self._frame.known and not self._cutter.tail and self._frame.fits(piece):
            self._spoken.heard(len(piece) - self._frame.size)
            return piece
        try:
            whole = self._cutter.feed(piece)
        except sse.EventTooLarge:
            self.failure = TOO_LARGE
            return b""
        out = self._pass(whole) if whole else b""
        if self._cutter.tail and (tail := self._cutter.whole_tail()):
            self._peek(tail)
        return out

    def pass_on(self, write: Callable[[bytes], bool], piece: bytes) -> bool:
        """Write a piece that `feed` would return as it is; False leaves it to be fed, as where it cannot be written."""
        frame = self._frame
        if not frame.known or self._cutter.tail or self.failure is not None or len(piece) > MOST_PASSED_BYTES:
            return False
        if not (frame.fits(piece) and write(piece)):
            return False
        self._spoken.heard(len(piece) - frame.size)
        return True

    def end(self) -> bytes:
        left = self._cutter.end()
        if self.failure is not None or not left.strip():
            return left if self.failure is None else b""
        # An upstream that forgot the last blank line; the event itself is whole or was never finished.
        return self._one(left.rstrip(b"\r\n") + b"\n\n")

    def plain(self, block: bytes) -> bool:
        """Whether an event after the commit point can go on unread."""
        raise NotImplementedError

    def note(self, document: Any) -> bool:
        """Learn from one event's JSON. False keeps the event from the client."""
        raise NotImplementedError

    def said(self, document: Any) -> Any:
        """The part of an event's JSON that holds what is said; None where the upstream counts it for us."""
        raise NotImplementedError

    def note_done(self) -> None:
        """`[DONE]` came."""
        self.finished = True

    def _pass(self, whole: bytes) -> bytes:
        if whole[:1] == b"\n":  # the end of the end of an event that is out already
            return b"\n" + (self._pass(whole[1:]) if len(whole) > 1 else b"")
        out = []
        for block in sse.blocks(whole):
            out.append(self._block(block))
            if self.failure is not None:
                break
        return b"".join(out)

    def _block(self, block: bytes) -> bytes:
        """One event, read only where it is not like others that were."""
        if not self.useful:
            out = self._one(block)
            if self.useful and out == block and self.plain(block):
                self._frame.learn(block)
            return out
        if self._frame.known and self._frame.fits(block):
            self._spoken.heard(len(block) - self._frame.size)
            return block
        if not self.plain(block):
            return self._one(block)
        self._frame.learn(block)
        self._spoken.passed(len(block), block.count(self.said_in))
        return block

    def _one(self, block: bytes) -> bytes:
        event = sse.read(block)
        if event is None:
            return sse.without_comments(block)
        if event.bare:
            self.failure = bare_failure(event.bare) or NOT_JSON
            return b""
        if event.data == b"[DONE]":
            self.note_done()
            return sse.without_comments(block)
        if not event.data:
            # `data:` without a payload kills both SDKs.
            return b""
        try:
            document = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            self.failure = NOT_JSON
            return b""
        failure = failure_in(document)
        if failure is not None:
            self.failure = failure
            return b""
        try:
            kept = self.note(document)
            self._spoken.read(self.said(document), block)
        except MISSHAPEN:
            self.failure = NOT_JSON
            return b""
        if self.failure is not None:
            self.farewell = sse.without_comments(block)
            return b""
        return sse.without_comments(block) if kept else b""

    def _peek(self, tail: bytes) -> None:
        """Looks at a tail that may be whole but for its blank line: it could stay the last for ever."""
        event = sse.read(tail.rstrip(b"\r\n") + b"\n\n")
        if event is None:
            return
        if event.bare:
            self.failure = bare_failure(event.bare)
        elif event.data == b"[DONE]":
            self.note_done()
        else:
            try:
                document = orjson.loads(event.data)
            except orjson.JSONDecodeError:
                return
            self.failure = failure_in(document)
            if self.failure is None:
                with suppress(*MISSHAPEN):
                    self.note(document)


def failure_in(document: Any) -> bytes | None:
    """The JSON of an error object, out of the list that Google's OpenAI layer puts around it."""
    while isinstance(document, list) and document:
        document = document[-1]
    if isinstance(document, dict) and document.get("error"):
        try:
            return orjson.dumps({"error": document["error"]})
        except TypeError:
            # orjson reads deeper than it writes.
            return NOT_JSON
    return None


def holds_error(body: bytes) -> bool:
    """Does a JSON answer that succeeded, or the object it describes, tell of an error?"""
    if b'"error"' not in body:
        return False
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and bool(document.get("error"))


def bare_failure(text: bytes) -> bytes | None:
    """The error in a JSON document that came without `data:`; None where it is not whole (yet)."""
    try:
        return failure_in(orjson.loads(text))
    except orjson.JSONDecodeError:
        return None


class BytesReader:
    """An answer that is no event stream (audio, files): bytes in, the same bytes out."""

    def __init__(self) -> None:
        self.useful = False
        self.finished = True  # its clean end is all there is to tell
        self.failure: bytes | None = None
        self.usage: Usage = NO_USAGE

    def feed(self, piece: bytes) -> bytes:
        self.useful = True
        return piece

    def end(self) -> bytes:
        return b""


SAFE_HEADERS = frozenset({"accept", "content-type", "openai-beta", "idempotency-key", "range"})
UPLOAD_PREFIXES = ("x-goog-upload-", "x-goog-api-client", "content-range")


def passed_headers(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The client's headers that may reach an upstream: a list of the allowed, never of the forbidden."""
    return tuple(
        (name, value)
        for name, value in headers
        if name.lower() in SAFE_HEADERS or name.lower().startswith(UPLOAD_PREFIXES)
    )


BACK_HEADERS = frozenset({"content-range", "accept-ranges", "etag", "last-modified", "x-request-id"})
BACK_PREFIX = "x-goog-upload-"


def passed_back(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """An upstream's headers (lower-case) that may reach a client, beside the type and length of its answer."""
    return tuple(
        (name.title(), redact(value))
        for name, value in headers.items()
        if (name in BACK_HEADERS or name.startswith(BACK_PREFIX)) and value.isascii() and value.isprintable()
    )


CREDENTIALS = frozenset({"key", "apikey", "api_key", "access_token", "x-api-key", "x-goog-api-key"})


def passed_query(query: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The client's query without its credentials."""
    return tuple((name, value) for name, value in query if name.lower() not in CREDENTIALS)


def is_json(headers: Mapping[str, str]) -> bool:
    """Does an answer say that it is one JSON document? Lines of JSON and their like are other types."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def spliced(body: bytes | Upload, start: int, end: int, middle: bytes) -> bytes | Upload:
    """A body with other bytes between two offsets."""
    return body[:start] + middle + body[end:] if isinstance(body, bytes) else body.spliced(start, end, middle)


class Misshapen(ValueError):
    """An answer in JSON, but of a shape that no upstream documents."""

    def __init__(self) -> None:
        super().__init__("the answer has an unknown shape")


class Failed(ValueError):
    """An error dressed as a success; `body` is its JSON."""

    def __init__(self, body: bytes) -> None:
        super().__init__("the answer is an error with status 200")
        self.body = body


def parsed(body: bytes) -> dict[str, Any]:
    """The object in a 2xx body. Raises `ValueError` for HTML or cut JSON, `Failed` for an error."""
    document = orjson.loads(body)
    if not isinstance(document, dict):
        raise ValueError("the answer is no JSON object")
    if document.get("error"):
        raise Failed(failure_in(document) or NOT_JSON)
    return document
