"""gunicorn's gevent worker with deadlines it lacks: on request heads, on idle connections, and at the drain."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from http import HTTPStatus
from time import monotonic
from typing import Any

import gevent
from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.http import errors
from gunicorn.http.wsgi import FileWrapper, create
from gunicorn.workers.ggevent import GeventWorker

from pool.admin_socket import BY_SOCKET, socket_path
from pool.core.calls import OPENAI
from pool.core.dialects import render_fault
from pool.core.faults import Draining, Fault
from pool.environment import BadStart
from pool.web.heads import Parser, PlainRequest, environ_base
from pool.web.ops import Service
from pool.web.proxy.watch import Watch
from pool.web.request_ids import begin_request, end_request, serving
from pool.web.responding import PlainResponse

HEAD_S = 10.0
"""From the first byte of a request to the end of its headers."""

IDLE_S = 75.0
"""Between two requests of a connection: longer than the 60 s of common load balancers."""

SWEEP_S = 1.0

FIRST_S = 1.0
"""What came in before a stopping worker closed its doors may take so long to begin: gunicorn looks once a second."""

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

_READABLE = 1

ADMIN = ("admin.sock", 0)

LINGER_S = 2.0
LINGER_BYTES = 64 * 1024 * 1024
_QUIET = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)


class Worker(GeventWorker):
    """HTTP/1.1 only. A half-open head costs a socket for ten seconds; a stop waits for no idle connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: dict[Any, float] = {}
        self._new: set[Any] = set()
        """Connections that asked nothing yet: whoever is behind one takes its end for a failure."""

        self._bases: dict[Any, dict[str, Any]] = {}
        # Where it is set, gunicorn cuts paths by it.
        self._may_be_plain = not os.environ.get("SCRIPT_NAME")

    def load_wsgi(self) -> None:
        """As gunicorn does it, but a refused start is one sentence in the log and stops the master too."""
        try:
            super().load_wsgi()
        except BadStart as error:
            self.log.critical("%s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    drain_delay_s = 0
    """How long a stopping worker goes on as before, but says at /health that it stops."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM. A load balancer may have to be told before the door closes: then no connection is refused."""
        if not self.drain_delay_s:
            self.alive = False
        elif not Service.draining:  # the master and a service manager may both say it
            Service.draining = True
            gevent.spawn_later(self.drain_delay_s, setattr, self, "alive", False)

    def run(self) -> None:
        gevent.get_hub().print_exception = self._log_unhandled
        gevent.spawn(self._drain)
        gevent.spawn(self._sweep)
        super().run()

    def _log_unhandled(self, context: Any, kind: Any, error: Any, trace: Any) -> None:
        """What no greenlet caught. gevent would write it to stderr past the log, and past what redacts it."""
        self.log.error("%s failed", type(context).__name__, exc_info=(kind, error, trace))

    def _drain(self) -> None:
        while self.alive:
            gevent.sleep(0.1)
        Service.draining = True
        for client in self._idle.keys() - self._new:
            _shutdown(client, socket.SHUT_RD)
        left_s = max(0.0, self.cfg.graceful_timeout - LAST_WORDS_S)
        first_s = min(FIRST_S, left_s)
        gevent.sleep(first_s)
        for client in list(self._idle):
            _shutdown(client, socket.SHUT_RD)
        gevent.sleep(left_s - first_s)
        for watch in list(Watch.running):
            watch.drain()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        request = None
        arrivals = gevent.get_hub().loop.io(client.fileno(), _READABLE)
        self._new.add(client)
        try:
            client.setblocking(True)
            parser = Parser(self.cfg, client, addr)
            listener_name = listener.getsockname()
            if isinstance(listener_name, str):
                listener_name, addr = self._local(listener_name), ("", 0)
            while True:
                end_request()
                request = self._next_request(parser, client, arrivals)
                self._new.discard(client)
                if request is None:
                    break
                self._serve(listener_name, request, client, addr, arrivals)
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
            self._new.discard(client)
            arrivals.close()
            util.close(client)

    def _local(self, path: str) -> tuple[str, int]:
        """A Unix socket by a name and a port, as others have them. Only the instance's own lets admins in."""
        return ADMIN if path == str(socket_path(self.wsgi.instance_path)) else ("localhost", 0)

    def _serve(self, listener_name: Any, request: Any, client: Any, addr: Any, arrivals: Any) -> None:
        """As gunicorn does it, without its hooks and its access log. Raises StopIteration where the connection ends."""
        response = PlainResponse(request, client, self.cfg)
        whole = False
        try:
            if isinstance(request, PlainRequest):
                environ = request.environ(self._base(listener_name), client, addr)
            else:
                _, environ = create(request, client, addr, listener_name, self.cfg)
                environ["wsgi.multithread"] = True
            environ["keypool.arrivals"] = arrivals
            environ["keypool.write_now"] = response.write_now
            if listener_name is ADMIN:
                environ[BY_SOCKET] = True
            if not self.alive:
                response.force_close()
            self._answer(response, self.wsgi(environ, response.start_response))
            whole = True
        finally:
            if response.headers_sent and not whole:
                # A second head on the same socket would corrupt what went out.
                _shutdown(client, socket.SHUT_RDWR)
        if response.should_close():
            raise StopIteration

    def _answer(self, response: PlainResponse, pieces: Any) -> None:
        try:
            if isinstance(pieces, FileWrapper):
                response.write_file(pieces)
            else:
                write = response.write
                for piece in pieces:
                    write(piece)
            response.close()
        finally:
            if hasattr(pieces, "close"):
                pieces.close()

    def _base(self, listener_name: Any) -> dict[str, Any]:
        base = self._bases.get(listener_name)
        if base is None:
            base = self._bases[listener_name] = environ_base(self.cfg, listener_name)
        return base

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """A request no part of which reached the app: an API's error, which does not repeat what was sent."""
        request_id = serving() or begin_request()
        status = next((status for kind, status in _REFUSALS if isinstance(exc, kind)), 500)
        if status == 500:
            self.log.error("Error handling a request", exc_info=exc)
        fault = Fault(status, "bad_request" if status < 500 else "internal_error", _WORDS[status], retryable=False)
        _, headers, body = render_fault(OPENAI, fault)
        headers += [
            ("X-Keypool-Request-Id", request_id),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "sandbox; default-src 'none'"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        with contextlib.suppress(OSError):
            client.sendall(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode("latin-1") + body)

    def _next_request(self, parser: Parser, client: Any, arrivals: Any) -> Any:
        """The next request's head; None when the connection was idle, or the head trickled in, for too long."""
        if not parser.rest_read():
            raise StopIteration
        if not parser.unreader.buf.tell() and not self._readable(client, arrivals):
            return None
        request = parser.plain() if self._may_be_plain else None
        if request is not None:
            return request
        with gevent.Timeout(HEAD_S, False):
            return next(parser)
        return None

    def _readable(self, client: Any, arrivals: Any) -> bool:
        """Wait for a byte, or the end; False where the worker stops. `_sweep` ends those that wait for too long."""
        if not self.alive:
            return client in self._new and self._soon_readable(arrivals)
        self._idle[client] = monotonic()
        try:
            gevent.get_hub().wait(arrivals)
        finally:
            self._idle.pop(client, None)
        return True

    def _soon_readable(self, arrivals: Any) -> bool:
        with gevent.Timeout(FIRST_S, False):
            gevent.get_hub().wait(arrivals)
            return True
        return False

    def _sweep(self) -> None:
        """One timer for all connections: each wait would need one of its own."""
        while self.alive:
            gevent.sleep(SWEEP_S)
            before = monotonic() - IDLE_S
            for client in [client for client, since in self._idle.items() if since < before]:
                _shutdown(client, socket.SHUT_RD)


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
