"""Names to addresses, in threads of its own: a hanging name server holds up nobody else."""

from __future__ import annotations

import ipaddress
import socket
from time import monotonic
from typing import Any

from gevent import Timeout
from gevent.event import AsyncResult
from gevent.monkey import get_original
from gevent.threadpool import ThreadPool

from pool.core.addresses import no_api_is_at
from pool.core.faults import CannotConnect

KEPT_S = 60.0
KEPT_NAMES = 512
_getaddrinfo = get_original("socket", "getaddrinfo")

Address = tuple[int, Any]
"""Family and socket address."""


class Resolver:
    """Looks names up once a minute each; everyone who asks meanwhile shares that one look-up."""

    def __init__(self, *, threads: int = 8, getaddrinfo: Any = None) -> None:
        self._threads = threads
        self._workers: ThreadPool | None = None
        self._getaddrinfo = getaddrinfo or _getaddrinfo
        self._known: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._asked: dict[tuple[str, int], AsyncResult] = {}

    def addresses(self, host: str, port: int, deadline: float) -> list[Address]:
        """Raises `CannotConnect` for an unknown name, or when the deadline comes first.

        A name may stand for what no base URL may be, also by a name server's lie: those are passed over.
        """
        found = self.found(host, port, deadline)
        fit = [each for each in found if not no_api_is_at(each[1][0])]
        if found and not fit:
            raise CannotConnect("the upstream's name stands for an address no API has")
        return fit

    def found(self, host: str, port: int, deadline: float) -> list[Address]:
        """All there are, whatever they are."""
        name = (host, port)
        until, addresses = self._known.get(name, (0.0, []))
        if until > monotonic():
            return addresses
        if _is_literal(host):
            return _addresses(_getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        with Timeout(max(deadline - monotonic(), 0.001), False):
            return self._look_up(name)
        raise CannotConnect("the upstream's name was not resolved in time")

    def prefer(self, host: str, port: int, address: Address) -> None:
        """Offer this address first from now on: one before it did not answer."""
        until, addresses = self._known.get((host, port), (0.0, []))
        if address in addresses:
            self._known[host, port] = (until, [address, *(a for a in addresses if a != address)])

    def forget(self, host: str, port: int) -> None:
        """Ask again next time: none of its addresses answered."""
        self._known.pop((host, port), None)

    def close(self) -> None:
        if self._workers is not None:
            self._workers.kill()

    def _look_up(self, name: tuple[str, int]) -> list[Address]:
        asked = self._asked.get(name) or self._ask(name)
        found = asked.get()
        if isinstance(found, OSError):
            raise CannotConnect("the upstream's name cannot be resolved") from found
        return found

    def _ask(self, name: tuple[str, int]) -> AsyncResult:
        if self._workers is None:
            self._workers = ThreadPool(self._threads)
        # Waits while all threads hang; only then is there something others can share.
        look_up = self._workers.spawn(_outcome_of, self._getaddrinfo, name)
        asked = self._asked[name] = AsyncResult()
        look_up.rawlink(lambda done: self._learn(name, asked, done.value))
        return asked

    def _learn(self, name: tuple[str, int], asked: AsyncResult, found: list[Address] | OSError) -> None:
        self._asked.pop(name, None)
        if not isinstance(found, OSError):
            if len(self._known) >= KEPT_NAMES:
                self._known.clear()
            self._known[name] = (monotonic() + KEPT_S, found)
        asked.set(found)


def _outcome_of(getaddrinfo: Any, name: tuple[str, int]) -> list[Address] | OSError:
    """Runs in a thread; an error is returned, for gevent prints those that are raised there."""
    try:
        return _addresses(getaddrinfo(*name, 0, socket.SOCK_STREAM))
    except OSError as e:
        return e
    except UnicodeError:
        return OSError("not a host name")


def _addresses(found: list[Any]) -> list[Address]:
    return [(family, address) for family, _, _, _, address in found]


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
