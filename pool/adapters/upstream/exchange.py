"""One request and its answer, from the first byte sent to the last one read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from gevent import sleep

from pool.adapters.upstream.gunzip import Gunzip, decoder_for
from pool.adapters.upstream.heads import Head
from pool.adapters.upstream.message import Message
from pool.core.calls import Target, Upload
from pool.core.faults import Broken, CannotConnect, TimedOut

if TYPE_CHECKING:
    from pool.adapters.upstream import Upstream
    from pool.adapters.upstream.connection import Connection

_SIZE_BYTES = 8
"""A chunk's size, in hexadecimal, with its line end: above what one read takes."""

_ONE_SEND_BYTES = 128 * 1024
_TURN_BYTES = 1024 * 1024
_TURN_S = 1e-9
"""Not 0: that may come back before the loop looked at any socket."""


Passing = Callable[[bytes], bool]


class Exchange:
    """The caller's handle on one answer. Dropped or closed unread, it closes the connection.

    It lets go of the connection when the answer is complete, so a late `close()` harms no later request.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_connection",
        "_gunzip",
        "_head",
        "_heard_at",
        "_message",
        "_partly_sent",
        "_target",
        "_upstream",
        "headers",
        "status",
    )

    def __init__(self, upstream: Upstream, head: Head, target: Target) -> None:
        self._closed = False
        self._connection: Connection | None = None
        self._upstream = upstream
        self._head = head
        self._target = target
        self._gunzip: Gunzip | None = None
        self._heard_at = 0.0
        self.status = 0
        """0 until `wait()` has returned True."""
        self.headers: dict[str, str] = {}
        self._send(upstream.connections.take_idle(head.origin))

    def __repr__(self) -> str:
        return f"Exchange({self.status or 'waiting'})"

    def __del__(self) -> None:
        if not self._closed:
            self.close()

    def wait(self, patience_s: float | None = None) -> bool:
        """True once the final head is here, False when `patience_s` passed first; may be called again.

        Raises `TimedOut("first_byte")` and `Broken`.
        """
        if self.status:
            return True
        patience_ends = inf if patience_s is None else monotonic() + patience_s
        try:
            while not self._message.status:
                silence_ends = self._heard_at + self._target.timeouts.first_byte_s
                if not self._hear_head(min(silence_ends, patience_ends)):
                    if monotonic() < silence_ends:
                        return False
                    raise TimedOut("first_byte")
            self._open_body()
        except BaseException:
            self.close()
            raise
        return True

    def read1(self, patience_s: float | None = None, passing: Passing | None = None) -> bytes | None:
        """The next piece of the decoded body as soon as it is here; b"" at the clean end.

        None when `patience_s` passed in silence. Raises `TimedOut("idle")` and `Broken`.

        `passing` is shown, in the hub, each chunk that comes alone and whole: what it says True to is dealt with, and
        is not returned. It may not wait.
        """
        patience_ends = inf if patience_s is None else monotonic() + patience_s
        try:
            if not self.status and not self.wait(patience_s):
                return None
            message = self._message
            while True:
                if message.pieces or self._gunzip is not None:
                    piece = self._next_piece()
                    if piece:
                        return piece
                if message.complete:
                    return self._clean_end()
                idle_s = self._target.timeouts.idle_s
                if passing is None or not message.between or self._gunzip is not None:
                    heard = self._hear(min(self._heard_at + idle_s, patience_ends))
                else:
                    span_s = idle_s if patience_s is None else min(idle_s, patience_s)
                    heard = self._hear(min(self._heard_at + idle_s, patience_ends), passing, span_s)
                if not heard:
                    if monotonic() < self._heard_at + idle_s:
                        return None
                    raise TimedOut("idle")
                self._heard_at = monotonic()
        except BaseException:
            self.close()
            raise

    def read(self, limit_bytes: int) -> bytes:
        """The whole decoded body. Raises `Broken` where it is cut or longer than that, and `TimedOut`."""
        pieces = []
        left_bytes = limit_bytes
        turn_at = left_bytes - _TURN_BYTES
        while piece := self.read1():
            left_bytes -= len(piece)
            if left_bytes < turn_at:
                # What comes as fast as it is read never waits, and nobody else would have a turn.
                turn_at = left_bytes - _TURN_BYTES
                sleep(_TURN_S)
            if left_bytes < 0:
                self.close()
                raise Broken("the answer's body is too large")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Done with it: an answer not complete by now takes its connection along."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            self._message.drop()
            connection.close()

    def _send(self, connection: Connection | None) -> None:
        """Send the request, on a fresh connection where none is given."""
        target = self._target
        if connection is None:
            connection = self._upstream.connections.connect(self._head.origin, target.timeouts.connect_s)
            if self._closed:  # by another greenlet, while this one connected again
                connection.close()
                raise Broken("the exchange is closed")
        self._connection = connection
        self._message = Message(target.method)
        self._partly_sent = False
        ends = monotonic() + target.timeouts.first_byte_s
        try:
            for part in _parts(self._head.with_length_of(target.body), target.body):
                if not connection.send(part, ends):
                    raise TimedOut("first_byte")
        except OSError as e:
            if self._closed:
                raise Broken("closed while it was sent") from e
            self._partly_sent = True  # an early refusal may be there to read
        except BaseException:
            self.close()
            raise
        self._heard_at = monotonic()

    def _hear_head(self, deadline: float) -> bool:
        try:
            return self._hear(deadline)
        except Broken:
            if not self._may_send_again():
                raise
        self._upstream.resent += 1
        try:
            self._send(None)
        except CannotConnect as e:
            raise Broken("a kept connection had ended, and a new one failed") from e
        return True

    def _may_send_again(self) -> bool:
        """An idle connection can end just as it is used: then no byte of an answer came, and nobody acted."""
        connection = self._connection
        if connection is None or connection.closed:
            return False  # closed on this side
        if not connection.reused or self._message.touched:
            return False
        self._connection = None
        connection.close()
        return self._upstream.resend

    def _hear(self, deadline: float, passing: Passing | None = None, span_s: float = inf) -> bool:
        """Take in what comes next; False when the deadline came first, with `passing` so long after what it took."""
        connection = self._connection
        if connection is None:
            raise Broken("the exchange is closed")
        try:
            if passing is None:
                data = connection.receive(deadline)
            else:
                data = connection.tapped(deadline, partial(self._passed, passing), span_s)
        except OSError as e:
            raise Broken("closed while it was read" if self._closed else "the connection broke") from e
        if data is None:
            return False
        message = self._message
        if data:
            message.feed(data)
        else:
            message.end()
        if message.complete:
            self._let_go(connection)
        return True

    def _passed(self, passing: Passing, data: bytes) -> bool:
        """In the hub: whether that is one whole chunk, and was dealt with. The parser need not see it then."""
        at = data.find(b"\r\n", 1, _SIZE_BYTES)
        size = len(data) - at - 4
        if at < 1 or size < 1 or data[:at].lower() != b"%x" % size or data[-2:] != b"\r\n":
            return False
        if not passing(data[at + 2 : -2]):
            return False
        self._heard_at = monotonic()
        return True

    def _let_go(self, connection: Connection) -> None:
        """The answer is complete: the connection is free for another request, or of no more use."""
        self._connection = None
        if self._message.keep_alive and not self._partly_sent:
            self._upstream.connections.give_back(connection)
        else:
            connection.close()

    def _open_body(self) -> None:
        """The final head is here: publish it, and choose how the body is decoded."""
        message = self._message
        self._gunzip = decoder_for(message.headers, self._upstream.unpacked_limit_bytes)
        self._heard_at = monotonic()
        self.headers = message.headers
        self.status = message.status

    def _next_piece(self) -> bytes:
        pieces = self._message.pieces
        if self._gunzip is None:
            if not pieces:
                return b""
            piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            return piece
        if pieces:
            self._gunzip.feed(b"".join(pieces))
            pieces.clear()
        return self._gunzip.next()

    def _clean_end(self) -> bytes:
        empty = self.status in (204, 304) or self._target.method == "HEAD"
        if self._gunzip is not None and not self._gunzip.finished and not empty:
            raise Broken("the answer's gzip body was cut")
        return b""


def _parts(head: bytes, body: bytes | Upload) -> Iterable[bytes]:
    """What to send, in as few pieces as is cheap."""
    if not isinstance(body, bytes):
        return chain((head,), body.pieces())
    return (head + body,) if len(body) < _ONE_SEND_BYTES else (head, body)
