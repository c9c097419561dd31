"""A real HTTP server that plays a script: what providers answer, and every way in which they fail.

    with ScriptedUpstream() as upstream:            # answers like Gemini and OpenAI, no script needed
        upstream.for_key("AIzaDead", gemini_error(429, retry_delay="38s"))
        upstream.script(lambda request: cut_after(sse(gemini_stream(["Hel", "lo"])), events=1))

Everything a test needs can be imported from here. `python -m tests.upstream --port 9999` runs it as a
process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import socket as stdlib_socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent import socket
from gevent.server import StreamServer

from tests.upstream_actions import (
    Action,
    Behaviour,
    Close,
    Pause,
    Send,
    answer,
    array_stream,
    byte_by_byte,
    close_before_head,
    cut_after,
    early_hints_then,
    in_turn,
    pieces,
    raw,
    reset_after,
    sse,
    stall,
    stall_after,
    then_close,
)
from tests.upstream_bodies import (
    gemini_error,
    gemini_error_body,
    gemini_stream,
    gemini_text,
    openai_error,
    openai_stream,
    openai_text,
)
from tests.upstream_provider import (
    MODELS,
    OPENAI_MODELS,
    SAYS,
    ClientConnection,
    Request,
    gemini_like,
    refuse_key,
)

__all__ = [
    "MODELS",
    "OPENAI_MODELS",
    "SAYS",
    "Action",
    "Behaviour",
    "ClientConnection",
    "Close",
    "Pause",
    "Request",
    "ScriptedUpstream",
    "Send",
    "answer",
    "array_stream",
    "byte_by_byte",
    "close_before_head",
    "cut_after",
    "early_hints_then",
    "gemini_error",
    "gemini_error_body",
    "gemini_like",
    "gemini_stream",
    "gemini_text",
    "in_turn",
    "openai_error",
    "openai_stream",
    "openai_text",
    "pieces",
    "raw",
    "refuse_key",
    "reset_after",
    "sse",
    "stall",
    "stall_after",
    "then_close",
]


class ScriptedUpstream:
    """Listens on a free local port while the `with` block runs.

    Who decides about a request: `script`, then `for_key`, `dead_keys`, `for_path`, then `gemini_like`.
    """

    def __init__(self, script: Behaviour | Action | None = None, *, port: int = 0, tls: Any = None) -> None:
        self.requests: list[Request] = []
        self.connections: list[ClientConnection] = []
        self.dead_keys: set[str] = set()
        self._script: Behaviour | None = None
        self._by_key: dict[str, Behaviour] = {}
        self._by_path: list[tuple[str, Behaviour]] = []
        self._numbers = itertools.count(1)
        self._tls = tls
        options = {"ssl_context": tls} if tls else {}
        self._server = StreamServer(("127.0.0.1", port), self._serve, **options)
        if script is not None:
            self.script(script)

    def __enter__(self) -> ScriptedUpstream:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=0)

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return sum(c.closed_at is None and c.socket is not None for c in self.connections)

    def script(self, behaviour: Behaviour | Action | None) -> None:
        """Decides about every request; a behaviour may return None to leave one alone."""
        self._script = _behaviour(behaviour) if behaviour is not None else None

    def for_key(self, key: str, behaviour: Behaviour | Action) -> None:
        self._by_key[key] = _behaviour(behaviour)

    def for_path(self, fragment: str, behaviour: Behaviour | Action) -> None:
        """For paths that contain `fragment`."""
        self._by_path.insert(0, (fragment, _behaviour(behaviour)))

    def requests_of(self, key: str) -> list[Request]:
        return [request for request in self.requests if request.key == key]

    def close_idle(self) -> None:
        """End every connection that waits for a request, as servers do after their keep-alive time."""
        for connection in self.connections:
            if connection.idle and connection.socket is not None:
                connection.socket.shutdown(stdlib_socket.SHUT_RDWR)

    def wait_until(self, claim: Callable[[], Any], within_s: float = 2.0) -> Any:
        """Wait for what the other side does; fails loudly when it does not."""
        ends = time.monotonic() + within_s
        while not (found := claim()):
            assert time.monotonic() < ends, "it did not happen in time"
            gevent.sleep(0.002)
        return found

    def _decide(self, request: Request) -> Action:
        for behaviour in self._behaviours(request):
            action = behaviour(request)
            if action is not None:
                return action
        return gemini_like(request)

    def _behaviours(self, request: Request) -> Iterable[Behaviour]:
        if self._script:
            yield self._script
        if request.key in self._by_key:
            yield self._by_key[request.key]
        if request.key in self.dead_keys:
            yield refuse_key
        yield from (behaviour for fragment, behaviour in self._by_path if fragment in request.path)

    def _serve(self, sock: Any, _address: Any) -> None:
        connection = ClientConnection(next(self._numbers), time.monotonic(), socket=sock)
        self.connections.append(connection)
        if not self._tls:
            sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
        reader = _Reader(sock)
        try:
            while (request := reader.next_request(connection)) is not None:
                connection.idle = False
                connection.requests += 1
                self.requests.append(request)
                if not _play(self._decide(request), request, sock):
                    return
                connection.idle = True
            connection.closed_at = time.monotonic()
        except OSError:
            connection.closed_at = time.monotonic()
        finally:
            connection.socket = None
            sock.close()


def _behaviour(given: Behaviour | Action) -> Behaviour:
    return (lambda _request: given) if isinstance(given, Action) else given


def _play(action: Action, request: Request, sock: Any) -> bool:
    """Whether the connection lives on. Raises OSError when the client is gone."""
    for step in action.steps:
        match step:
            case Send(data, part):
                if request.method != "HEAD" or part == "head":
                    sock.sendall(data)
            case Pause(seconds):
                _pause(sock, seconds)
            case Close(reset):
                if reset:
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, linger)
                return False
    return True


def _pause(sock: Any, seconds: float) -> None:
    """Sleep, but notice a client that goes away."""
    try:
        socket.wait_read(sock.fileno(), timeout=seconds)
    except TimeoutError:
        return
    if not (sock.recv(1) if hasattr(sock, "cipher") else sock.recv(1, stdlib_socket.MSG_PEEK)):
        raise ConnectionResetError("the client is gone")
    gevent.sleep(seconds)  # it sent another request meanwhile


class _Reader:
    """Requests from a socket, one after another."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._kept = b""

    def next_request(self, connection: ClientConnection) -> Request | None:
        """None at a clean end between two requests."""
        head = self._until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        return Request(method, path, headers, self._body(headers), connection, time.monotonic())

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self._exactly(int(headers.get("content-length", 0)))
        blocks = []
        while size := int(self._until(b"\r\n") or b"0", 16):
            blocks.append(self._exactly(size + 2)[:-2])
        self._until(b"\r\n")
        return b"".join(blocks)

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._kept:
            data = self._sock.recv(65536)
            if not data:
                if self._kept:
                    raise ConnectionResetError("the client is gone")
                return None
            self._kept += data
        found, self._kept = self._kept.split(mark, 1)
        return found

    def _exactly(self, size: int) -> bytes:
        blocks, have = [self._kept], len(self._kept)
        while have < size:
            data = self._sock.recv(65536)
            if not data:
                raise ConnectionResetError("the client is gone")
            blocks.append(data)
            have += len(data)
        everything = b"".join(blocks)
        self._kept = everything[size:]
        return everything[:size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9999)
    parser.add_argument("--dead-key", action="append", default=[], help="refused as not valid; may be repeated")
    parser.add_argument("--limited-key", action="append", default=[], help="refused with a minute quota")
    parser.add_argument("--latency-s", type=float, default=0.0, help="silence before every answer")
    options = parser.parse_args()
    upstream = ScriptedUpstream(port=options.port)
    upstream.dead_keys.update(options.dead_key)
    quota = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    for key in options.limited_key:
        upstream.for_key(key, gemini_error(429, quota_id=quota, retry_delay="38s"))
    if options.latency_s:
        upstream.for_path("/", lambda request: stall(options.latency_s, then=gemini_like(request)))
    with upstream:
        print(f"scripted upstream on {upstream.url}", flush=True)
        gevent.sleep(10**9)


if __name__ == "__main__":
    main()
