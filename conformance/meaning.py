"""What an answer says, whichever dialect it says it in: the common ground of a recording and our conversion of it.

Nothing of the codecs is used here: what they get wrong must not be wrong here too.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from conformance.quotes import Quote, quotes_of, quotes_told
from pool.core import sse

FINISHES = ("stop", "length", "tool_calls", "content_filter", "function_call")
"""The only reasons OpenAI knows."""

PLAIN = ("STOP", "MAX_TOKENS", None)
NUMBERED = (
    *(None, "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT"),
    *("SPII", "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY"),
)
"""Google's reasons in the order of their numbers, which some clients ask for."""

WITHHELD = {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "NO_IMAGE"} | {
    f"IMAGE_{why}" for why in ("SAFETY", "PROHIBITED_CONTENT", "RECITATION")
}

Token = tuple[str, float]


class Picture(NamedTuple):
    url: str
    signature: str | None


@dataclass
class Said:
    """One choice or candidate. A call that came as patches has the values it must hold in `patches`."""

    text: str = ""
    thoughts: str = ""
    refusal: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    patches: dict[int, dict[str, Any]] = field(default_factory=dict)
    signatures: list[str] = field(default_factory=list)
    text_signatures: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    audio: bytes = b""
    logprobs: list[tuple[Token, list[Token]]] = field(default_factory=list)
    quotes: list[Quote] = field(default_factory=list)
    finish: str | None = None
    native_finish: str | None = None
    finish_message: str | None = None
    shown: list[tuple[str, str]] = field(default_factory=list)
    """Texts ("text", words) and code ("python", code), ("", output), in order."""

    @property
    def has_code(self) -> bool:
        return any(kind != "text" for kind, _ in self.shown)


# -- Google's -------------------------------------------------------------------------------------------------------


def of_native(answers: list[dict[str, Any]]) -> dict[int, Said]:
    """By candidate, over all chunks of a stream or of one answer."""
    found: dict[int, Said] = {}
    for answer in answers:
        for place, candidate in enumerate(answer.get("candidates") or ()):
            # proto3 leaves zero out; in a whole answer some leave out every index.
            said = found.setdefault(candidate.get("index", place if len(answers) == 1 else 0), Said())
            parts = (candidate.get("content") or {}).get("parts") or []
            for part in parts:
                _native_part(said, part)
            said.quotes += quotes_of(candidate, said.text, [part.get("text") or "" for part in parts])
            said.logprobs += _native_logprobs(candidate.get("logprobsResult"))
            _native_finish(said, candidate)
    return found


def _native_finish(said: Said, candidate: dict[str, Any]) -> None:
    stated = candidate.get("finishReason")
    if isinstance(stated, int):
        stated = NUMBERED[stated] if 0 <= stated < len(NUMBERED) else "OTHER"
    if stated and isinstance(stated, str):
        said.finish = stated
        said.native_finish = None if stated in PLAIN else stated
        said.finish_message = None if stated in PLAIN else candidate.get("finishMessage")


def _native_part(said: Said, part: dict[str, Any]) -> None:
    called = part.get("functionCall")
    signature = part.get("thoughtSignature")
    if called is not None:
        _native_call(said, called, signature)
        return
    if signature and "text" in part:
        said.text_signatures.append(signature)
    if part.get("thought"):
        said.thoughts += part.get("text") or ""
    elif part.get("inlineData") or part.get("fileData"):
        _native_media(said, part)
    elif "text" in part:
        said.text += part["text"] or ""
        said.shown.append(("text", part["text"] or ""))
    elif code := part.get("executableCode"):
        said.shown.append((str(code.get("language", "")), str(code.get("code", ""))))
    elif result := part.get("codeExecutionResult"):
        said.shown.append(("", str(result.get("output", ""))))


def _native_call(said: Said, called: dict[str, Any], signature: str | None) -> None:
    if called.get("name"):
        said.calls.append((called["name"], called.get("args") or {}))
        said.ids.append(called.get("id"))
        said.signatures += [signature] if signature else []
        if "partialArgs" in called or called.get("willContinue"):
            said.patches[len(said.calls) - 1] = {}
    patched = said.patches.get(len(said.calls) - 1)
    for patch in called.get("partialArgs") or () if patched is not None else ():
        _patch(patched, patch)


def _patch(values: dict[str, Any] | None, patch: dict[str, Any]) -> None:
    """What must stand somewhere in the arguments: a text that goes on is one text."""
    name = next((name for name in ("stringValue", "numberValue", "boolValue") if name in patch), None)
    if values is None or name is None:
        return
    path, value = str(patch.get("jsonPath")), patch[name]
    before = values.pop(f"{path} …", None)
    value = before + value if isinstance(before, str) and isinstance(value, str) else value
    values[f"{path} …" if patch.get("willContinue") else path] = value


def _native_media(said: Said, part: dict[str, Any]) -> None:
    inline = part.get("inlineData")
    kind = str((inline or {}).get("mimeType") or "image/png")
    if inline and kind.startswith("audio/"):
        said.audio += decoded(inline.get("data"))
        return
    url = f"data:{kind};base64,{inline.get('data', '')}" if inline else part["fileData"].get("fileUri", "")
    said.pictures.append(Picture(url, part.get("thoughtSignature")))


def decoded(data: Any) -> bytes:
    """The bytes behind base64; what is none stands for itself."""
    text = data if isinstance(data, str) else ""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return text.encode()


def _native_logprobs(result: Any) -> list[tuple[Token, list[Token]]]:
    if not isinstance(result, dict):
        return []
    tops = [[_native_token(one) for one in top.get("candidates") or ()] for top in result.get("topCandidates") or ()]
    chosen = [_native_token(one) for one in result.get("chosenCandidates") or ()]
    return [(token, tops[place] if place < len(tops) else []) for place, token in enumerate(chosen)]


def _native_token(token: dict[str, Any]) -> Token:
    return token.get("token", ""), token.get("logProbability", 0.0)


def finish_meant(native: str | None, has_calls: bool) -> str:
    """OpenAI's word for a finish of Google's."""
    if native == "MAX_TOKENS":
        return "length"
    if native in WITHHELD:
        return "content_filter"
    return "tool_calls" if has_calls else "stop"


# -- OpenAI's -------------------------------------------------------------------------------------------------------


def of_completion(answer: dict[str, Any]) -> dict[int, Said]:
    return {choice.get("index", 0): _of_choice(Said(), choice, "message") for choice in answer.get("choices") or ()}


def of_chunks(chunks: list[dict[str, Any]]) -> dict[int, Said]:
    """A stream put together again. Calls without an index, as Google's own layer sends them, are each a new one."""
    found: dict[int, Said] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or ():
            _of_choice(found.setdefault(choice.get("index", 0), Said()), choice, "delta")
    return found


def _of_choice(said: Said, choice: dict[str, Any], member: str) -> Said:
    _add(said, choice.get(member) or {})
    said.finish = choice.get("finish_reason") or said.finish
    said.native_finish = choice.get("native_finish_reason") or said.native_finish
    said.finish_message = choice.get("finish_message") or said.finish_message
    for token in (choice.get("logprobs") or {}).get("content") or ():
        said.logprobs.append((_token(token), [_token(other) for other in token.get("top_logprobs") or ()]))
    return said


def _token(token: dict[str, Any]) -> Token:
    return token["token"], token["logprob"]


def _add(said: Said, message: dict[str, Any]) -> None:
    said.text += message.get("content") or ""
    said.thoughts += message.get("reasoning_content") or ""
    said.refusal += message.get("refusal") or ""
    said.quotes += quotes_told(message.get("annotations"))
    said.text_signatures += _signatures(message)
    for image in message.get("images") or ():
        said.pictures.append(Picture(image["image_url"]["url"], next(iter(_signatures(image)), None)))
    said.audio += decoded((message.get("audio") or {}).get("data"))
    legacy = message.get("function_call")
    for call in [*(message.get("tool_calls") or ()), *([{"function": legacy}] if legacy else ())]:
        _add_call(said, call)


def _add_call(said: Said, call: dict[str, Any]) -> None:
    function = call.get("function") or {}
    if function.get("name"):
        said.calls.append((function["name"], _arguments(function)))
        said.ids.append(call.get("id"))
    elif said.calls:
        name, before = said.calls[-1]
        said.calls[-1] = (name, f"{before or ''}{function.get('arguments') or ''}")
    said.signatures += _signatures(call)


def _signatures(holder: dict[str, Any]) -> list[str]:
    signature = ((holder.get("extra_content") or {}).get("google") or {}).get("thought_signature")
    return [signature] if signature else []


def _arguments(function: dict[str, Any]) -> Any:
    try:
        return json.loads(function.get("arguments") or "{}")
    except ValueError:
        return function.get("arguments")


def chunks_of(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in sse.events(out) if event.data != b"[DONE]"]
