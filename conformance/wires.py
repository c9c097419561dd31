"""Recorded bodies put back on the wire, and fed to readers however they are cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from conformance.cases import require
from pool.core.calls import StreamReader

SIZES = (1, 2, 3, 7, 61, 1024)
MOST_BYTES_BY_ONE = 100_000
"""Longer wires are cut at every 61 bytes and more only: a byte at a time takes seconds for a picture."""


def events_wire(response: dict[str, Any]) -> bytes | None:
    """The body of an event stream; None where the answer was none. Google ends lines with CRLF, its OpenAI layer LF."""
    if not isinstance(response.get("sse"), list):
        return None
    if isinstance(response.get("raw"), str):
        return response["raw"].encode()
    end = "\n" if response.get("sse_eol") == "LF" else "\r\n"
    names = response.get("sse_events")
    names = names if isinstance(names, list) and len(names) == len(response["sse"]) else [None] * len(response["sse"])
    return "".join(_event(name, data, end) for name, data in zip(names, response["sse"], strict=True)).encode()


def _event(name: Any, data: str, end: str) -> str:
    head = f"event: {name}{end}" if isinstance(name, str) and name else ""
    return f"{head}data: {data}{end}{end}"


def array_wires(chunks: list[Any]) -> Iterator[bytes]:
    """A stream without alt=sse, compact and as Google prints it."""
    for indent in (None, 2):
        yield b"[" + b",\r\n".join(json.dumps(chunk, indent=indent).encode() for chunk in chunks) + b"\n]\n"


def json_wires(body: Any) -> Iterator[bytes]:
    yield json.dumps(body, indent=2, ensure_ascii=False).encode()
    yield json.dumps(body, separators=(",", ":")).encode()


def pieces(wire: bytes, size: int) -> list[bytes]:
    return [wire[start : start + size] for start in range(0, len(wire), size)]


def fed(make: Callable[[], StreamReader], wire: bytes) -> tuple[StreamReader, bytes, bytes]:
    """A reader that has read all, what it gave on the way, and at the end: the same for every way to cut the wire."""
    sizes = [size for size in (*SIZES, len(wire)) if size >= 61 or len(wire) <= MOST_BYTES_BY_ONE]
    made = [_fed(make(), pieces(wire, size)) for size in sizes if size]
    _, first, last = made[0]
    reader = made[-1][0]
    for other, given, end in made[1:]:
        require(given + end == first + last, "what comes out depends on how the bytes are cut")
        require(other.finished == reader.finished and other.useful == reader.useful, "so does whether it is finished")
        require((other.failure is None) == (reader.failure is None), "so does whether it failed")
    return reader, first, last


def _fed(reader: StreamReader, cut: list[bytes]) -> tuple[StreamReader, bytes, bytes]:
    given = b"".join(reader.feed(piece) for piece in cut)
    return reader, given, reader.end() if reader.failure is None else b""
