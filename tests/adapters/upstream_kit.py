"""What the tests of the HTTP engine share: a target in one line, and both ends of a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent import socket
from gevent.server import StreamServer

from pool.adapters.upstream import Upstream
from pool.core.calls import Target, Timeouts
from tests.upstream import Action, Behaviour, ScriptedUpstream

QUICK = Timeouts(connect_s=1.0, first_byte_s=1.0, idle_s=1.0)


def target(server: ScriptedUpstream | str, path: str = "/v1/x", **changes: Any) -> Target:
    url = server if isinstance(server, str) else server.url + path
    fields: dict[str, Any] = {
        "method": "POST",
        "url": url,
        "headers": (("Content-Type", "application/json"), ("x-goog-api-key", "AIzaSecret")),
        "body": b"{}",
        "timeouts": QUICK,
    }
    return Target(**(fields | changes))


@contextmanager
def both(script: Action | Behaviour | None = None, **options: Any) -> Iterator[tuple[ScriptedUpstream, Upstream]]:
    """A scripted server and an engine."""
    engine = Upstream(**options)
    try:
        with ScriptedUpstream(script) as server:
            yield server, engine
    finally:
        engine.close()


class HttpProxy:
    """An HTTP proxy: tunnels for CONNECT, absolute URLs for the rest."""

    def __enter__(self):
        self.asked, self.credentials, self.refuses = [], [], False
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_):
        self._server.stop(timeout=0)

    def _serve(self, client, _address):
        kept = b""
        while b"\r\n\r\n" not in kept:
            kept += client.recv(65536)
        head, rest = kept.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        method, url, _ = first.split(" ")
        self.asked.append(f"{method} {url}")
        self.credentials += [v for n, _, v in (line.partition(": ") for line in lines) if n == "Proxy-Authorization"]
        if self.refuses:
            return client.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        parts = urlsplit(url if "://" in url else f"//{url}")
        onward = socket.create_connection((parts.hostname, parts.port))
        if method == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Go\r\n\r\n")
        else:
            lines = [line for line in lines if not line.startswith("Proxy-")]
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            onward.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *lines]).encode() + b"\r\n\r\n" + rest)
        both_ways = [gevent.spawn(_copy, client, onward), gevent.spawn(_copy, onward, client)]
        gevent.joinall(both_ways, count=1)
        gevent.killall(both_ways)
        onward.close()
        return None


class SocksProxy:
    """A SOCKS5 proxy: says who asked, and for which host (a name or an address) and port."""

    def __enter__(self):
        self.asked, self.credentials, self.refuses = [], [], False
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.address = f"127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_):
        self._server.stop(timeout=0)

    def _serve(self, client, _address):
        methods = self._read(client, self._read(client, 2)[1])
        client.sendall(b"\x05\x02" if 2 in methods else b"\x05\x00")
        if 2 in methods:
            name = self._read(client, self._read(client, 2)[1])
            secret = self._read(client, self._read(client, 1)[0])
            self.credentials.append((name.decode(), secret.decode()))
            client.sendall(b"\x01\x00")
        kind = self._read(client, 4)[3]
        length = {1: 4, 4: 16}.get(kind) or self._read(client, 1)[0]
        host = self._read(client, length)
        host = host.decode() if kind == 3 else ".".join(map(str, host))
        port = int.from_bytes(self._read(client, 2))
        self.asked.append((host, port))
        code = b"\x02" if self.refuses else b"\x00"
        client.sendall(b"\x05" + code + b"\x00\x01" + bytes(6))
        if self.refuses:
            return
        # Names are those of a test: all of them are here.
        onward = socket.create_connection(("127.0.0.1", port))
        both_ways = [gevent.spawn(_copy, client, onward), gevent.spawn(_copy, onward, client)]
        gevent.joinall(both_ways, count=1)
        gevent.killall(both_ways)
        onward.close()

    @staticmethod
    def _read(client, length):
        data = b""
        while len(data) < length:
            data += client.recv(length - len(data)) or bytes(length)
        return data


def _copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        return


def read_passing(exchange: Any, takes: Any, patience_s: float | None = None) -> tuple[list[Any], list[bytes]]:
    """All that `read1` returned, and all that `takes` said True to. None stands for patience that ran out."""
    returned: list[Any] = []
    taken: list[bytes] = []

    def passing(piece: bytes) -> bool:
        if takes(piece):
            taken.append(piece)
            return True
        return False

    while True:
        piece = exchange.read1(patience_s, passing)
        if piece == b"":
            return returned, taken
        returned.append(piece)
