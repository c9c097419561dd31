"""Fetches media that a request names by address, and nothing from a network that is not everybody's.

A client's URL makes this server ask for it, so it must not reach what only this server can: loopback, private and
link-local networks, cloud metadata. Addresses are judged after resolving and are then the ones connected to, so a name
cannot change its mind between the two; each redirect is judged anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from time import monotonic
from typing import Any
from urllib.parse import urljoin, urlsplit

from gevent import Timeout
from gevent.pool import Pool

from pool.adapters.upstream import Upstream
from pool.adapters.upstream.resolver import Address, Resolver
from pool.core.calls import Target, Timeouts
from pool.core.faults import CannotConnect, Fault, UpstreamError

MOST_BYTES = 20 * 1024 * 1024
WITHIN_S = 10.0
TOGETHER_WITHIN_S = 20.0
AT_ONCE = 4
"""How many addresses of one request are fetched side by side, and how long all of them may take."""
MOST_REDIRECTS = 5
MOST_URL_CHARS = 4096

KEPT_BYTES = 64 * 1024 * 1024
KEPT_S = 600.0

_HEADERS = (("Accept", "*/*"), ("User-Agent", "keypool"), ("Accept-Encoding", "identity"))
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        *("192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10", "198.18.0.0/15"),
        *("fec0::/10", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32"),
        *("3fff::/20", "5f00::/16", "fc00::/7"),
    )
)
"""Special networks that the standard library lets pass, or does so in some versions.

Sources: https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry
"""


class NotPublic(CannotConnect):
    """The name stands for addresses of a network that is not public."""


class PublicResolver(Resolver):
    """Resolves to public addresses only."""

    def addresses(self, host: str, port: int, deadline: float) -> list[Address]:
        """Raises `NotPublic` where a name has any other address: an honest one has none."""
        found = self.found(host, port, deadline)
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
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
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


class _Room:
    """How much may still come for one request."""

    def __init__(self, most_bytes: int) -> None:
        self._most = self._left = most_bytes

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _refused(f"and the others of this request hold more than {self._most // 1024 // 1024} MB")


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
        return self._fetch(url, _Room(self._most_bytes))

    __call__ = fetch

    def together(self, urls: Sequence[str], most_bytes: int) -> dict[str, tuple[str, bytes] | Fault]:
        """What stands at each of the addresses that one request names, a few fetched at a time."""
        found: dict[str, tuple[str, bytes] | Fault] = {}
        room = _Room(most_bytes)

        def get(url: str) -> None:
            try:
                # Nothing more is asked for once there is no room.
                room.take(0)
                found[url] = self._fetch(url, room)
            except Fault as fault:
                found[url] = fault

        several = Pool(AT_ONCE)
        try:
            with Timeout(TOGETHER_WITHIN_S, False):
                for url in urls:
                    several.spawn(get, url)
                several.join()
        finally:
            several.kill()
        late = f"and the others of this request did not come within {TOGETHER_WITHIN_S:g} s"
        return {url: found[url] if url in found else _refused(late) for url in urls}

    def _fetch(self, url: str, room: _Room) -> tuple[str, bytes]:
        kept = self._kept.get(url)
        if kept is not None and kept[0] > self._clock():
            room.take(len(kept[2]))
            return kept[1], kept[2]
        try:
            with Timeout(self._within_s):
                media_type, data = self._follow(url, room)
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

    def _follow(self, url: str, room: _Room) -> tuple[str, bytes]:
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
                return _media_type(exchange.headers), self._body(exchange, room)
            finally:
                exchange.close()
        raise _refused(f"redirects more than {MOST_REDIRECTS} times")

    def _body(self, exchange: Any, room: _Room) -> bytes:
        announced = exchange.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > self._most_bytes:
            raise _too_large(self._most_bytes)
        body = bytearray()
        while piece := exchange.read1():
            body += piece
            if len(body) > self._most_bytes:
                raise _too_large(self._most_bytes)
            room.take(len(piece))
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
