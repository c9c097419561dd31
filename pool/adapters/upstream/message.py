"""One answer as the parser reports it: which head is the final one, and where that answer ends."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from pool.core.faults import Broken

HEAD_LIMIT_BYTES = 32 * 1024
HEADER_LIMIT = 200


class _Refused(Exception):
    """Raised inside a parser callback to stop the parser; the text is ours and safe to show."""


class Message:
    """The final (>= 200) answer to one request. 1xx answers before it are skipped.

    A message has its own parser, so nothing of one answer can reach the next.
    """

    __slots__ = (
        "_header_bytes",
        "_header_count",
        "_parser",
        "_quiet_bytes",
        "_to_head",
        "between",
        "complete",
        "headers",
        "keep_alive",
        "pieces",
        "status",
        "touched",
        "until_close",
    )

    def __init__(self, method: str) -> None:
        self.status = 0
        """0 until the final head is here."""
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        """Body that came and was not taken yet, as sent (not decoded)."""
        self.touched = False
        """Whether any byte of an answer came, of a 1xx one too."""
        self.complete = False
        self.keep_alive = False
        """Whether the connection may serve another request; false until the message is complete."""
        self.until_close = False
        """Whether only the end of the connection ends this body."""
        self.between = False
        """Whether the next byte begins a chunk."""
        self._to_head = method == "HEAD"
        self._header_count = 0
        self._header_bytes = 0
        self._quiet_bytes = 0
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection. Raises `Broken` for what is not strict HTTP/1."""
        self.touched = True
        self._quiet_bytes += len(data)
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]
        except (HttpParserError, HttpParserUpgrade) as e:
            self._parser = None
            if not self.complete:
                raise Broken(f"the answer was not valid HTTP ({_reason(e)})") from e
            self.keep_alive = False  # something followed the answer: it could pass for the next one
        if self.complete:
            self._parser = None  # it holds our methods and we hold it
        elif self._quiet_bytes > HEAD_LIMIT_BYTES:
            # Endless heads, 1xx answers, chunk extensions and trailers look alike: bytes without body.
            self._parser = None
            raise Broken("the head of the answer is too long")

    def end(self) -> None:
        """The connection ended. Raises `Broken` where more was announced."""
        self._parser = None
        if self.complete:
            return
        if not self.status:
            raise Broken("the connection ended before the answer")
        if not self.until_close:
            raise Broken("the answer was cut")
        self.complete = True

    def drop(self) -> None:
        """Forget the parser and the body."""
        self._parser = None
        self.pieces.clear()

    # What follows is called by the parser.

    def on_message_begin(self) -> None:
        if self.complete:
            raise _Refused("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._header_bytes += len(name) + len(value) + 4
        if self._header_count > HEADER_LIMIT or self._header_bytes > HEAD_LIMIT_BYTES:
            raise _Refused("too many headers")
        if self.status:
            return  # a trailer
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        headers = self.headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        parser = self._parser
        status = parser.get_status_code()  # type: ignore[union-attr]
        if status < 200:
            if status < 100 or status == 101:
                raise _Refused("an answer nobody asked for")
            return
        if status > 599 or parser.get_http_version() not in ("1.1", "1.0"):  # type: ignore[union-attr]
            raise _Refused("status or version out of range")
        coding = self.headers.get("transfer-encoding")
        # The parser takes any other coding for "until close" or leaves it undecoded.
        if coding is not None and coding.lower() != "chunked":
            raise _Refused("a transfer coding nobody asked for")
        self.status = status
        self.until_close = coding is None and "content-length" not in self.headers
        if self._to_head:
            self.complete = True  # the parser would wait for the announced body

    def on_body(self, piece: bytes) -> None:
        if not self._to_head:
            self._quiet_bytes = 0
            self.pieces.append(piece)

    def on_chunk_header(self) -> None:
        self.between = False

    def on_chunk_complete(self) -> None:
        self.between = True

    def on_message_complete(self) -> None:
        self.between = False
        if not self.status:
            self.headers.clear()  # that was a 1xx answer
            return
        self.complete = True
        # Only true here: one callback later the parser has forgotten this message.
        self.keep_alive = self._parser.should_keep_alive()  # type: ignore[union-attr]


def _reason(error: Exception) -> str:
    """Why the parser stopped: fixed texts of the parser or of this module, never bytes of the answer."""
    if isinstance(error, HttpParserUpgrade):
        return "an upgrade nobody asked for"
    return str(error.__context__ if isinstance(error.__context__, _Refused) else error)
