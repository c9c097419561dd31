"""Whether the tokens our answer tells are those that Google counted."""

from __future__ import annotations

from typing import Any, NamedTuple

from conformance.cases import same


class Counts(NamedTuple):
    read: int
    written: int
    cached: int
    thoughts: int
    heard: int
    spoken: int


def counts_of(stated: dict[str, Any]) -> Counts:
    """Thoughts are written too, but where Google's sum shows that they are among the candidates' tokens."""
    read = number(stated, "promptTokenCount") + number(stated, "toolUsePromptTokenCount")
    written = number(stated, "candidatesTokenCount") or number(stated, "responseTokenCount")
    thoughts = number(stated, "thoughtsTokenCount")
    if not thoughts or number(stated, "totalTokenCount") != read + written:
        written += thoughts
    heard, spoken = _audio(stated, "promptTokensDetails"), _audio(stated, "candidatesTokensDetails")
    return Counts(read, written, number(stated, "cachedContentTokenCount"), thoughts, heard, spoken)


def number(holder: dict[str, Any], name: str) -> int:
    value = holder.get(name)
    return int(value) if isinstance(value, int | float) else 0


def _audio(stated: dict[str, Any], name: str) -> int:
    details = [one for one in stated.get(name) or () if isinstance(one, dict)]
    return sum(number(one, "tokenCount") for one in details if one.get("modality") == "AUDIO")


def are_told(stated: Any, usage: dict[str, Any], finished: bool = True) -> None:
    """What is not stated, or not yet, is estimated: nobody can tell whether rightly."""
    if not isinstance(stated, dict):
        return
    wanted = counts_of(stated)
    if wanted.written or (wanted.read and finished):
        same(usage["prompt_tokens"], wanted.read, "prompt_tokens")
        same(usage["completion_tokens"], wanted.written, "completion_tokens")
        same(usage["total_tokens"], wanted.read + wanted.written, "total_tokens")
    read, written = usage["prompt_tokens_details"], usage["completion_tokens_details"]
    same((read["cached_tokens"], read["audio_tokens"]), (wanted.cached, wanted.heard), "details of prompt_tokens")
    told = (written["reasoning_tokens"], written["audio_tokens"])
    same(told, (wanted.thoughts, wanted.spoken), "details of completion_tokens")
