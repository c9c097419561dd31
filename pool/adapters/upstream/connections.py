"""Every open connection: makes them, keeps the idle ones for the next request, drops the old."""

from __future__ import annotations

import errno
import ssl
from collections import deque
from functools import cache
from time import monotonic
from typing import Any

import certifi
from gevent import get_hub

from pool.adapters.upstream.connection import Connection, TlsConnection
from pool.adapters.upstream.heads import Origin
from pool.adapters.upstream.resolver import Address, Resolver
from pool.core.faults import CannotConnect

IDLE_S = 50.0
"""Below the 60 s after which common servers close an idle connection."""
SWEEP_S = 5.0


@cache
def verified_tls(ca_file: str | None = None) -> ssl.SSLContext:
    """Certificates are checked against certifi's list and `ca_file`; the environment has no say."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    if ca_file:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Connections:
    """At most `idle_per_origin` idle connections an origin, the youngest used first."""

    def __init__(
        self, *, tls: ssl.SSLContext, resolver: Resolver, idle_per_origin: int = 128, idle_s: float = IDLE_S
    ) -> None:
        self._tls = tls
        self._resolver = resolver
        self._idle_per_origin = idle_per_origin
        self._idle_s = idle_s
        self._open: set[Connection] = set()
        self._idle: dict[Origin, deque[Connection]] = {}
        self._sweep_timer: Any = None
        self._closed = False

    @property
    def open_count(self) -> int:
        return len(self._open)

    @property
    def idle_count(self) -> int:
        return sum(map(len, self._idle.values()))

    def take_idle(self, origin: Origin) -> Connection | None:
        """An idle connection that is still open and silent, or None."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if monotonic() - connection.idle_since < self._idle_s and connection.alive():
                connection.reused = True
                return connection
            connection.close()
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose last answer is complete."""
        if self._closed or connection.closed:
            connection.close()
            return
        connection.idle_since = monotonic()
        idle = self._idle.setdefault(connection.origin, deque())
        idle.append(connection)
        if len(idle) > self._idle_per_origin:
            idle.popleft().close()
        if self._sweep_timer is None:
            self._sweep_later()

    def connect(self, origin: Origin, connect_s: float) -> Connection:
        """A fresh connection. `connect_s` covers name, all addresses and TLS. Raises `CannotConnect`."""
        if self._closed:
            raise CannotConnect("the engine is closed")
        deadline = monotonic() + connect_s
        addresses = self._resolver.addresses(origin.host, origin.port, deadline)
        failure = OSError("no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            now = monotonic()
            # A share each: one address that swallows packets must not eat the time of the others.
            share = now + (deadline - now) / left
            try:
                connection = self._connect_to(origin, address, share)
            except ssl.SSLError as e:
                raise CannotConnect(f"TLS was refused ({e.reason or 'cut'})") from e
            except OSError as e:
                failure = e
            else:
                if address is not addresses[0]:
                    self._resolver.prefer(origin.host, origin.port, address)
                return connection
        self._resolver.forget(origin.host, origin.port)
        raise CannotConnect(f"no connection ({errno.errorcode.get(failure.errno or 0, 'closed')})") from failure

    def close(self) -> None:
        """Close everything, in use or not."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.stop()
            self._sweep_timer.close()
        self._idle.clear()
        for connection in list(self._open):
            connection.close()

    def _connect_to(self, origin: Origin, address: Address, deadline: float) -> Connection:
        family, where = address
        connection: Connection
        if origin.scheme == "https":
            connection = TlsConnection(family, self._open.discard)
        else:
            connection = Connection(family, self._open.discard)
        self._open.add(connection)
        try:
            connection.connect(where, deadline)
            if isinstance(connection, TlsConnection):
                connection.handshake(self._tls, origin.host, deadline)
        except BaseException:  # a killed greenlet leaves no half-open connection either
            connection.close()
            raise
        connection.origin = origin
        return connection

    def _sweep_later(self) -> None:
        self._sweep_timer = get_hub().loop.timer(min(SWEEP_S, self._idle_s), ref=False)
        self._sweep_timer.start(self._sweep)

    def _sweep(self) -> None:
        """Drop what has been idle for too long or was closed by the other side."""
        self._sweep_timer.close()
        self._sweep_timer = None
        oldest_kept = monotonic() - self._idle_s
        for origin, idle in list(self._idle.items()):
            kept = deque(c for c in idle if c.idle_since > oldest_kept and c.alive())
            for connection in set(idle).difference(kept):
                connection.close()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        if self._idle:
            self._sweep_later()
