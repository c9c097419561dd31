"""One connection to an upstream: bytes out, bytes in, each with a deadline; plain or TLS."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any

from gevent import get_hub
from gevent.hub import Waiter
from gevent.monkey import get_original

RECEIVE_BYTES = 64 * 1024
_READ, _WRITE = 1, 2

Left = bytes | OSError
"""What the hub read for somebody who waits, or what reading raised."""

_OPENED = bytes(bytearray(b"opened"))
"""Stands for bytes that went into the TLS buffers already."""

# The unpatched classes: waiting is done here, with one lazy timer instead of one per call.
_Socket = get_original("socket", "socket")
# To be told that nothing came costs less than an exception which says so.
_Poll = get_original("select", "poll")


class Connection:
    """A non-blocking socket on which one greenlet at a time waits. Deadlines are `time.monotonic()` values.

    `close()` may be called from any greenlet; whoever waits then gets `ConnectionAbortedError` at once.
    """

    def __init__(self, family: int, on_close: Callable[[Connection], None]) -> None:
        self._hub = get_hub()
        self._socket = _Socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._poll = _Poll()
        self._poll.register(self._socket.fileno(), select.POLLIN)
        self._readable = self._hub.loop.io(self._socket.fileno(), _READ)
        self._watched = False
        self._writable: Any = None
        self._timer: Any = None
        self._timer_at = inf
        self._deadline = inf
        self._waiter: Any = None
        self._on_close = on_close
        self._full = False
        self._writing = False
        self._tap: Callable[[bytes], bool] | None = None
        self._span_s = inf
        self._left: Left | None = None
        self.origin: Any = None
        self.closed = False
        self.reused = False
        self.idle_since = 0.0

    def connect(self, address: Any, deadline: float) -> None:
        """Raises OSError, `TimeoutError` among them."""
        code = self._socket.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK):
            if not self._wait_writable(deadline):
                raise TimeoutError(errno.ETIMEDOUT, "not connected in time")
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def send(self, data: bytes, deadline: float) -> bool:
        """Send everything; False when the deadline came first. Raises OSError."""
        rest: bytes | memoryview = data
        while True:
            try:
                sent = self._socket.send(rest)
            except BlockingIOError:
                if not self._wait_writable(deadline):
                    return False
                continue
            if sent == len(rest):
                return True
            rest = memoryview(rest)[sent:]

    def tapped(self, deadline: float, tap: Callable[[bytes], bool], span_s: float) -> bytes | None:
        """As `receive`, but what comes is shown to `tap` first, in the hub: True means that it dealt with it.

        So nobody is woken for it: that costs more than to pass an event on. `tap` may not wait. The deadline moves with
        everything it takes, to `span_s` from then.
        """
        self._tap, self._span_s = tap, span_s
        try:
            return self.receive(deadline)
        finally:
            self._tap = None

    def receive(self, deadline: float) -> bytes | None:
        """What came, as soon as it does; b"" at the end; None when the deadline came first. Raises OSError."""
        in_time = True
        while True:
            # A short read emptied the socket: asking again before waiting would only cost a call.
            if not self._full and in_time:
                if self.closed:
                    raise ConnectionAbortedError("closed")
                if not self._watched:
                    # It stays started between waits, for each start is a system call; until something comes unasked.
                    self._watched = True
                    self._readable.start(self._came)
                in_time = self._wait(deadline)
                if self._left is not None:
                    return self._take_left()
            try:
                data: bytes = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                self._full = False
                if not in_time:
                    return None
                continue
            self._full = len(data) == RECEIVE_BYTES
            return data

    def alive(self) -> bool:
        """Whether an idle connection is open and silent, as it must be before it carries another request."""
        return not self.closed and not self._poll.poll(0)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        # Watchers first: the loop must not watch a descriptor that another socket may get next.
        for watcher in (self._readable, self._writable, self._timer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._socket.close()
        if self._waiter is not None:
            self._hub.loop.run_callback(self._waiter.throw, ConnectionAbortedError("closed while waiting"))
        self._on_close(self)

    def _came(self) -> None:
        if self._waiter is None or self._writing:
            self._watched = False
            self._readable.stop()
        elif self._tap is None or not self._tapped_off(self._tap):
            self._waiter.switch(True)

    def _tapped_off(self, tap: Callable[[bytes], bool]) -> bool:
        """In the hub: whether the tap took what came. Otherwise it lies in `_left`, for whoever waits."""
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return True
        except OSError as error:
            self._left = error
            return False
        self._full = len(data) == RECEIVE_BYTES
        return self._shown(tap, data)

    def _shown(self, tap: Callable[[bytes], bool], data: bytes) -> bool:
        if data and not self._full and tap(data):
            self._deadline = monotonic() + self._span_s
            return True
        self._left = data
        return False

    def _take_left(self) -> bytes:
        left, self._left = self._left, None
        assert left is not None
        return _given(left)

    def _wait_writable(self, deadline: float) -> bool:
        if self.closed:
            raise ConnectionAbortedError("closed")
        if self._writable is None:
            self._writable = self._hub.loop.io(self._socket.fileno(), _WRITE)
        self._writing = True
        self._writable.start(self._went)
        try:
            return self._wait(deadline)
        finally:
            self._writing = False
            if not self.closed:
                self._writable.stop()

    def _went(self) -> None:
        if self._waiter is not None:
            self._waiter.switch(True)

    def _wait(self, deadline: float) -> bool:
        """True when the socket is ready, False when the deadline came first."""
        waiter = self._waiter = Waiter(self._hub)
        self._deadline = deadline
        if deadline < self._timer_at:
            self._arm(deadline)
        try:
            return waiter.get()
        finally:
            self._waiter = None

    def _arm(self, at: float) -> None:
        """Let `_tick` run at that time. It stays armed between waits, and moves only to come earlier."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._timer_at = at
        self._timer = self._hub.loop.timer(max(at - monotonic(), 0.0), ref=False)
        self._timer.start(self._tick)

    def _tick(self) -> None:
        self._timer_at = inf
        if self._waiter is None:
            return
        if self._deadline > monotonic():
            self._arm(self._deadline)
        else:
            self._waiter.switch(False)


def _given(left: Left) -> bytes:
    if isinstance(left, OSError):
        raise left
    return left


class TlsConnection(Connection):
    """The same over TLS, by memory buffers: the socket below stays ours to wait on."""

    _plain: Left | None = None

    def handshake(self, context: ssl.SSLContext, host: str, deadline: float) -> None:
        """Raises OSError, `ssl.SSLError` and `TimeoutError` among them."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._exchange(deadline)
            except ssl.SSLError:
                self._flush(deadline)  # the alert that tells the other side why
                raise
            else:
                self._flush(deadline)
                return

    def send(self, data: bytes, deadline: float) -> bool:
        view = memoryview(data)
        for start in range(0, len(view), RECEIVE_BYTES):
            self._tls.write(view[start : start + RECEIVE_BYTES])
            if not super().send(self._outgoing.read(), deadline):
                return False
        return True

    def receive(self, deadline: float) -> bytes | None:
        while True:
            if self._plain is not None:
                plain, self._plain = self._plain, None
                return _given(plain)
            try:
                return self._tls.read(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                self._flush(deadline)
            except ssl.SSLZeroReturnError:
                return b""
            data = super().receive(deadline)
            if data is None:
                return None
            if data is not _OPENED:
                self._take(data)

    def _shown(self, tap: Callable[[bytes], bool], data: bytes) -> bool:
        """The tap is shown what was in the records; what it leaves lies in `_plain`."""
        self._take(data)
        try:
            while (plain := self._tls.read(RECEIVE_BYTES)) and tap(plain):
                self._deadline = monotonic() + self._span_s
            self._plain = plain
        except ssl.SSLWantReadError:
            if not self._full and not self._outgoing.pending:
                return True
        except ssl.SSLZeroReturnError:
            self._plain = b""
        except OSError as error:
            self._plain = error
        self._left = _OPENED
        return False

    def alive(self) -> bool:
        """As above; session tickets may have come, an end or a byte of an answer may not."""
        if self.closed:
            return False
        try:
            self._take(self._socket.recv(RECEIVE_BYTES))
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            self._tls.read(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            pass
        return False

    def _exchange(self, deadline: float) -> None:
        """Send what TLS has to say and hear the answer."""
        self._flush(deadline)
        data = super().receive(deadline)
        if data is None:
            raise TimeoutError(errno.ETIMEDOUT, "no TLS in time")
        self._take(data)

    def _flush(self, deadline: float) -> None:
        if self._outgoing.pending and not super().send(self._outgoing.read(), deadline):
            raise TimeoutError(errno.ETIMEDOUT, "TLS could not be sent in time")

    def _take(self, data: bytes) -> None:
        # An end without TLS's own farewell becomes an SSLError: it may be somebody's cut.
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
