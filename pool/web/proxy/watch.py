"""Notices that a client has gone, also while nothing is being written to it."""

from __future__ import annotations

import socket
from typing import Any, ClassVar

import gevent

from pool.core.faults import Draining

_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
_READABLE = 1
_CLOSE_WAIT = 8
LOOK_AGAIN_S = 0.5


class ClientGone(gevent.GreenletExit):
    """Thrown into the handler of a client that left. A GreenletExit, which the server swallows silently."""


class Watch:
    """Watches a client's socket for its end; then stops the greenlet that made this watch.

    A write notices a client that left only with the second packet, and a silent upstream would be held until
    it times out. A half-closed socket counts as gone, as it does for nginx.
    """

    __slots__ = ("_greenlet", "_io", "_own", "_sock", "_timer")

    running: ClassVar[set[Watch]] = set()
    """Every watch of this process, so that a drain finds what still runs."""

    def __init__(self, sock: Any, arrivals: Any = None) -> None:
        """`arrivals`: the server's own watcher of the socket, which has nothing to do meanwhile."""
        # The plain socket below gevent's: its recv never waits.
        self._sock = getattr(sock, "_sock", sock)
        self._greenlet = gevent.getcurrent()
        self._own = arrivals is None
        self._io: Any = gevent.get_hub().loop.io(sock.fileno(), _READABLE) if arrivals is None else arrivals
        self._timer: Any = None
        self._io.start(self._readable)
        self.running.add(self)

    def stop(self) -> None:
        self.running.discard(self)
        if self._io is not None:
            self._io.stop()
            if self._own:
                self._io.close()
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._io = self._timer = None

    def drain(self) -> None:
        """The server stops and has waited long enough."""
        self._greenlet.kill(Draining, block=False)

    def _readable(self) -> None:
        try:
            gone = self._sock.recv(1, _PEEK) == b""
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            gone = True
        if gone:
            self._gone()
        else:
            # A pipelined request waits to be read: readable says nothing any more, and watching on would spin.
            self._io.stop()
            self._timer = gevent.get_hub().loop.timer(LOOK_AGAIN_S, LOOK_AGAIN_S)
            self._timer.start(self._look)

    def _look(self) -> None:
        """Behind unread bytes only the connection's state tells that the other side has closed."""
        try:
            state = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        except (OSError, AttributeError):
            return
        if state >= _CLOSE_WAIT or state == 7:  # 7 is CLOSE, after a reset
            self._gone()

    def _gone(self) -> None:
        self.stop()
        self._greenlet.kill(ClientGone, block=False)
