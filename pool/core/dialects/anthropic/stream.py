"""A stream of chat completion chunks as the events of a Messages stream.

Source: https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pool.core.calls import Call, StreamReader, Usage
from pool.core.dialects.anthropic.answer import citations, message_id, picture_blocks, stop_reason, usage_object
from pool.core.dialects.anthropic.signatures import THOUGHT, signature_block
from pool.core.dialects.carried import signature_in
from pool.core.dialects.retelling import Retelling, event
from pool.core.tokens import estimate_prompt

MOST_SAID = 24 * 1024
"""How many characters of an answer are kept, to tell which of them a page stands for: a stream has no end."""


class MessagesReader(Retelling):
    """Writes the events of a Messages stream.

    One block is open at a time, and some providers send the pieces of parallel calls interleaved: the first call goes
    out as it comes, the others when all have come.
    """

    def __init__(self, call: Call, inner: StreamReader) -> None:
        super().__init__(call, inner)
        self._began = False
        self._open: str | None = None
        self._block = -1
        self._current: int | None = None
        self._pictures = 0
        self._said = ""
        self._waiting: dict[int, dict[str, Any]] = {}

    def _beginning(self, chunk: dict[str, Any]) -> Iterator[bytes]:
        if not self._began:
            self._began = True
            yield _event("message_start", message=self._start(chunk))
            yield _event("ping")

    def _delta(self, delta: dict[str, Any]) -> Iterator[bytes]:
        if isinstance(thought := delta.get("reasoning_content"), str) and thought:
            yield from self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            yield self._piece(type="thinking_delta", thinking=thought)
        text = delta.get("content") or delta.get("refusal")
        if isinstance(text, str) and text:
            yield from self._into("text", {"type": "text", "text": ""})
            if len(self._said) < MOST_SAID:
                self._said += text[: MOST_SAID - len(self._said)]
            yield self._piece(type="text_delta", text=text)
        if self._open == "text" and delta.get("annotations"):
            for citation in citations(delta["annotations"], self._said):
                yield self._piece(type="citations_delta", citation=citation)
        for image in delta.get("images") or ():
            for block in picture_blocks(image, self._pictures):
                yield from self._into(f"picture {self._block}", block)
            self._pictures += 1
        for call in delta.get("tool_calls") or ():
            yield from self._call_piece(call)

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
        kept = self._waiting.setdefault(index, {"arguments": []})
        kept["id"] = kept.get("id") or call.get("id")
        kept["name"] = kept.get("name") or function.get("name")
        kept["signature"] = kept.get("signature") or signature_in(call)
        if piece := function.get("arguments"):
            kept["arguments"].append(piece)
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
            yield self._piece(type="input_json_delta", partial_json="".join(kept["arguments"]))
            kept["arguments"] = []

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
            yield self._piece(type="signature_delta", signature=THOUGHT)
        yield _event("content_block_stop", index=self._block)
        self._open = None

    def _piece(self, **delta: Any) -> bytes:
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
    return event(kind, fields)
