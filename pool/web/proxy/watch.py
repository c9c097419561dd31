"""Notices that a client has gone, also while nothing is being written to it."""

from __future__ import annotations

import socket
from typing import Any

import gevent

_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
_READABLE = 1


class ClientGone(gevent.GreenletExit):
    """Thrown into the handler of a client that left. A GreenletExit, which the server swallows silently."""


class Watch:
    """Watches a client's socket for its end; then stops the greenlet that made this watch.

    A write notices a client that left only with the second packet, and a silent upstream would be held until
    it times out. A half-closed socket counts as gone, as it does for nginx.
    """

    __slots__ = ("_greenlet", "_io", "_sock")

    def __init__(self, sock: Any) -> None:
        # The plain socket below gevent's: its recv never waits.
        self._sock = getattr(sock, "_sock", sock)
        self._greenlet = gevent.getcurrent()
        self._io = gevent.get_hub().loop.io(sock.fileno(), _READABLE)
        self._io.start(self._readable)

    def stop(self) -> None:
        if self._io is not None:
            self._io.stop()
            self._io.close()
            self._io = None

    def _readable(self) -> None:
        try:
            gone = self._sock.recv(1, _PEEK) == b""
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            gone = True
        # Bytes mean a pipelined request: nothing to learn until they are read, and watching on would spin.
        self.stop()
        if gone:
            self._greenlet.kill(ClientGone, block=False)
