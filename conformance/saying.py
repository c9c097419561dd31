"""Whether our answer says all that Google's said."""

from __future__ import annotations

import re
from typing import Any

from conformance import reasons
from conformance.cases import Unmet, require, same, shown
from conformance.meaning import Said, finish_meant, of_native
from conformance.quotes import are_told

FENCE = r"\s*```[ \t]*(?:{language})?\s*"
FENCE_END = r"\s*```\s*"


def says(answers: list[dict[str, Any]], ours: dict[int, Said], streamed: bool) -> list[str]:
    """`answers`: the native answer, or the chunks of its stream."""
    block = next((_block(answer) for answer in answers if _block(answer)), None)
    native = of_native(answers)
    if block:
        require(any(block in said.refusal for said in ours.values()), f"the block is told: {shown(block)}")
    if not native:
        finishes = {said.finish for said in ours.values()}
        same(finishes, {"content_filter"} if block else {"stop"}, "how an answer without candidates ends")
        return []
    same(set(ours), set(native), "candidates")
    return [reason for index, said in native.items() for reason in _choice(said, ours[index], bool(block), streamed)]


def _block(answer: dict[str, Any]) -> str | None:
    feedback = answer.get("promptFeedback") or {}
    reason = feedback.get("blockReason")
    return str(feedback.get("blockReasonMessage") or reason) if reason else None


def _choice(native: Said, ours: Said, blocked: bool, streamed: bool) -> list[str]:
    _calls(native, ours)
    same(ours.thoughts, native.thoughts, "thoughts")
    wanted = native.text_signatures if streamed else native.text_signatures[-1:]
    same(ours.text_signatures, wanted, "signatures of texts")
    same(ours.pictures, native.pictures, "pictures")
    # Samples get the head of a WAV file in front of them, so that they can be played.
    heard = ours.audio.endswith(native.audio) and bool(ours.audio) == bool(native.audio)
    require(heard, f"audio: {len(ours.audio)} bytes, recorded {len(native.audio)}")
    same(ours.logprobs, native.logprobs, "logprobs")
    if not blocked:
        _finish(native, ours)
    found = _text(native, ours)
    are_told(native.quotes, ours.quotes, ours.text, native.has_code)
    return found


def _finish(native: Said, ours: Said) -> None:
    same(ours.finish, finish_meant(native.finish, bool(native.calls)), "finish_reason")
    same(ours.native_finish, native.native_finish, "native_finish_reason")
    same(ours.finish_message or None, native.finish_message or None, "finish_message")


def _calls(native: Said, ours: Said) -> None:
    same([name for name, _ in ours.calls], [name for name, _ in native.calls], "calls")
    for place, ((_, given), (_, wanted)) in enumerate(zip(ours.calls, native.calls, strict=True)):
        patches = native.patches.get(place)
        if patches is None:
            same(given, wanted, "arguments")
        for value in (patches or {}).values():
            require(_holds(given, value), f"arguments {shown(given)}, recorded as patches {shown(value)}")
    same(ours.signatures, native.signatures, "signatures of calls")
    stated = [own for own in native.ids if own]
    same([given for given, own in zip(ours.ids, native.ids, strict=True) if own], stated, "ids of calls")
    if len(set(stated)) == len(stated):
        same(len(set(ours.ids)), len(ours.ids), "ids of calls that differ")


def _holds(given: Any, value: Any) -> bool:
    if isinstance(given, dict | list):
        return any(_holds(inner, value) for inner in (given.values() if isinstance(given, dict) else given))
    return type(given) is bool and given is value if isinstance(value, bool) else bool(given == value)


def _text(native: Said, ours: Said) -> list[str]:
    if not native.has_code:
        same(ours.text, native.text, "text")
        return []
    pattern = "".join(_as_markdown(kind, words) for kind, words in native.shown)
    if re.fullmatch(pattern, ours.text) is None:
        raise Unmet(f"text and code: {shown(ours.text)}, recorded {shown(native.shown)}")
    return [reasons.CODE_AS_MARKDOWN]


def _as_markdown(kind: str, words: str) -> str:
    if kind == "text":
        return re.escape(words)
    return FENCE.replace("{language}", f"(?i:{re.escape(kind)})") + re.escape(words.strip()) + FENCE_END
