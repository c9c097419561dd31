"""What an answer says, whichever dialect it says it in: the common ground of a recording and our conversion of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pool.core import sse
from pool.core.dialects.gemini.chunks import FILTERED, finish_of, parts_of

FINISHES = ("stop", "length", "tool_calls", "content_filter", "function_call")
"""The only reasons OpenAI knows."""

CODE = ("executableCode", "codeExecutionResult")


@dataclass
class Said:
    """One choice or candidate. `calls` are (name, arguments), None for arguments that came as patches."""

    text: str = ""
    thoughts: str = ""
    refusal: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    media: int = 0
    finish: str | None = None
    code: bool = False


def of_native(answers: list[dict[str, Any]]) -> dict[int, Said]:
    """By candidate, over all chunks of a stream or of one answer."""
    found: dict[int, Said] = {}
    for answer in answers:
        for place, candidate in enumerate(answer.get("candidates") or ()):
            # proto3 leaves zero out; in a whole answer some leave out every index.
            said = found.setdefault(candidate.get("index", place if len(answers) == 1 else 0), Said())
            for part in parts_of(candidate):
                _native_part(said, part)
            said.finish = finish_of(candidate) or said.finish
    return found


def _native_part(said: Said, part: dict[str, Any]) -> None:
    called = part.get("functionCall")
    if called is not None:
        if called.get("name"):
            patched = "partialArgs" in called or called.get("willContinue")
            said.calls.append((called["name"], None if patched else called.get("args") or {}))
            said.signatures += [part["thoughtSignature"]] if part.get("thoughtSignature") else []
    elif part.get("inlineData") or part.get("fileData"):
        said.media += 1
    elif part.get("thought"):
        said.thoughts += part.get("text") or ""
    elif "text" in part:
        said.text += part["text"] or ""
    said.code = said.code or any(name in part for name in CODE)


def of_completion(answer: dict[str, Any]) -> dict[int, Said]:
    return {choice.get("index", 0): _of_message(choice) for choice in answer.get("choices") or ()}


def _of_message(choice: dict[str, Any]) -> Said:
    said = Said(finish=choice.get("finish_reason"))
    _add(said, choice.get("message") or {})
    return said


def of_chunks(chunks: list[dict[str, Any]]) -> dict[int, Said]:
    """A stream put together again. Calls without an index, as Google's own layer sends them, are each a new one."""
    found: dict[int, Said] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or ():
            said = found.setdefault(choice.get("index", 0), Said())
            _add(said, choice.get("delta") or {})
            said.finish = choice.get("finish_reason") or said.finish
    return found


def _add(said: Said, message: dict[str, Any]) -> None:
    said.text += message.get("content") or ""
    said.thoughts += message.get("reasoning_content") or ""
    said.refusal += message.get("refusal") or ""
    said.media += len(message.get("images") or ()) + (1 if message.get("audio") else 0)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        if function.get("name"):
            said.calls.append((function["name"], _arguments(function)))
        elif said.calls:
            name, before = said.calls[-1]
            said.calls[-1] = (name, f"{before or ''}{function.get('arguments') or ''}")
        signature = ((call.get("extra_content") or {}).get("google") or {}).get("thought_signature")
        said.signatures += [signature] if signature else []


def _arguments(function: dict[str, Any]) -> Any:
    try:
        return json.loads(function.get("arguments") or "{}")
    except ValueError:
        return function.get("arguments")


def chunks_of(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in sse.events(out) if event.data != b"[DONE]"]


def finish_meant(native: str | None, has_calls: bool) -> str:
    """OpenAI's word for a finish of Google's."""
    if native == "MAX_TOKENS":
        return "length"
    if native in FILTERED:
        return "content_filter"
    return "tool_calls" if has_calls else "stop"
