"""Answers that go back as they came: which of them are streamed, and what of their heads a client gets to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .core.calls import Call, Reply, StreamReader
from .core.dialects.passing import is_json, passed_back
from .core.providers import Provider
from .streaming import Committed

if TYPE_CHECKING:
    from .relay import Exchange

MOVED = frozenset({301, 302, 303, 307, 308})


def flows(status: int, headers: Mapping[str, str]) -> bool:
    """Does an answer go on piece by piece? JSON is read, and where there is no body nothing flows."""
    return status not in (204, 205) and headers.get("content-length") != "0" and not is_json(headers)


def moved(call: Call, provider: Provider, status: int, headers: Mapping[str, str]) -> bool:
    """Does an upstream send who fetches something on to another of its own addresses, as Google does for videos?

    The address is the upstream's: whoever hands the answer on must put our own in its place.
    """
    return status in MOVED and call.method == "GET" and headers.get("location", "").startswith(f"{provider.root}/")


def as_it_came(reply: Reply, exchange: Exchange) -> Reply:
    """A whole answer with the upstream's own status, and what of its headers may be seen."""
    headers = passed_back(exchange.headers)
    if exchange.status in MOVED:
        reply, headers = replace(reply, body=b""), (*headers, ("Location", exchange.headers["location"]))
    return replace(reply, status=exchange.status, headers=headers)


def committed(dialect: str, exchange: Exchange, reader: StreamReader, held: bytes) -> Committed:
    """A stream of events, or bytes of any kind."""
    kind = exchange.headers.get("content-type", "application/octet-stream")
    headers = [("Content-Type", kind), *passed_back(exchange.headers)]
    events = "event-stream" in kind
    if events:
        headers += [("Cache-Control", "no-cache, no-transform"), ("X-Accel-Buffering", "no")]
    elif "content-length" in exchange.headers:
        headers.append(("Content-Length", exchange.headers["content-length"]))
    return Committed(dialect, exchange, reader, held, headers, exchange.status, events)
