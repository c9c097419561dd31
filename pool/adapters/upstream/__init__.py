"""HTTP to providers: strict HTTP/1.1 over kept connections, where no answer can reach another's request."""

from __future__ import annotations

from pool.adapters.upstream.adapter import FastAdapter
from pool.adapters.upstream.connections import IDLE_S, Connections, verified_tls
from pool.adapters.upstream.exchange import Exchange
from pool.adapters.upstream.heads import head_of
from pool.adapters.upstream.proxied import ProxiedExchange
from pool.adapters.upstream.resolver import Resolver
from pool.core.calls import Target

__all__ = ["Exchange", "FastAdapter", "ProxiedExchange", "Upstream"]


class Upstream:
    """Starts exchanges. One a process: connections belong to the thread (the gevent hub) that uses it.

    ca_file: certificates trusted beside certifi's. resend: send once more, on a fresh connection, what was
    sent on a kept one that turned out to have ended (`resent` counts it). unpacked_limit_bytes: how much a
    gzip body may become.
    """

    def __init__(
        self,
        ca_file: str | None = None,
        *,
        resend: bool = True,
        idle_per_origin: int = 128,
        idle_s: float = IDLE_S,
        unpacked_limit_bytes: int = 256 * 1024 * 1024,
        resolver: Resolver | None = None,
    ) -> None:
        self.resend = resend
        self.resent = 0
        self.unpacked_limit_bytes = unpacked_limit_bytes
        self._resolver = resolver or Resolver()
        self._tls = verified_tls(ca_file)
        self.connections = Connections(
            tls=self._tls, resolver=self._resolver, idle_per_origin=idle_per_origin, idle_s=idle_s
        )

    def start(self, target: Target) -> Exchange | ProxiedExchange:
        """Connect, or reuse a connection, and send. Raises `CannotConnect`, `Broken` and `TimedOut`."""
        if target.proxy_url:
            return ProxiedExchange(target, self._tls, self._resolver, self.unpacked_limit_bytes)
        return Exchange(self, head_of(target.method, target.url, target.headers), target)

    def open_connections(self) -> int:
        return self.connections.open_count

    def idle_connections(self) -> int:
        return self.connections.idle_count

    def close(self) -> None:
        """Close every connection; exchanges under way end with `Broken`."""
        self.connections.close()
        self._resolver.close()
