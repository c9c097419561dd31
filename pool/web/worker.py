"""gunicorn's gevent worker with deadlines it lacks: on request heads, on idle connections, and at the drain."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from http import HTTPStatus
from typing import Any

import gevent
from gevent.socket import wait_read
from gunicorn import http as gunicorn_http
from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.http import errors
from gunicorn.workers.ggevent import GeventWorker

from pool.core.calls import OPENAI
from pool.core.dialects import render_fault
from pool.core.faults import Draining, Fault
from pool.environment import BadStart
from pool.web.proxy.entry import new_request_id
from pool.web.proxy.watch import Watch

HEAD_S = 10.0
"""From the first byte of a request to the end of its headers."""

IDLE_S = 75.0
"""Between two requests of a connection: longer than the 60 s of common load balancers."""

LAST_WORDS_S = 2.5
"""How long before the end of the drain what still runs is told to end."""

_REFUSALS = (
    (errors.LimitRequestLine, 414),
    (errors.LimitRequestHeaders, 431),
    (errors.UnsupportedTransferCoding, 501),
    (errors.InvalidHTTPVersion, 505),
    (errors.ParseException, 400),
)
_WORDS = {
    400: "The request is not HTTP as it should be.",
    414: "The request line is too long.",
    431: "The request's headers are too many or too long.",
    500: "Keypool failed.",
    501: "This transfer coding is not known here.",
    505: "This version of HTTP is not known here.",
}

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
        gevent.spawn(self._drain)
        super().run()

    def _drain(self) -> None:
        while self.alive:
            gevent.sleep(0.1)
        for client in list(self._idle):
            _shutdown(client, socket.SHUT_RD)
        gevent.sleep(max(0.0, self.cfg.graceful_timeout - LAST_WORDS_S))
        for watch in list(Watch.running):
            watch.drain()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        request = None
        try:
            client.setblocking(True)
            parser = gunicorn_http.get_parser(self.cfg, client, addr)
            listener_name = listener.getsockname()
            while True:
                request = self._next_request(parser, client)
                if request is None:
                    break
                self.handle_request(listener_name, request, client, addr)
        except (errors.NoMoreData, StopIteration):
            if request is not None:
                _linger(client)
        except OSError as error:
            if error.errno not in _QUIET:
                self.log.exception("Socket error processing request.")
        except (gevent.GreenletExit, Draining):
            pass  # stopped while it wrote: what went out cannot be mended
        except BaseException as error:  # noqa: BLE001 — as gunicorn's own handle: an answer, or a line in the log
            self.handle_error(request, client, addr, error)
            _linger(client)
        finally:
            util.close(client)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """A request no part of which reached the app: an API's error, which does not repeat what was sent."""
        status = next((status for kind, status in _REFUSALS if isinstance(exc, kind)), 500)
        if status == 500:
            self.log.error("Error handling a request", exc_info=exc)
        fault = Fault(status, "bad_request" if status < 500 else "internal_error", _WORDS[status], retryable=False)
        _, headers, body = render_fault(OPENAI, fault)
        headers += [
            ("X-Keypool-Request-Id", new_request_id()),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "sandbox; default-src 'none'"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        with contextlib.suppress(OSError):
            client.sendall(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode("latin-1") + body)

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
