"""Answers that go back as they came: which of them are streamed, and what of their heads a client gets to see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .core.calls import Call, Reply, StreamReader
from .core.dialects.passing import holds_error, is_json, passed_back
from .core.masking import redact_bytes
from .core.providers import Provider
from .streaming import TALKS, Committed

if TYPE_CHECKING:
    from .attempting import Exchange

MOVED = frozenset({301, 302, 303, 307, 308})


def flows(call: Call, status: int, headers: Mapping[str, str]) -> bool:
    """Does an answer go on piece by piece? JSON is read, but for files of it; without a body nothing flows."""
    if status in (204, 205) or headers.get("content-length") == "0":
        return False
    return not is_json(headers) or _fetches_a_file(call)


def _fetches_a_file(call: Call) -> bool:
    return call.method == "GET" and (call.path.endswith(("/content", ":download")) or ("alt", "media") in call.query)


def moved(call: Call, provider: Provider, status: int, headers: Mapping[str, str]) -> bool:
    """Does an upstream send who fetches something on to another of its own addresses, as Google does for videos?

    The address is the upstream's: whoever hands the answer on must put our own in its place.
    """
    return status in MOVED and call.method == "GET" and headers.get("location", "").startswith(f"{provider.root}/")


def as_it_came(reply: Reply, exchange: Exchange, secret: Callable[[], str]) -> Reply:
    """A whole answer with the upstream's own status, and what of its headers may be seen.

    An object that tells of an error, as a response that failed, may name the key in it: that is masked.
    """
    headers = passed_back(exchange.headers)
    if is_json(exchange.headers) and holds_error(reply.body):
        reply = replace(reply, body=redact_bytes(reply.body, secret()))
    if exchange.status in MOVED:
        reply, headers = replace(reply, body=b""), (*headers, ("Location", exchange.headers["location"]))
    return replace(reply, status=exchange.status, headers=headers)


def committed(call: Call, dialect: str, exchange: Exchange, reader: StreamReader, held: bytes) -> Committed:
    """A stream of events, or bytes of any kind."""
    kind = exchange.headers.get("content-type", "application/octet-stream")
    headers = [("Content-Type", kind), *passed_back(exchange.headers)]
    events = "event-stream" in kind
    if events:
        headers += [("Cache-Control", "no-cache, no-transform"), ("X-Accel-Buffering", "no")]
    elif "content-length" in exchange.headers:
        headers.append(("Content-Length", exchange.headers["content-length"]))
    paced = events and call.operation in TALKS
    return Committed(dialect, exchange, reader, held, headers, exchange.status, events, paced)
