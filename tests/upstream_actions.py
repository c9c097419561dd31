"""Actions: what the scripted upstream does with one request, and the ways in which it can go wrong.

Functions that make an action say what is sent; functions that take one spoil it in one more way.
"""

from __future__ import annotations

import gzip as gzip_format
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

FOREVER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes
    part: str = "body"
    """head | event | body | end"""


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    reset: bool = False


Step = Send | Pause | Close


@dataclass(frozen=True, slots=True)
class Action:
    """What is done with one request, step by step; without `Close` the connection lives on."""

    steps: tuple[Step, ...]


Behaviour = Callable[[Any], Action | None]
"""Chooses an action for a `Request`; None leaves the choice to the next one asked."""


def answer(
    status: int = 200,
    body: Any = b"",
    headers: dict[str, str] | None = None,
    *,
    gzip: bool = False,
    announce_bytes: int | None = None,
) -> Action:
    """A plain answer. `announce_bytes` lies about its length: more than there is, and it is truncated."""
    content, content_type = _content(body)
    all_headers = {"Content-Type": content_type} if content else {}
    if gzip:
        content = gzip_format.compress(content, mtime=0)
        all_headers["Content-Encoding"] = "gzip"
    if status not in (204, 304):
        all_headers["Content-Length"] = str(len(content) if announce_bytes is None else announce_bytes)
    steps: list[Step] = [Send(_head(status, all_headers | (headers or {})), "head")]
    if content:
        steps.append(Send(content))
    if announce_bytes is not None and announce_bytes > len(content):
        steps.append(Close())
    return Action(tuple(steps))


def sse(
    events: Iterable[Any],
    delay_s: float = 0,
    crlf: bool = False,
    done: bool = False,
    chunked: bool = True,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    gzip: bool = False,
) -> Action:
    """Server-sent events, `delay_s` before each. Not chunked: the end of the connection ends it."""
    end = "\r\n" if crlf else "\n"
    blocks = [f"data: {_text(event)}{end}{end}".encode() for event in events]
    if done:
        blocks.append(f"data: [DONE]{end}{end}".encode())
    content_type = {"Content-Type": "text/event-stream"}
    return pieces(blocks, delay_s, chunked, status=status, headers=content_type | (headers or {}), gzip=gzip)


def array_stream(chunks: Sequence[Any], delay_s: float = 0, *, chunked: bool = True) -> Action:
    """What streamGenerateContent sends without `alt=sse`: one JSON array, piece by piece."""
    blocks = [("[" if n == 0 else ",\r\n") + _text(chunk) for n, chunk in enumerate(chunks)]
    content_type = {"Content-Type": "application/json; charset=UTF-8"}
    return pieces([*(b.encode() for b in blocks), b"]"], delay_s, chunked, headers=content_type)


def pieces(
    blocks: Iterable[bytes],
    delay_s: float = 0,
    chunked: bool = True,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    gzip: bool = False,
) -> Action:
    """A body that comes in these pieces, each counted as one event."""
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Connection": "close"}
    if gzip:
        framing["Content-Encoding"] = "gzip"
        blocks = _gzip_pieces(blocks)
    steps: list[Step] = [Send(_head(status, framing | (headers or {})), "head")]
    for block in blocks:
        if delay_s:
            steps.append(Pause(delay_s))
        steps.append(Send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block, "event"))
    steps.append(Send(b"0\r\n\r\n", "end") if chunked else Close())
    return Action(tuple(steps))


def raw(*blocks: bytes, close: bool = True) -> Action:
    """Exactly these bytes, HTTP or not."""
    return Action((*(Send(block) for block in blocks), *([Close()] if close else [])))


def close_before_head(reset: bool = False) -> Action:
    return Action((Close(reset),))


def stall(seconds: float = FOREVER_S, then: Action | None = None) -> Action:
    """Silence before the head; nothing follows but the end, unless `then` is given."""
    return Action((Pause(seconds), *(then.steps if then else (Close(),))))


def stall_after(action: Action, seconds: float = FOREVER_S, **point: int) -> Action:
    """Silence after so many `events` or `size_bytes`, then the rest."""
    before, after = _split(action, **point)
    return Action((*before, Pause(seconds), *after))


def cut_after(action: Action, **point: int) -> Action:
    """The connection ends after so many `events` or `size_bytes` (head included)."""
    return Action((*_split(action, **point)[0], Close()))


def reset_after(action: Action, **point: int) -> Action:
    """The same, with a TCP reset."""
    # A reset overtakes what was not read yet: let the other side read first.
    return Action((*_split(action, **point)[0], Pause(0.01), Close(reset=True)))


def then_close(action: Action) -> Action:
    """Closes after an answer that promised to keep the connection."""
    return Action((*action.steps, Close()))


def early_hints_then(action: Action, status: int = 103, times: int = 1, delay_s: float = 0) -> Action:
    """1xx answers first, as HTTP allows before any final one."""
    hint = Send(f"HTTP/1.1 {status} Early\r\nLink: </style.css>; rel=preload\r\n\r\n".encode(), "head")
    return Action((*([hint] * times), *([Pause(delay_s)] if delay_s else []), *action.steps))


def byte_by_byte(action: Action) -> Action:
    """Every byte in a packet of its own."""
    steps: list[Step] = []
    for step in action.steps:
        if isinstance(step, Send):
            steps += [replace(step, data=bytes([byte])) for byte in step.data]
        else:
            steps.append(step)
    return Action(tuple(steps))


def in_turn(*actions: Action) -> Behaviour:
    """One action a request; the last one for all that follow."""
    left = list(actions)
    return lambda _request: left.pop(0) if len(left) > 1 else left[0]


def _split(
    action: Action, *, events: int | None = None, size_bytes: int | None = None
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    before: list[Step] = []
    left = events if events is not None else size_bytes or 0
    for n, step in enumerate(action.steps):
        if not isinstance(step, Send):
            before.append(step)
        elif events is not None:
            if left <= 0 and step.part != "head":
                return tuple(before), action.steps[n:]
            before.append(step)
            left -= step.part == "event"
        else:
            if len(step.data) >= left:
                rest = replace(step, data=step.data[left:])
                return (*before, replace(step, data=step.data[:left])), (rest, *action.steps[n + 1 :])
            before.append(step)
            left -= len(step.data)
    return tuple(before), ()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1")


def _content(body: Any) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, "application/octet-stream" if body[:1] not in (b"{", b"[") else "application/json"
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    return json.dumps(body).encode(), "application/json; charset=UTF-8"


def _text(event: Any) -> str:
    if isinstance(event, bytes):
        return event.decode()
    return event if isinstance(event, str) else json.dumps(event)


def _gzip_pieces(blocks: Iterable[bytes]) -> list[bytes]:
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH) for block in blocks]
    return [*packed, packer.flush()]
