"""gunicorn's response, with the head and the first bytes behind it in one packet, and little ado about either."""

from __future__ import annotations

import errno
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName
from gunicorn.http.message import TOKEN_RE
from gunicorn.http.wsgi import HEADER_VALUE_RE, Response
from gunicorn.util import is_hoppish

_PLAIN, _HOP, _LENGTH = range(3)
_TOO_SLOW = "408"
_BARE_STATUSES = frozenset({"204", "304"})


class PlainResponse(Response):
    """An answer with a body: of a known length, or in chunks. What has none is left to gunicorn."""

    status: str | None
    _lines: list[str] | None = None
    _begun: bytes | None = None
    _begun_bytes = 0

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        code = status[:3]
        if code == _TOO_SLOW:
            self.force_close()  # of what was not read nobody knows where it ends
        if exc_info or self.status is not None or self.req.method == "HEAD" or self.req.version != (1, 1):
            return super().start_response(status, headers, exc_info)
        if code in _BARE_STATUSES or not "200" <= code <= "599" or status[3:4] != " " or not status.isprintable():
            return super().start_response(status, headers, exc_info)
        lines = [_line(name, value) for name, value in headers]
        if "" in lines:
            # What is said of the connection itself concerns upgrades, too.
            return super().start_response(status, headers, exc_info)
        for name, value in headers:
            if _kind(name) == _LENGTH:
                self.response_length = int(value)
        self.status, self.status_code, self.headers, self._lines = status, int(code), headers, lines
        self.chunked = self.response_length is None
        return self.write

    def send_headers(self) -> None:
        if self._lines is None:
            super().send_headers()
        elif not self.headers_sent:
            self._send(self._head())

    def write(self, piece: bytes) -> None:
        if self._lines is None:
            super().write(piece)
            return
        left = None if self.response_length is None else self.response_length - self.sent
        if left is not None and len(piece) > left:
            piece = piece[:left]
        if not piece:
            self.send_headers()
            return
        self.sent += len(piece)
        head = b"" if self.headers_sent else self._head()
        data = b"%b%X\r\n%b\r\n" % (head, len(piece), piece) if self.chunked else head + piece
        self._send(data if self._begun is None else self._rest(piece, data))

    def write_now(self, piece: bytes) -> bool:
        """Send a chunk behind the head without waiting; False where not all of it went out.

        Whoever is told False has to `write` that very piece next: the rest of it goes out then.
        """
        if not self.chunked or not self.headers_sent or self._begun is not None or not piece:
            return False
        below = getattr(self.sock, "_sock", None)
        if below is None:
            return False
        chunk = b"%X\r\n%b\r\n" % (len(piece), piece)
        try:
            sent = below.send(chunk)
        except OSError:
            return False  # writing it will raise it
        if sent < len(chunk):
            self._begun, self._begun_bytes = piece, sent
            return False
        self.sent += len(piece)
        return True

    def close(self) -> None:
        self.send_headers()
        if self.chunked:
            self._send(b"0\r\n\r\n")

    def _rest(self, piece: bytes, chunk: bytes) -> bytes:
        """What is left to send of a piece that `write_now` began. Anything else may not go out in its middle."""
        begun, self._begun = self._begun, None
        if piece != begun:
            raise BrokenPipeError(errno.EPIPE, "a chunk was not sent to its end")
        return chunk[self._begun_bytes :]

    def _head(self) -> bytes:
        assert self._lines is not None
        self.headers_sent = True
        connection = "close" if self.should_close() else "keep-alive"
        chunked = "Transfer-Encoding: chunked\r\n" if self.chunked else ""
        begin = f"HTTP/1.1 {self.status}\r\nServer: {self.version}\r\nDate: {_date()}\r\nConnection: {connection}\r\n"
        return f"{begin}{chunked}{''.join(self._lines)}\r\n".encode("latin-1")

    def _send(self, data: bytes) -> None:
        """By the plain socket below gevent's, which never waits; what it does not take goes the long way."""
        below = getattr(self.sock, "_sock", None)
        if below is None:
            self.sock.sendall(data)
            return
        try:
            sent = below.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.sock.sendall(memoryview(data)[sent:])


def _line(name: str, value: str) -> str:
    """A line of the head; empty for what concerns this connection alone, which is not the application's to say."""
    kind = _kind(name)
    if not (value.isascii() and value.isprintable()) and not HEADER_VALUE_RE.fullmatch(value):
        # Its name only: the value may be a secret.
        raise InvalidResponseHeader(f"{name!r}")
    return "" if kind == _HOP else f"{name}: {value.strip(' ')}\r\n"


@lru_cache(maxsize=1024)
def _kind(name: str) -> int:
    if not TOKEN_RE.fullmatch(name):
        raise InvalidResponseHeaderName(f"{name!r}")
    if name.lower() == "content-length":
        return _LENGTH
    return _HOP if is_hoppish(name) else _PLAIN


class _Clock:
    """The date as heads have it, written anew once a second."""

    second = 0
    text = ""


def _date() -> str:
    second = int(time.time())
    if second != _Clock.second:
        _Clock.second, _Clock.text = second, formatdate(second, usegmt=True)
    return _Clock.text
