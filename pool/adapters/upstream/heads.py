"""The head of a request as bytes: checked once, and kept for the next request that looks the same."""

from __future__ import annotations

import re
from collections.abc import Sized
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from pool.core.faults import CannotConnect

KEPT_HEADS = 2048
HEAD_LIMIT_BYTES = 64 * 1024

_METHOD = re.compile(r"[A-Z]{3,16}")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[\x21\x22\x24-\x7e]*)?(?P<query>\?[\x21\x22\x24-\x7e]*)?(?:#[\x21-\x7e]*)?"
)
_PORTS = {"http": 80, "https": 443}
# Framing and connection are the engine's own business, whatever the caller was sent.
_OURS = frozenset(
    "host content-length transfer-encoding connection keep-alive proxy-connection proxy-authorization "
    "te trailer upgrade expect".split()
)
_DEFAULTS = (("Accept-Encoding", "identity"), ("User-Agent", "keypool"))
_APART = _OURS | {"accept-encoding", "user-agent"}
"""What is left out, looked at closer or has a default."""

_FORBIDDEN = "a request header holds a character that HTTP does not allow"
_TOO_LONG = "the request head is too long"


class Origin(NamedTuple):
    """Where connections lead; those of one origin are interchangeable."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Head:
    """A request head without its Content-Length line and final blank line."""

    origin: Origin
    method: str
    lines: bytes = field(repr=False)

    def with_length_of(self, body: Sized) -> bytes:
        if body or self.method not in ("GET", "HEAD", "DELETE", "OPTIONS"):
            return b"%bContent-Length: %d\r\n\r\n" % (self.lines, len(body))
        return self.lines + b"\r\n"


@lru_cache(maxsize=KEPT_HEADS)
def head_of(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> Head:
    """The head for these values. Raises `CannotConnect`, without quoting any of them, for what HTTP forbids.

    The last header is the one with the key, as a rule: where there are more keys than heads are kept, it is added to
    what is kept of the others.
    """
    if not headers or headers[-1][0].lower() in _APART:
        return _kept(method, url, headers, None)
    name, value = headers[-1]
    head = _kept(method, url, headers[:-1], name)
    if not _VALUE.fullmatch(value):
        raise CannotConnect(_FORBIDDEN)
    lines = b"%b%b: %b\r\n" % (head.lines, name.encode("ascii"), value.encode("ascii"))
    if len(lines) > HEAD_LIMIT_BYTES:
        raise CannotConnect(_TOO_LONG)
    return Head(head.origin, method, lines)


@lru_cache(maxsize=KEPT_HEADS)
def _kept(method: str, url: str, headers: tuple[tuple[str, str], ...], last: str | None) -> Head:
    """The head without its `last` header, whose name is looked at here."""
    if last is not None and not _NAME.fullmatch(last):
        raise CannotConnect(_FORBIDDEN)
    if not _METHOD.fullmatch(method) or method == "CONNECT":
        raise CannotConnect("the request method is not allowed")
    match = _URL.fullmatch(url)
    if not match:
        raise CannotConnect("the upstream URL is not a plain http or https URL")
    origin = _origin(match)
    lines = [f"{method} {match['path'] or '/'}{match['query'] or ''} HTTP/1.1", f"Host: {_host(match, origin)}"]
    lines += [f"{name}: {value}" for name, value in sendable(headers)]
    head = "\r\n".join(lines).encode("ascii") + b"\r\n"
    if len(head) > HEAD_LIMIT_BYTES:
        raise CannotConnect(_TOO_LONG)
    return Head(origin, method, head)


def _origin(match: re.Match[str]) -> Origin:
    port = int(match["port"] or _PORTS[match["scheme"]])
    if not 0 < port < 65536:
        raise CannotConnect("the upstream port is out of range")
    return Origin(match["scheme"], match["host"].strip("[]").lower(), port)


def _host(match: re.Match[str], origin: Origin) -> str:
    return match["host"] if origin.port == _PORTS[origin.scheme] else f"{match['host']}:{origin.port}"


def sendable(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The caller's headers without those that are the engine's own business, and with our defaults.

    Raises `CannotConnect`, without quoting them, for characters that HTTP forbids.
    """
    kept, names = [], set()
    for name, value in headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise CannotConnect(_FORBIDDEN)
        lower = name.lower()
        # Only what we can decode may be asked for.
        if lower in _OURS or (lower == "accept-encoding" and value not in ("gzip", "identity")):
            continue
        names.add(lower)
        kept.append((name, value))
    return kept + [default for default in _DEFAULTS if default[0].lower() not in names]
