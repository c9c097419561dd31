"""A stream of chat completion chunks as the events of a Messages stream.

Source: https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from pool.core import sse
from pool.core.calls import Call, StreamReader, Usage
from pool.core.dialects.anthropic.answer import image_block, message_id, stop_reason, usage_object
from pool.core.dialects.anthropic.signatures import THOUGHT, signature_block, signature_in
from pool.core.tokens import estimate_prompt


class MessagesReader:
    """Reads what the inner reader makes of the upstream's stream, and writes it once more, event by event.

    One block is open at a time, and some providers send the pieces of parallel calls interleaved: the first call goes
    out as it comes, the others when all have come.
    """

    def __init__(self, call: Call, inner: StreamReader) -> None:
        self._call = call
        self._inner = inner
        self._began = False
        self._open: str | None = None
        self._block = -1
        self._finish: Any = None
        self._current: int | None = None
        self._waiting: dict[int, dict[str, Any]] = {}

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
        if not self._began:
            self._began = True
            yield _event("message_start", message=self._start(chunk))
            yield _event("ping")
        choices = chunk.get("choices")
        for choice in choices[:1] if isinstance(choices, list) else ():
            delta = choice.get("delta") or {}
            if isinstance(thought := delta.get("reasoning_content"), str) and thought:
                yield from self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                yield self._delta(type="thinking_delta", thinking=thought)
            text = delta.get("content") or delta.get("refusal")
            if isinstance(text, str) and text:
                yield from self._into("text", {"type": "text", "text": ""})
                yield self._delta(type="text_delta", text=text)
            for image in delta.get("images") or ():
                if block := image_block(image):
                    yield from self._into(f"image {self._block}", block)
            for call in delta.get("tool_calls") or ():
                yield from self._call_piece(call)
            self._finish = choice.get("finish_reason") or self._finish

    def _start(self, chunk: dict[str, Any]) -> dict[str, Any]:
        # What the prompt really came to is known at the end only; message_delta then says it.
        usage = usage_object(Usage(estimate_prompt(self._call), 1, estimated=True))
        return {
            "id": message_id(chunk),
            "type": "message",
            "role": "assistant",
            "model": self._call.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }

    def _call_piece(self, call: dict[str, Any]) -> Iterator[bytes]:
        index = call.get("index") or 0
        function = call.get("function") or {}
        kept = self._waiting.setdefault(index, {"arguments": ""})
        kept["id"] = kept.get("id") or call.get("id")
        kept["name"] = kept.get("name") or function.get("name")
        kept["signature"] = kept.get("signature") or signature_in(call)
        kept["arguments"] += function.get("arguments") or ""
        if self._current is None:
            self._current = index
        if index == self._current:
            yield from self._advance(index)

    def _advance(self, index: int) -> Iterator[bytes]:
        """Write what has come of a call, once it has a name."""
        kept = self._waiting[index]
        if not kept["name"]:
            return
        if self._open != f"tool {index}":
            if kept["signature"]:
                yield from self._into("signature", signature_block({kept["id"]: kept["signature"]}))
            block = {"type": "tool_use", "id": kept["id"], "name": kept["name"], "input": {}}
            yield from self._into(f"tool {index}", block)
        if kept["arguments"]:
            yield self._delta(type="input_json_delta", partial_json=kept["arguments"])
            kept["arguments"] = ""

    def _into(self, name: str, block: dict[str, Any]) -> Iterator[bytes]:
        """Open a block, unless it is the one that is open."""
        if self._open == name:
            return
        yield from self._close()
        self._open = name
        self._block += 1
        yield _event("content_block_start", index=self._block, content_block=block)

    def _close(self) -> Iterator[bytes]:
        if self._open is None:
            return
        if self._open == "thinking":
            yield self._delta(type="signature_delta", signature=THOUGHT)
        yield _event("content_block_stop", index=self._block)
        self._open = None

    def _delta(self, **delta: Any) -> bytes:
        return _event("content_block_delta", index=self._block, delta=delta)

    def _closing(self) -> Iterator[bytes]:
        for index in sorted(self._waiting):
            if index != self._current:
                yield from self._advance(index)
        yield from self._close()
        delta = {"stop_reason": stop_reason(self._finish), "stop_sequence": None}
        yield _event("message_delta", delta=delta, usage=usage_object(self.usage))
        yield _event("message_stop")


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))
