"""A stream told once more: what is common to the dialects that are written from chat completion chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from pool.core import sse
from pool.core.calls import OPENAI, Call, StreamReader, Usage
from pool.core.tokens import PROMPT


def told_as_chat(call: Call) -> Call:
    """The call as the inner reader is to take it: a chat whose stream tells its usage, about the same prompt."""
    asked = {name: value for name, value in (call.payload or {}).items() if name in (*PROMPT, "tools")}
    payload = {**asked, "stream": True, "stream_options": {"include_usage": True}}
    return replace(call, dialect=OPENAI, operation="chat", payload=payload, metered=False)


class Retelling(ABC):
    """Reads what the inner reader makes of the upstream's stream; a dialect says what each chunk becomes."""

    def __init__(self, call: Call, inner: StreamReader) -> None:
        self._call = call
        self._inner = inner
        self._finish: Any = None

    @property
    def useful(self) -> bool:
        return self._inner.useful

    @property
    def finished(self) -> bool:
        return self._inner.finished

    @property
    def failure(self) -> bytes | None:
        return self._inner.failure

    @property
    def usage(self) -> Usage:
        return self._inner.usage

    def feed(self, piece: bytes) -> bytes:
        return b"".join(self._written(self._inner.feed(piece)))

    def end(self) -> bytes:
        return b"".join([*self._written(self._inner.end()), *self._closing()])

    def _written(self, chunks: bytes) -> Iterator[bytes]:
        for event in sse.events(chunks) if chunks else ():
            if event.data.startswith(b"{"):
                yield from self._chunk(orjson.loads(event.data))

    def _chunk(self, chunk: dict[str, Any]) -> Iterator[bytes]:
        """A chunk's events, less those that begin the stream."""
        yield from self._beginning(chunk)
        choices = chunk.get("choices")
        for choice in choices[:1] if isinstance(choices, list) else ():
            yield from self._delta(choice.get("delta") or {})
            self._finish = choice.get("finish_reason") or self._finish

    @abstractmethod
    def _beginning(self, chunk: dict[str, Any]) -> Iterator[bytes]:
        """What stands before everything else: asked at every chunk, to be written once."""

    @abstractmethod
    def _delta(self, delta: dict[str, Any]) -> Iterator[bytes]:
        """What a chunk adds to the first choice; these dialects know no other."""

    @abstractmethod
    def _closing(self) -> Iterator[bytes]:
        """What ends the stream."""


def event(kind: str, fields: dict[str, Any]) -> bytes:
    """An event that says its type twice, as both of these dialects do."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))
