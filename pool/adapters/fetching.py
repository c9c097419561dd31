"""Fetches media that a request names by address, and nothing from a network that is not everybody's.

A client's URL makes this server ask for it, so it must not reach what only this server can: loopback, private and
link-local networks, cloud metadata. Addresses are judged after resolving and are then the ones connected to, so a name
cannot change its mind between the two; each redirect is judged anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from time import monotonic
from typing import Any
from urllib.parse import urljoin, urlsplit

from gevent import Timeout

from pool.adapters.upstream import Upstream
from pool.adapters.upstream.resolver import Address, Resolver
from pool.core.calls import Target, Timeouts
from pool.core.faults import CannotConnect, Fault, UpstreamError

MOST_BYTES = 20 * 1024 * 1024
WITHIN_S = 10.0
MOST_REDIRECTS = 5
MOST_URL_CHARS = 4096

KEPT_BYTES = 64 * 1024 * 1024
KEPT_S = 600.0

_HEADERS = (("Accept", "*/*"), ("User-Agent", "keypool"), ("Accept-Encoding", "identity"))
_NAT64 = IPv6Network("64:ff9b::/96")


class NotPublic(CannotConnect):
    """The name stands for addresses of a network that is not public."""


class PublicResolver(Resolver):
    """Resolves to public addresses only."""

    def addresses(self, host: str, port: int, deadline: float) -> list[Address]:
        """Raises `NotPublic` where a name has any other address: an honest one has none."""
        found = super().addresses(host, port, deadline)
        if not all(is_public(address[0]) for _, address in found):
            raise NotPublic("this address is not on a public network")
        return found


def is_public(text: str) -> bool:
    """Is it an address everybody can reach? Addresses that wrap an IPv4 one are judged by that."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        wrapped = _wrapped(address)
        if wrapped is not None:
            return is_public(str(wrapped))
    return address.is_global and not address.is_multicast and not address.is_reserved


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or int(address) >> 32 == 0:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


class Fetcher:
    """`fetch(url)` gives a media type and bytes; what was fetched of late is given again without asking."""

    def __init__(
        self,
        upstream: Upstream | None = None,
        *,
        within_s: float = WITHIN_S,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._upstream = upstream or Upstream(resolver=PublicResolver(threads=4), unpacked_limit_bytes=most_bytes)
        self._within_s = within_s
        self._most_bytes = most_bytes
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, str, bytes]] = OrderedDict()
        self._kept_bytes = 0

    def fetch(self, url: str) -> tuple[str, bytes]:
        """The media type and the bytes of an address. Raises `Fault` 400 that says why it could not be had."""
        kept = self._kept.get(url)
        if kept is not None and kept[0] > self._clock():
            return kept[1], kept[2]
        try:
            with Timeout(self._within_s):
                media_type, data = self._follow(url)
        except Timeout:
            raise _refused(f"did not answer whole within {self._within_s:g} s") from None
        except NotPublic:
            raise _refused("is not on a public network") from None
        except UpstreamError:
            raise _refused("could not be reached, or broke off") from None
        self._keep(url, media_type, data)
        return media_type, data

    def close(self) -> None:
        self._upstream.close()

    def _follow(self, url: str) -> tuple[str, bytes]:
        for _ in range(MOST_REDIRECTS + 1):
            exchange = self._upstream.start(_target(url, self._within_s))
            try:
                exchange.wait()
                location = exchange.headers.get("location")
                if 300 <= exchange.status < 400 and location:
                    url = urljoin(url, location)
                    continue
                if exchange.status != 200:
                    raise _refused(f"answered {exchange.status}")
                return _media_type(exchange.headers), self._body(exchange)
            finally:
                exchange.close()
        raise _refused(f"redirects more than {MOST_REDIRECTS} times")

    def _body(self, exchange: Any) -> bytes:
        announced = exchange.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > self._most_bytes:
            raise _too_large(self._most_bytes)
        body = bytearray()
        while piece := exchange.read1():
            body += piece
            if len(body) > self._most_bytes:
                raise _too_large(self._most_bytes)
        return bytes(body)

    def _keep(self, url: str, media_type: str, data: bytes) -> None:
        old = self._kept.pop(url, None)
        self._kept_bytes += len(data) - (len(old[2]) if old else 0)
        self._kept[url] = (self._clock() + KEPT_S, media_type, data)
        while self._kept_bytes > KEPT_BYTES:
            _, (_, _, oldest) = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest)


def _target(url: str, within_s: float) -> Target:
    """Raises `Fault` 400 for an address of another kind."""
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named or len(url) > MOST_URL_CHARS:
        raise _refused("is no http or https address")
    if parts.username or parts.password:
        raise _refused("must not hold a user name or password")
    address = parts._replace(fragment="").geturl()
    # The time for the whole fetch ends first.
    return Target("GET", address, _HEADERS, b"", Timeouts(*[2 * within_s] * 3))


def _media_type(headers: Any) -> str:
    return str(headers.get("content-type", "")).partition(";")[0].strip().lower() or "application/octet-stream"


def _refused(why: str) -> Fault:
    return Fault(400, "invalid_media_url", f"This URL {why}; send the data as a data: URL.", retryable=False)


def _too_large(most_bytes: int) -> Fault:
    return _refused(f"holds more than {most_bytes // 1024 // 1024} MB")
