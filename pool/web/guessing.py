"""The admin password, tried: by whichever door, throttled before it is hashed; a right one is remembered a while."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import secrets
from collections.abc import Callable
from math import ceil

from gevent.event import Event

from pool.adapters import queries
from pool.core.state import take
from pool.web.here import caller_ip, keypool, now, read

PER_IP, PER_MINUTE_S, GLOBAL = 5, 60.0, 30

REMEMBERED_S = 600.0
MOST_REMEMBERED = 64

log = logging.getLogger(__name__)


def throttled() -> int:
    """Seconds to wait before another attempt; 0 lets this one through and counts it."""
    state, at = keypool().state, now()
    for bucket, limit in ((f"login:{network(caller_ip())}", PER_IP), ("login", GLOBAL)):
        grant = take(state, bucket, limit, PER_MINUTE_S, at)
        if not grant.allowed:
            return max(1, ceil(grant.resets_at - at))
    return 0


def right(password: str) -> bool:
    """Is it the password? A hash is made of whatever was typed, away from the hub."""
    return verified(password, encoded())


def verified(password: str, stored: str) -> bool:
    """As `right`, where the stored hash is known already. Who was wrong is in the log."""
    if password and keypool().passwords.verify(password, stored):
        return True
    log.warning("a wrong password from %s", caller_ip())
    return False


def encoded() -> str:
    """The password's hash as it is stored."""
    return read(queries.meta, "password") or ""


def network(address: str) -> str:
    """What one visitor can be told apart by: an IPv4 address, or the /64 an IPv6 address is in."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))


class Remembered:
    """Passwords that were right a short while ago: programs send theirs with every request, and a hash is dear.

    Kept as HMACs under a secret of this process. The hash a password was right for is part of it, so that a new
    password forgets the old one at once, whichever process set it.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._until: dict[bytes, float] = {}
        self._trying: dict[bytes, Event] = {}

    def admits(self, password: str, stored: str, attempt: Callable[[], bool]) -> bool:
        """Is it known for right, or else: does an `attempt` say so?

        The same one is tried once at a time: of a program's first ten requests at once one is an attempt, and the
        other nine are told.
        """
        mark = self._mark(password, stored)
        while (other := self._trying.get(mark)) is not None:
            other.wait()
        if self._until.get(mark, 0.0) > now():
            return True
        over = self._trying[mark] = Event()
        try:
            if not attempt():
                return False
            self._keep(mark, now())
            return True
        finally:
            del self._trying[mark]
            over.set()

    def _keep(self, mark: bytes, at: float) -> None:
        self._until = {known: until for known, until in self._until.items() if until > at}
        if len(self._until) >= MOST_REMEMBERED:
            del self._until[next(iter(self._until))]
        self._until[mark] = at + REMEMBERED_S

    def _mark(self, password: str, stored: str) -> bytes:
        said = f"{stored}\0{password}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, said, hashlib.sha256)
