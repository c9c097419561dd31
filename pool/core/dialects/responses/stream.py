"""A stream of chat completion chunks as the events of a Responses stream.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pool.core.calls import Call, StreamReader
from pool.core.dialects.carried import signature_in
from pool.core.dialects.responses import answer
from pool.core.dialects.retelling import Retelling, event


class _Item:
    """One output item on its way: what has come of it, and how it is closed."""

    def __init__(self, index: int, item: dict[str, Any]) -> None:
        self.index = index
        self.item = item
        self.texts: list[str] = []
        self.annotations: list[dict[str, Any]] = []

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def place(self) -> dict[str, Any]:
        return {"item_id": self.item["id"], "output_index": self.index}


class ResponsesReader(Retelling):
    """Writes the events of a Responses stream. Thoughts, text and each call are items of their own;
    a thought or a text is closed when something else begins, calls at the end."""

    def __init__(self, call: Call, inner: StreamReader) -> None:
        super().__init__(call, inner)
        self.number = 0
        self._items: list[_Item] = []
        self._open: _Item | None = None
        self._calls: dict[int, _Item] = {}

    def _beginning(self, chunk: dict[str, Any]) -> Iterator[bytes]:
        if not self.number:
            begun = answer.response(self._call, [], "in_progress", None)
            yield self._event("response.created", response=begun)
            yield self._event("response.in_progress", response=begun)

    def _delta(self, delta: dict[str, Any]) -> Iterator[bytes]:
        if isinstance(thought := delta.get("reasoning_content"), str) and thought:
            yield from self._think(thought)
        for name, kind in (("content", "output_text"), ("refusal", "refusal")):
            if isinstance(text := delta.get(name), str) and text:
                yield from self._say(text, kind)
        yield from self._annotate(delta.get("annotations"))
        for image in delta.get("images") or ():
            yield from self._close()
            for item in answer.picture_items(self._call, len(self._items), image):
                yield from self._whole(item)
        for piece in delta.get("tool_calls") or ():
            yield from self._call_piece(piece)

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
        self._open.texts.append(thought)
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
        self._open.texts.append(text)
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
                carried = {str(piece.get("id")): signature}
                yield from self._whole(answer.reasoning_item(self._call, len(self._items), "", carried))
            head = {"id": piece.get("id"), "function": {"name": function.get("name")}}
            made = self._calls[index] = self._begin(answer.call_item(self._call, len(self._items), head, "in_progress"))
            yield self._added(made)
        if arguments := function.get("arguments"):
            made.texts.append(arguments)
            yield self._event("response.function_call_arguments.delta", **made.place, delta=arguments)

    def _close(self) -> Iterator[bytes]:
        """Close the thought or the text that is open."""
        made, self._open = self._open, None
        if made is None:
            return
        part: dict[str, Any]
        text = made.text
        if made.item["type"] == "reasoning":
            part = {"type": "summary_text", "text": text}
            yield self._event("response.reasoning_summary_text.done", **made.place, summary_index=0, text=text)
            yield self._event("response.reasoning_summary_part.done", **made.place, summary_index=0, part=part)
            made.item["summary"] = [part]
        else:
            kind = made.item.pop("kind")
            if kind == "output_text":
                part = {"type": kind, "text": text, "annotations": made.annotations, "logprobs": []}
                more: dict[str, Any] = {"text": text, "logprobs": []}
            else:
                part, more = answer.refusal_part(text), {"refusal": text}
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
        written = event(kind, {"sequence_number": self.number, **fields})
        self.number += 1
        return written
