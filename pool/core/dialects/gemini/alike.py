"""Events that differ from an earlier one in their text and in what they count, which nearly all of a stream do."""

from __future__ import annotations

import re
from typing import Any

import orjson

CHUNK = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "createTime"})
CANDIDATE = frozenset({"content", "index"})
CONTENT = frozenset({"parts", "role"})
TEXT = {"text"}

MOST_LEARNED = 8
"""Of how many shapes one stream's events are learned: those that never look alike are not worth the trouble."""

_TEXT = re.compile(rb'"text": ?(?=")')
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
# As JSON writes a number: another one is no reading of the same shape. It begins with what is looked for quickly.
_COUNT = re.compile(rb'okenCount": ?(?:0|[1-9][0-9]{0,14})(?![0-9.eE+-])')


class Alike:
    """Reads the text out of an event without reading the event, where one of the same shape was read before.

    What stands before the text must be the same, and what stands behind it, but for the numbers of tokens there.
    """

    __slots__ = ("_before", "_behind", "_left", "index")

    def __init__(self) -> None:
        self._before = b""
        self._behind: list[bytes] = []
        self._left = MOST_LEARNED
        self.index: Any = 0
        """The candidate who says the text."""

    def learn(self, data: bytes, chunk: dict[str, Any]) -> None:
        """Take the shape of an event that was read, where all it does is to say something."""
        text = _sole_text(chunk)
        found = _TEXT.search(data) if text else None
        string = _STRING.match(data, found.end()) if found else None
        if not self._left or string is None or data.count(b'"text"') > 1 or orjson.loads(string[0]) != text:
            return
        if data.count(b"\\") > string[0].count(b"\\"):
            return  # a name may be spelt with an escape, too
        self._left -= 1
        self._before, self._behind = data[: string.start()], _COUNT.split(data[string.end() :])
        self.index = chunk["candidates"][0].get("index", 0)

    def text_in(self, data: bytes) -> str:
        """What an event of that shape says; "" for any other event, and for one that says nothing."""
        before = self._before
        if not before or not data.startswith(before):
            return ""
        end = data.find(b'"', len(before) + 1) + 1
        if data.find(b"\\", len(before), end) >= 0:
            string = _STRING.match(data, len(before))
            end = string.end() if string else 0
        if _COUNT.split(data[end:]) != self._behind:
            return ""
        try:
            text: str = orjson.loads(data[len(before) : end])
        except orjson.JSONDecodeError:
            return ""
        return text


def _sole_text(chunk: dict[str, Any]) -> str:
    """The text of a chunk that holds nothing else; "" for any other."""
    candidates = chunk.get("candidates")
    if not chunk.keys() <= CHUNK or not isinstance(candidates, list) or len(candidates) != 1:
        return ""
    candidate = candidates[0]
    content = candidate.get("content")
    if not candidate.keys() <= CANDIDATE or not content or not content.keys() <= CONTENT:
        return ""
    parts = content.get("parts") or []
    text = parts[0]["text"] if len(parts) == 1 and parts[0].keys() == TEXT else ""
    return text if isinstance(text, str) else ""
