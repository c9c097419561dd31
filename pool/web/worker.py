"""gunicorn's gevent worker with deadlines it lacks: on request heads, on idle connections, and at the drain."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from typing import Any

import gevent
from gevent.socket import wait_read
from gunicorn import http, util
from gunicorn.arbiter import Arbiter
from gunicorn.workers.ggevent import GeventWorker

from pool.environment import BadStart

HEAD_S = 10.0
"""From the first byte of a request to the end of its headers."""

IDLE_S = 75.0
"""Between two requests of a connection: longer than the 60 s of common load balancers."""

LINGER_S = 2.0
LINGER_BYTES = 64 * 1024 * 1024
_QUIET = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)


class Worker(GeventWorker):
    """HTTP/1.1 only. A half-open head costs a socket for ten seconds; a stop waits for no idle connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: set[Any] = set()

    def load_wsgi(self) -> None:
        """As gunicorn does it, but a refused start is one sentence in the log and stops the master too."""
        try:
            super().load_wsgi()
        except BadStart as error:
            self.log.critical("%s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def run(self) -> None:
        gevent.spawn(self._end_idle_at_drain)
        super().run()

    def _end_idle_at_drain(self) -> None:
        while self.alive:
            gevent.sleep(0.1)
        for client in list(self._idle):
            _shutdown(client, socket.SHUT_RD)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        request = None
        try:
            client.setblocking(True)
            parser = http.get_parser(self.cfg, client, addr)
            listener_name = listener.getsockname()
            while True:
                request = self._next_request(parser, client)
                if request is None:
                    break
                self.handle_request(listener_name, request, client, addr)
        except (http.errors.NoMoreData, StopIteration):
            if request is not None:
                _linger(client)
        except OSError as error:
            if error.errno not in _QUIET:
                self.log.exception("Socket error processing request.")
        except BaseException as error:  # noqa: BLE001 — as gunicorn's own handle: an answer, or a line in the log
            self.handle_error(request, client, addr, error)
            _linger(client)
        finally:
            util.close(client)

    def _next_request(self, parser: Any, client: Any) -> Any:
        """The next request's head; None when the connection was idle, or the head trickled in, for too long."""
        if not parser.unreader.buf.tell() and not self._readable(client):
            return None
        with gevent.Timeout(HEAD_S, False):
            return next(parser)
        return None

    def _readable(self, client: Any) -> bool:
        if not self.alive:
            return False
        self._idle.add(client)
        try:
            wait_read(client.fileno(), timeout=IDLE_S, timeout_exc=_IdleTooLong)
        except _IdleTooLong:
            return False
        finally:
            self._idle.discard(client)
        return True


class _IdleTooLong(Exception):
    """No next request came."""


def _shutdown(client: Any, how: int) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(how)


def _linger(client: Any) -> None:
    """Let the answer arrive: closing over unread bytes makes the kernel send a reset that destroys it."""
    _shutdown(client, socket.SHUT_WR)
    left = LINGER_BYTES
    with gevent.Timeout(LINGER_S, False), contextlib.suppress(OSError):
        while left > 0 and (piece := client.recv(65_536)):
            left -= len(piece)
