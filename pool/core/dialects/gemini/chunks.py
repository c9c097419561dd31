"""What one native answer or chunk says: content or none, finished or not, how many tokens."""

from __future__ import annotations

from typing import Any

import orjson

from pool.core.calls import NO_USAGE, Usage
from pool.core.dialects.counts import bounded, count, usage

FILTERED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "NO_IMAGE",
    }
)
FINISHES = (
    *("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE"),
    *("BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY"),
)
"""In the order of their numbers: `$alt=json;enum-encoding=int` sends the number for the name."""

NOT_CONTENT = frozenset({"text", "thought", "thoughtSignature", "partMetadata", "videoMetadata", "mediaResolution"})


def finish_of(candidate: dict[str, Any]) -> str | None:
    """The finish reason by name. Zero ("unspecified") is what proto3 leaves out, so it is none."""
    reason = candidate.get("finishReason")
    if isinstance(reason, int):
        reason = FINISHES[reason] if 0 <= reason < len(FINISHES) else "OTHER"
        return reason if reason != FINISHES[0] else None
    return reason if reason and isinstance(reason, str) else None


def block_of(chunk: dict[str, Any]) -> str | None:
    """Why the prompt was blocked, as text; None where it was not."""
    reason = (chunk.get("promptFeedback") or {}).get("blockReason")
    return str(reason) if reason else None


def parts_of(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    return (candidate.get("content") or {}).get("parts") or []


def is_content(part: dict[str, Any]) -> bool:
    """Text, a thought, a call, media, code: not an empty text, nor a signature alone."""
    return bool(part.get("text")) or any(name not in NOT_CONTENT for name in part)


def commits(chunk: dict[str, Any]) -> bool:
    """Whether the chunk holds content, grounding, a block, or a finish that is an answer in itself.

    STOP (and OTHER, and a malformed call) with nothing before it is an empty answer: another key may do better.
    """
    for candidate in chunk.get("candidates") or ():
        finish = finish_of(candidate)
        if finish == "MAX_TOKENS" or finish in FILTERED or candidate.get("groundingMetadata"):
            return True
        if any(is_content(part) for part in parts_of(candidate)):
            return True
    return block_of(chunk) is not None


def said(chunk: dict[str, Any]) -> list[Any]:
    """The part of the JSON that holds what was said."""
    return [parts_of(candidate) for candidate in chunk.get("candidates") or ()]


COUNTS = (
    b'"promptTokenCount"',
    b'"candidatesTokenCount"',
    b'"thoughtsTokenCount"',
    b'"cachedContentTokenCount"',
    b'"toolUsePromptTokenCount"',
    b'"totalTokenCount"',
)


class Tokens:
    """Usage of an answer from its chunks: the last value seen of each field, never a sum.

    Recorded streams repeat usageMetadata in every chunk; the prompt's count changes in some, the
    candidates' count falls in a few, and the last chunk may lack it.
    """

    __slots__ = ("_fields", "_unread")

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._unread = b""

    def note(self, chunk: dict[str, Any]) -> None:
        stated = chunk.get("usageMetadata")
        if isinstance(stated, dict):
            self.fields.update(stated)

    def note_later(self, data: bytes) -> None:
        """A chunk's JSON with the fields of the one noted before it: read when somebody asks, if none comes after."""
        self._unread = data

    @property
    def fields(self) -> dict[str, Any]:
        if self._unread:
            data, self._unread = self._unread, b""
            self.note(orjson.loads(data))
        return self._fields

    @property
    def counts_output(self) -> bool:
        """Whether the upstream has said how long its answer is so far."""
        return "candidatesTokenCount" in self.fields

    def usage(self) -> Usage:
        fields = self.fields
        if not fields:
            return NO_USAGE
        prompt = count(fields, "promptTokenCount") + count(fields, "toolUsePromptTokenCount")
        written = count(fields, "candidatesTokenCount") or count(fields, "responseTokenCount")
        thinking = count(fields, "thoughtsTokenCount")
        # Some image models count thoughts among the candidates: the sum tells.
        if count(fields, "totalTokenCount") != prompt + written or not thinking:
            written += thinking
        return usage(prompt, written, count(fields, "cachedContentTokenCount"), thinking)

    def of_modality(self, field: str, modality: str) -> int:
        """Tokens of one modality ("AUDIO") in a details list ("promptTokensDetails")."""
        details = self.fields.get(field)
        listed = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
        return bounded(sum(count(detail, "tokenCount") for detail in listed if detail.get("modality") == modality))


def usage_of(answer: dict[str, Any]) -> Usage:
    tokens = Tokens()
    tokens.note(answer)
    return tokens.usage()
