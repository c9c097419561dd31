"""Events that tell a piece of text: where it stands, and what an event looks like that tells a part of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from pool.core import sse

MOST_EVENT_BYTES = 256 * 1024
"""An event larger than that is not read: it holds a picture, or too much text to be told slowly."""

_MARK = "\ue000text\ue000"
_NUMBER = re.compile(rb'("sequence_number": ?)(\d+)')

Place = tuple[dict[str, Any], str, Callable[[], None]]
"""What holds the text, as which member, and how to take out what only the last part of it tells."""


@dataclass(frozen=True, slots=True)
class Telling:
    """One event's text, and the bytes around it: of all its parts but the last, and of the last.

    `numbered`: events of this kind count themselves.
    """

    text: str
    others: tuple[bytes, bytes]
    last: tuple[bytes, bytes]
    numbered: bool

    def part(self, text: str, last: bool) -> bytes:
        """An event that tells a part of the text."""
        before, after = self.last if last else self.others
        return before + orjson.dumps(text)[1:-1] + after

    @property
    def frame_bytes(self) -> int:
        """What every part costs beside its text."""
        return len(self.others[0]) + len(self.others[1])


def telling(block: bytes) -> Telling | None:
    """How one event may be told in parts; None where it tells no text, or something besides it."""
    event = sse.read(block) if len(block) <= MOST_EVENT_BYTES else None
    if event is None or event.bare or not event.data.startswith(b"{"):
        return None
    try:
        document = orjson.loads(event.data)
    except orjson.JSONDecodeError:
        return None
    head = block.partition(b"data:")[0]
    if event.name and b"event:" not in head:
        return None
    for find in (_openai, _gemini, _anthropic, _responses):
        place = find(document)
        if place is not None:
            return _around(head + b"data: ", document, *place)
    return None


def renumbered(block: bytes, by: int) -> bytes:
    """An event of the Responses API with a later number: those before it became more."""
    return _NUMBER.sub(lambda found: found[1] + b"%d" % (int(found[2]) + by), block, count=1) if by else block


def _around(
    head: bytes, document: dict[str, Any], holder: dict[str, Any], member: str, strip: Callable[[], None]
) -> Telling | None:
    text, holder[member] = holder[member], _MARK
    try:
        last = orjson.dumps(document)
        strip()
        others = orjson.dumps(document)
    except TypeError:
        return None  # orjson reads deeper than it writes
    mark = _MARK.encode()
    if last.count(mark) != 1:
        return None
    numbered = "sequence_number" in document
    return Telling(text, _cut(head + others + b"\n\n", mark), _cut(head + last + b"\n\n", mark), numbered)


def _cut(event: bytes, mark: bytes) -> tuple[bytes, bytes]:
    before, _, after = event.partition(mark)
    return before, after


def _one(items: Any) -> Any:
    return items[0] if isinstance(items, list) and len(items) == 1 and isinstance(items[0], dict) else None


def _openai(document: dict[str, Any]) -> Place | None:
    choice = _one(document.get("choices"))
    delta = choice.get("delta") if choice else None
    if not isinstance(delta, dict) or delta.get("tool_calls") or delta.get("audio"):
        return None
    told = [name for name in ("content", "reasoning_content") if delta.get(name)]
    if len(told) != 1 or not isinstance(delta[told[0]], str):
        return None

    def strip() -> None:
        for name in delta.keys() - {"role", told[0]}:
            del delta[name]
        choice["finish_reason"] = None
        if choice.get("logprobs"):
            choice["logprobs"] = None
        if document.get("usage"):
            document["usage"] = None

    return delta, told[0], strip


def _gemini(document: dict[str, Any]) -> Place | None:
    candidate = _one(document.get("candidates"))
    content = candidate.get("content") if candidate else None
    part = _one(content.get("parts")) if isinstance(content, dict) else None
    if not part or not isinstance(part.get("text"), str) or not part.keys() <= {"text", "thought"} or not part["text"]:
        return None

    def strip() -> None:
        for name in candidate.keys() - {"content", "index"}:
            del candidate[name]

    return part, "text", strip


def _anthropic(document: dict[str, Any]) -> Place | None:
    delta = document.get("delta")
    if document.get("type") != "content_block_delta" or not isinstance(delta, dict):
        return None
    name = {"text_delta": "text", "thinking_delta": "thinking"}.get(str(delta.get("type")), "")
    if not isinstance(delta.get(name), str) or not delta[name]:
        return None
    return delta, name, lambda: None


_OF_RESPONSES = frozenset(
    f"response.{what}.delta" for what in ("output_text", "refusal", "reasoning_summary_text", "reasoning_text")
)


def _responses(document: dict[str, Any]) -> Place | None:
    if document.get("type") not in _OF_RESPONSES or not isinstance(document.get("delta"), str) or not document["delta"]:
        return None

    def strip() -> None:
        if document.get("logprobs"):
            document["logprobs"] = []

    return document, "delta", strip
