"""A stream of chat completion chunks as the events of a Responses stream.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from pool.core import sse
from pool.core.calls import Call, StreamReader, Usage
from pool.core.dialects.carried import carry, signature_in
from pool.core.dialects.responses import answer


class _Item:
    """One output item on its way: what has come of it, and how it is closed."""

    def __init__(self, index: int, item: dict[str, Any]) -> None:
        self.index = index
        self.item = item
        self.text = ""
        self.annotations: list[dict[str, Any]] = []

    @property
    def place(self) -> dict[str, Any]:
        return {"item_id": self.item["id"], "output_index": self.index}


class ResponsesReader:
    """Reads what the inner reader makes of the upstream's stream. Thoughts, text and each call are items of their own;
    a thought or a text is closed when something else begins, calls at the end."""

    def __init__(self, call: Call, inner: StreamReader) -> None:
        self._call = call
        self._inner = inner
        self._number = 0
        self._items: list[_Item] = []
        self._open: _Item | None = None
        self._calls: dict[int, _Item] = {}
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
        if not self._number:
            begun = answer.response(self._call, [], "in_progress", None)
            yield self._event("response.created", response=begun)
            yield self._event("response.in_progress", response=begun)
        choices = chunk.get("choices")
        for choice in choices[:1] if isinstance(choices, list) else ():
            delta = choice.get("delta") or {}
            if isinstance(thought := delta.get("reasoning_content"), str) and thought:
                yield from self._think(thought)
            for name, kind in (("content", "output_text"), ("refusal", "refusal")):
                if isinstance(text := delta.get(name), str) and text:
                    yield from self._say(text, kind)
            yield from self._annotate(delta.get("annotations"))
            for image in delta.get("images") or ():
                yield from self._close()
                yield from self._whole(answer.image_item(self._call, len(self._items), image))
            for piece in delta.get("tool_calls") or ():
                yield from self._call_piece(piece)
            self._finish = choice.get("finish_reason") or self._finish

    # -- items ----------------------------------------------------------------------------------------------------

    def _begin(self, item: dict[str, Any]) -> _Item:
        made = _Item(len(self._items), item)
        self._items.append(made)
        return made

    def _added(self, made: _Item) -> bytes:
        return self._event("response.output_item.added", output_index=made.index, item=made.item)

    def _done(self, made: _Item) -> bytes:
        return self._event("response.output_item.done", output_index=made.index, item=made.item)

    def _whole(self, item: dict[str, Any]) -> Iterator[bytes]:
        """An item that comes all at once."""
        made = self._begin(item)
        yield self._added(made)
        yield self._done(made)

    def _think(self, thought: str) -> Iterator[bytes]:
        if self._open is None or self._open.item["type"] != "reasoning":
            yield from self._close()
            self._open = self._begin(answer.reasoning_item(self._call, len(self._items), "", {}))
            yield self._added(self._open)
            part = {"type": "summary_text", "text": ""}
            yield self._event("response.reasoning_summary_part.added", **self._open.place, summary_index=0, part=part)
        self._open.text += thought
        yield self._event("response.reasoning_summary_text.delta", **self._open.place, summary_index=0, delta=thought)

    def _say(self, text: str, kind: str) -> Iterator[bytes]:
        if self._open is None or self._open.item["type"] != "message" or self._open.item["kind"] != kind:
            yield from self._close()
            item = answer.message_item(self._call, len(self._items), "in_progress")
            made = self._begin(item)
            yield self._added(made)
            item["kind"] = kind
            self._open = made
            part = answer.text_part("") if kind == "output_text" else answer.refusal_part("")
            yield self._event("response.content_part.added", **made.place, content_index=0, part=part)
        self._open.text += text
        more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        yield self._event(f"response.{kind}.delta", **self._open.place, content_index=0, delta=text, **more)

    def _annotate(self, annotations: Any) -> Iterator[bytes]:
        if self._open is None or self._open.item["type"] != "message":
            return
        for citation in answer.citations(annotations):
            number = len(self._open.annotations)
            self._open.annotations.append(citation)
            yield self._event(
                "response.output_text.annotation.added", **self._open.place, content_index=0, annotation_index=number,
                annotation=citation,
            )  # fmt: skip

    def _call_piece(self, piece: dict[str, Any]) -> Iterator[bytes]:
        index = piece.get("index") or 0
        function = piece.get("function") or {}
        made = self._calls.get(index)
        if made is None:
            yield from self._close()
            if signature := signature_in(piece):
                item = answer.reasoning_item(self._call, len(self._items), "", {})
                item["encrypted_content"] = carry({str(piece.get("id")): signature})
                yield from self._whole(item)
            head = {"id": piece.get("id"), "function": {"name": function.get("name")}}
            made = self._calls[index] = self._begin(answer.call_item(self._call, len(self._items), head, "in_progress"))
            yield self._added(made)
        if arguments := function.get("arguments"):
            made.text += arguments
            yield self._event("response.function_call_arguments.delta", **made.place, delta=arguments)

    def _close(self) -> Iterator[bytes]:
        """Close the thought or the text that is open."""
        made, self._open = self._open, None
        if made is None:
            return
        part: dict[str, Any]
        if made.item["type"] == "reasoning":
            part = {"type": "summary_text", "text": made.text}
            yield self._event("response.reasoning_summary_text.done", **made.place, summary_index=0, text=made.text)
            yield self._event("response.reasoning_summary_part.done", **made.place, summary_index=0, part=part)
            made.item["summary"] = [part]
        else:
            kind = made.item.pop("kind")
            if kind == "output_text":
                part = {"type": kind, "text": made.text, "annotations": made.annotations, "logprobs": []}
                more: dict[str, Any] = {"text": made.text, "logprobs": []}
            else:
                part, more = answer.refusal_part(made.text), {"refusal": made.text}
            yield self._event(f"response.{kind}.done", **made.place, content_index=0, **more)
            yield self._event("response.content_part.done", **made.place, content_index=0, part=part)
            made.item |= {"status": "completed", "content": [part]}
        yield self._done(made)

    def _closing(self) -> Iterator[bytes]:
        yield from self._close()
        for made in self._calls.values():
            made.item |= {"status": "completed", "arguments": made.text or "{}"}
            yield self._event(
                "response.function_call_arguments.done", **made.place, arguments=made.item["arguments"],
                name=made.item["name"],
            )  # fmt: skip
            yield self._done(made)
        whole = answer.closed(self._call, [made.item for made in self._items], self._finish, self.usage)
        yield self._event(f"response.{whole['status']}", response=whole)

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = orjson.dumps({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
