"""A Gemini answer as an OpenAI chat completion."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any
from urllib.parse import unquote

import orjson

from pool.core.calls import Call, Usage
from pool.core.dialects.gemini import chunks
from pool.core.dialects.gemini.grounding import annotations_of
from pool.core.dialects.gemini.names import bare_model
from pool.core.dialects.gemini.signatures import signed
from pool.core.dialects.gemini.speech import audio_of, is_speech
from pool.core.dialects.gemini.written import Written

KNOWN_MEMBERS = ("candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId")
PLAIN_FINISHES = ("STOP", "MAX_TOKENS")


def completion_id(call: Call) -> str:
    return f"chatcmpl-{call.request_id}"


def call_id(call: Call, index: int) -> str:
    """An id for a call that Google gave none; the same for the same request and place, unique over time."""
    return "call_" + blake2b(f"{call.request_id}:{index}".encode(), digest_size=12).hexdigest()


def completion(call: Call, answer: dict[str, Any]) -> tuple[dict[str, Any], Usage]:
    """Raises `ValueError` where the answer is none of Google's."""
    if not any(name in answer for name in KNOWN_MEMBERS):
        raise ValueError("the answer is none of Gemini's")
    tokens = chunks.Tokens()
    tokens.note(answer)
    candidates = answer.get("candidates") or []
    choices = [_choice(call, candidate, place) for place, candidate in enumerate(candidates)]
    usage = tokens.usage()
    made = {
        "id": completion_id(call),
        "object": "chat.completion",
        "created": call.created,
        "model": model_name(call, answer),
        "choices": choices or [_without_candidates(answer)],
        "usage": usage_json(tokens, usage),
        "system_fingerprint": None,
    }
    return made, usage


def model_name(call: Call, answer: dict[str, Any]) -> str:
    """The name as Google states it, else as asked. Some servers repeat it as it stood, quoted, in the URL."""
    stated = answer.get("modelVersion")
    return bare_model(unquote(stated) if isinstance(stated, str) and stated else call.model)


def _choice(call: Call, candidate: dict[str, Any], place: int) -> dict[str, Any]:
    said = Said(call, place)
    parts = chunks.parts_of(candidate)
    for part in parts:
        said.add(part)
    finish = chunks.finish_of(candidate)
    reason = finish_reason(finish, bool(said.calls))
    choice = {
        "index": candidate.get("index", place),
        "message": said.message(),
        "logprobs": logprobs_of(candidate),
        "finish_reason": reason,
    }
    if said.calls and speaks_functions(call):
        choice = as_function_call(choice)
    if annotations := annotations_of(candidate, said.written):
        choice["message"]["annotations"] = annotations
    return choice | finish_note(candidate, finish)


def _without_candidates(answer: dict[str, Any]) -> dict[str, Any]:
    """A blocked prompt has no candidates, only a reason; without a reason the answer is just empty."""
    block = chunks.block_of(answer)
    refusal = refusal_of(answer) if block else None
    return {
        "index": 0,
        "message": {"role": "assistant", "content": None, "refusal": refusal},
        "logprobs": None,
        "finish_reason": "content_filter" if block else "stop",
    }


def refusal_of(answer: dict[str, Any]) -> str:
    told = (answer.get("promptFeedback") or {}).get("blockReasonMessage")
    return told or f"Google blocked this prompt: {chunks.block_of(answer)}."


def finish_reason(finish: str | None, has_calls: bool) -> str:
    """Google's reason in one of OpenAI's five words. A cut or filtered call is not "tool_calls"."""
    if finish == "MAX_TOKENS":
        return "length"
    if finish in chunks.FILTERED:
        return "content_filter"
    return "tool_calls" if has_calls else "stop"


def speaks_functions(call: Call) -> bool:
    """Whether the client knows only the predecessor of tools: it reads `function_call`, and one of it."""
    payload = call.payload or {}
    return bool(payload.get("functions")) and not payload.get("tools")


def as_function_call(choice: dict[str, Any]) -> dict[str, Any]:
    message = {name: value for name, value in choice["message"].items() if name != "tool_calls"}
    message["function_call"] = choice["message"]["tool_calls"][0]["function"]
    reason = "function_call" if choice["finish_reason"] == "tool_calls" else choice["finish_reason"]
    return choice | {"message": message, "finish_reason": reason}


def finish_note(candidate: dict[str, Any], finish: str | None) -> dict[str, Any]:
    """Google's own word for an unusual end, beside OpenAI's: "stop" after a malformed call is no success."""
    if finish is None or finish in PLAIN_FINISHES:
        return {}
    note = {"native_finish_reason": finish}
    if candidate.get("finishMessage"):
        note["finish_message"] = candidate["finishMessage"]
    return note


class Said:
    """What the parts of one candidate come to, part by part."""

    def __init__(self, call: Call, place: int) -> None:
        self._call = call
        self._place = place
        self.written = Written()
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.speech: list[dict[str, Any]] = []
        self.signature: str | None = None

    def add(self, part: dict[str, Any]) -> None:
        shown = None
        if part.get("functionCall"):
            self.calls.append(tool_call(self._call, part, 100 * self._place + len(self.calls)))
        elif part.get("thought"):
            # A picture thought of is no answer: image models draft some, and OpenAI has no place for those.
            self.thoughts += [part["text"]] if isinstance(part.get("text"), str) else []
        elif media := part.get("inlineData") or part.get("fileData"):
            self._add_media(media, part)
        elif (shown := text_of(part)) is not None:
            self.texts.append(shown)
        self.written.add(part, shown or "")
        if part.get("functionCall"):
            return
        if part.get("thoughtSignature") and "text" in part:
            # That of a search or of code Google ran stands for a part that no message of OpenAI's can hold.
            self.signature = part["thoughtSignature"]

    def _add_media(self, media: dict[str, Any], part: dict[str, Any]) -> None:
        if "inlineData" in part and is_speech(media):
            self.speech.append(media)
        else:
            self.images.append(image_of(part, len(self.images)))

    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self.texts) if self.texts else None,
            "refusal": None,
        }
        if self.thoughts:
            message["reasoning_content"] = "".join(self.thoughts)
        if self.calls:
            message["tool_calls"] = self.calls
        if self.images:
            message["images"] = self.images
        if self.speech:
            message["audio"] = audio_of(self._call, self.speech)
        if self.signature:
            message["extra_content"] = signed(self.signature)
        return message


def text_of(part: dict[str, Any]) -> str | None:
    """The words of a part; code that Google ran, and its output, are shown as Markdown."""
    if "text" in part:
        return part["text"]
    if code := part.get("executableCode"):
        return f"\n```{str(code.get('language', '')).lower()}\n{str(code.get('code', '')).rstrip()}\n```\n"
    if result := part.get("codeExecutionResult"):
        return f"\n```\n{str(result.get('output', '')).rstrip()}\n```\n"
    return None


def tool_call(call: Call, part: dict[str, Any], place: int) -> dict[str, Any]:
    asked = part["functionCall"]
    made = {
        "id": asked.get("id") or call_id(call, place),
        "type": "function",
        "function": {
            "name": asked.get("name", ""),
            "arguments": orjson.dumps(asked.get("args") or {}).decode(),
        },
    }
    if part.get("thoughtSignature"):
        made["extra_content"] = signed(part["thoughtSignature"])
    return made


def image_of(part: dict[str, Any], index: int) -> dict[str, Any]:
    """`images` is what clients of image models read; the signature is needed to edit it in a later turn."""
    inline = part.get("inlineData")
    if inline:
        url = f"data:{inline.get('mimeType', 'image/png')};base64,{inline.get('data', '')}"
    else:
        url = part["fileData"].get("fileUri", "")
    image: dict[str, Any] = {"type": "image_url", "index": index, "image_url": {"url": url}}
    if part.get("thoughtSignature"):
        image["extra_content"] = signed(part["thoughtSignature"])
    return image


def logprobs_of(candidate: dict[str, Any]) -> dict[str, Any] | None:
    result = candidate.get("logprobsResult")
    if not isinstance(result, dict):
        return None
    chosen = result.get("chosenCandidates") or []
    tops = result.get("topCandidates") or []
    content = []
    for place, token in enumerate(chosen):
        others = (tops[place].get("candidates") or []) if place < len(tops) else []
        content.append(_token(token) | {"top_logprobs": [_token(other) for other in others]})
    return {"content": content, "refusal": None}


def _token(token: dict[str, Any]) -> dict[str, Any]:
    text = token.get("token", "")
    return {"token": text, "logprob": token.get("logProbability", 0.0), "bytes": list(text.encode())}


def totals(usage: Usage) -> dict[str, int]:
    return {"prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": usage.total}


def usage_json(tokens: chunks.Tokens, usage: Usage) -> dict[str, Any]:
    """OpenAI's usage object: completion_tokens include the thoughts, details say how many."""
    return {
        **totals(usage),
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "audio_tokens": tokens.of_modality("promptTokensDetails", "AUDIO"),
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.thinking,
            "audio_tokens": tokens.of_modality("candidatesTokensDetails", "AUDIO"),
        },
    }
