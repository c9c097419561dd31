"""Who really calls: the address behind trusted proxies, and behind nobody else's word."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import Any


class Forwarded:
    """Reads `X-Forwarded-For` where the peer is one of FORWARDED_ALLOW_IPS (addresses, networks, or `*`).

    The right-most address that is no trusted proxy is the caller: whatever stands left of it anybody may have
    written. An unreadable one ends the walk at the last good address.
    """

    def __init__(self, trusted: str) -> None:
        parts = [part.strip() for part in trusted.split(",") if part.strip()]
        self._all = "*" in parts
        self._networks = [ip_network(part, strict=False) for part in parts if part != "*"]

    def around(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """A WSGI app whose `REMOTE_ADDR` is the caller's."""

        def forwarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if "HTTP_X_FORWARDED_FOR" in environ:
                environ["REMOTE_ADDR"] = self.caller(environ.get("REMOTE_ADDR", ""), environ["HTTP_X_FORWARDED_FOR"])
            return app(environ, start_response)

        return forwarded

    def caller(self, peer: str, header: str) -> str:
        address = peer
        for hop in reversed(header.split(",")):
            if not self._trusts(address):
                break
            try:
                address = str(ip_address(hop.strip()))
            except ValueError:
                break
        return address

    def _trusts(self, address: str) -> bool:
        if self._all:
            return True
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)
