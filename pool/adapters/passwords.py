"""Password hashes (scrypt), made off the hub and never more than two at once, and which passwords are too weak."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from gevent.threadpool import ThreadPool

MIN_LENGTH = 8
# What the five predecessors shipped as their passwords; everybody knows them.
KNOWN = {"admin-key", "your-admin-key", "admin", "password", "gandalf", "84861142"}
KNOWN |= {f"admin-{month}" for month in range(1, 13)}
ENCODED = re.compile(r"scrypt:2\^(1\d|20):8:1\$([A-Za-z0-9+/]{22}==)\$([A-Za-z0-9+/]{43}=)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cost:
    """scrypt's n, with r = 8 and p = 1: a hash takes 1,024 · n bytes, here 128 MiB. ASVS 5 asks for n ≥ 2^17."""

    n: int = 2**17

    def hash(self, password: str, salt: bytes) -> bytes:
        return hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"),
            salt=salt,
            n=self.n,
            r=8,
            p=1,
            maxmem=2048 * self.n,
            dklen=32,
        )


class Passwords:
    """Encodes and verifies passwords in two threads of its own: fifty log-ins at once freeze no stream."""

    def __init__(self, cost: Cost | None = None) -> None:
        self._cost = cost or Cost()
        self._threads: ThreadPool | None = None

    def encode(self, password: str) -> str:
        """`scrypt:2^17:8:1$salt$hash`, salt and hash in base64."""
        cost, salt = self._cost, secrets.token_bytes(16)
        hashed = self._apply(cost, password, salt)
        return f"scrypt:2^{cost.n.bit_length() - 1}:8:1${_base64(salt)}${_base64(hashed)}"

    def verify(self, password: str, encoded: str) -> bool:
        """False for a wrong password and for anything that `encode` did not write."""
        parsed = _parse(encoded)
        if parsed is None:
            return False
        cost, salt, hashed = parsed
        return hmac.compare_digest(self._apply(cost, password, salt), hashed)

    def needs_rehash(self, encoded: str) -> bool:
        """Whether `encoded` was made at another cost; to be asked when a password has just been verified."""
        parsed = _parse(encoded)
        return parsed is None or parsed[0] != self._cost

    def weak(self, password: str) -> str | None:
        """Why a new password is refused; None where it will do."""
        return weak(password)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.join()
            self._threads.kill()
            self._threads = None

    def _apply(self, cost: Cost, password: str, salt: bytes) -> bytes:
        if self._threads is None:
            self._threads = ThreadPool(2)
        return self._threads.apply(cost.hash, (password, salt))


def weak(password: str) -> str | None:
    """Why this password is refused, as a sentence's end: "it is …"; None where it will do."""
    lowered = password.strip().casefold()
    # Digits or a mark behind a known one make it no other: they are what everybody tries next.
    if lowered in KNOWN or lowered.rstrip("0123456789!.-_") in KNOWN or lowered.startswith("123456"):
        return "it is a default everybody knows"
    if len(password.strip()) < MIN_LENGTH:
        return f"it is shorter than {MIN_LENGTH} characters"
    return None


def _parse(encoded: str) -> tuple[Cost, bytes, bytes] | None:
    found = ENCODED.fullmatch(encoded)
    if found is None:
        return None
    exponent, salt, hashed = found.groups()
    return Cost(2 ** int(exponent)), base64.b64decode(salt), base64.b64decode(hashed)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
