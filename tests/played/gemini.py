"""Google's models: function calls with ids and thought signatures, thoughts, media.

Since generation 3 a call comes back with the signature it was made with, or the request is refused.
Source: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tests.played import media
from tests.played.turn import THOUGHT, Called, Refused, Turn, act, pieces_of
from tests.upstream import Action, Request, answer, array_stream, sse

Part = dict[str, Any]

SKIP = base64.b64encode(b"skip_thought_signature_validator").decode()
"""What Google lets stand in for a signature that was lost."""

SCHEMA_WORDS = frozenset(
    "anyOf default description enum example format items maxItems maxLength maxProperties maximum minItems minLength"
    " minProperties minimum nullable pattern properties propertyOrdering required title type".split()
)
"""All that Google's own kind of schema knows: other words are refused."""


_AS_THEY_ARE = frozenset({"args", "response", "properties", "parametersJsonSchema", "responseJsonSchema"})
_numbers = itertools.count(1)


def play(request: Request, model: str, verb: str) -> Action | None:
    if verb == "predict":
        return media.imagen(request)
    if verb not in ("generateContent", "streamGenerateContent"):
        return None
    body = as_named(request.json)
    modalities = (body.get("generationConfig") or {}).get("responseModalities") or ()
    if "IMAGE" in modalities or "AUDIO" in modalities:
        part = media.IMAGE_PART if "IMAGE" in modalities else media.AUDIO_PART
        return answer(200, _chunk([part], model, "STOP"))
    turn = _turn(body)
    _check(body, model)
    groups = _parts(turn, model)
    if verb == "generateContent":
        whole = [part for group in groups for part in group if part != {"text": ""}]
        return answer(200, _chunk(_joined(whole), model, "STOP", turn.thinks))
    chunks = [_chunk(group, model, None, turn.thinks) for group in groups]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    return sse(chunks, crlf=True) if request.query.get("alt") == "sse" else array_stream(chunks)


def as_named(body: Any) -> Any:
    """The API reads snake_case as well; names that are the caller's own stay."""
    if isinstance(body, list):
        return [as_named(each) for each in body]
    if not isinstance(body, dict):
        return body
    named = {re.sub(r"_(\w)", lambda found: found[1].upper(), name): value for name, value in body.items()}
    return {name: value if name in _AS_THEY_ARE else as_named(value) for name, value in named.items()}


def signature_of(call: Part) -> str:
    """A signature belongs to the call it came with: name and arguments."""
    said = json.dumps([call.get("name"), call.get("args")], sort_keys=True)
    return base64.b64encode(hashlib.sha256(said.encode()).digest()).decode()


def signatures_in(body: dict[str, Any]) -> list[str]:
    """How each first call in a request's history is signed: "own" | "skip" | "none"."""
    words = {None: "none", SKIP: "skip"}
    return [
        words.get(parts[0].get("thoughtSignature"), "own")
        for content in as_named(body).get("contents") or ()
        if (parts := [part for part in content["parts"] if "functionCall" in part])
    ]


# -- what is asked ----------------------------------------------------------------------------------------------


def _turn(body: dict[str, Any]) -> Turn:
    config = body.get("generationConfig") or {}
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    tools = {
        tool["name"]: tool.get("parameters") or tool.get("parametersJsonSchema") or {"type": "object"}
        for group in body.get("tools") or ()
        for tool in group.get("functionDeclarations") or ()
        if not calling.get("allowedFunctionNames") or tool["name"] in calling["allowedFunctionNames"]
    }
    turn = Turn(
        {} if calling.get("mode") == "NONE" else tools,
        calling.get("mode") == "ANY",
        schema=config.get("responseSchema") or config.get("responseJsonSchema"),
        thinks=bool((config.get("thinkingConfig") or {}).get("includeThoughts")),
    )
    if turn.schema is None and config.get("responseMimeType") == "application/json":
        turn.schema = {"properties": {"city": {"type": "string"}}}
    for content in body["contents"]:
        for part in content["parts"]:
            if "functionCall" in part:
                turn.called.append(part["functionCall"]["name"])
            elif "functionResponse" in part:
                turn.results.append(json.dumps(part["functionResponse"]["response"]))
            elif content.get("role") != "model":
                _said(part, turn)
    return turn


def _said(part: Part, turn: Turn) -> None:
    """The person speaks: a turn of its own begins."""
    if "text" in part:
        turn.said, turn.called, turn.results = part["text"], [], []
    else:
        shown = part.get("inlineData") or part.get("fileData") or {}
        turn.media.append(str(shown.get("mimeType")))


# -- what is refused --------------------------------------------------------------------------------------------


def _check(body: dict[str, Any], model: str) -> None:
    contents = _merged(body["contents"])
    for number, content in enumerate(contents):
        calls = [part for part in content["parts"] if "functionCall" in part]
        if not calls:
            continue
        if number == 0 or contents[number - 1].get("role") == "model":
            raise Refused(
                "Please ensure that function call turn comes immediately after a user turn or after a function"
                " response turn."
            )
        _check_signatures(calls, model, number)
        _check_results(calls, contents[number + 1]["parts"] if number + 1 < len(contents) else ())
    for tool in body.get("tools") or ():
        for declared in tool.get("functionDeclarations") or ():
            _check_schema(declared.get("parameters") or {})
    _check_schema((body.get("generationConfig") or {}).get("responseSchema") or {})


def _merged(contents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours of one role are one turn: Google's SDK sends the pieces of a stream back as they came."""
    merged: list[dict[str, Any]] = []
    for content in contents:
        if merged and merged[-1].get("role") == content.get("role"):
            merged[-1] = {**content, "parts": merged[-1]["parts"] + content["parts"]}
        else:
            merged.append(content)
    return merged


def _check_signatures(calls: Sequence[Part], model: str, number: int) -> None:
    first = calls[0].get("thoughtSignature")
    if first is None and _generation(model) >= 3:
        name = calls[0]["functionCall"]["name"]
        raise Refused(
            "Function call is missing a thought_signature in functionCall parts. This is required for tools to work"
            " correctly, and missing thought_signature may lead to degraded model performance. Additional data,"
            f" function call `default_api:{name}` , position {number + 1}. Please refer to"
            " https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
        )
    for part in calls:
        # Bytes, in either alphabet of base64.
        signature = part.get("thoughtSignature", SKIP).replace("-", "+").replace("_", "/")
        if signature not in (SKIP, signature_of(part["functionCall"])):
            raise Refused("Thought signature is not valid.")


def _check_results(calls: Sequence[Part], after: Sequence[Part]) -> None:
    results = [part["functionResponse"] for part in after if "functionResponse" in part]
    if len(results) != len(calls):
        raise Refused(
            "Please ensure that the number of function response parts is equal to the number of function call parts of"
            " the function call turn."
        )
    made = [part["functionCall"] for part in calls]
    by_id = {call["id"]: call["name"] for call in made if "id" in call}
    for call, result in zip(made, results, strict=True):
        if result["name"] != (by_id.get(result.get("id")) or call["name"]):
            raise Refused(f"The function response {result['name']} answers no function call.")


def _check_schema(schema: dict[str, Any], path: str = "parameters") -> None:
    for word in schema:
        if word not in SCHEMA_WORDS:
            raise Refused(f"Invalid JSON payload received. Unknown name \"{word}\" at '{path}': Cannot find field.")
    for name, inner in (schema.get("properties") or {}).items():
        _check_schema(inner, f"{path}.properties[{name}]")
    for inner in (schema.get("items"), *(schema.get("anyOf") or ())):
        if inner:
            _check_schema(inner, f"{path}.items")


def _generation(model: str) -> int:
    found = re.match(r"gemini-(\d+)", model)
    return int(found[1]) if found else 0


# -- what is answered -------------------------------------------------------------------------------------------


def _parts(turn: Turn, model: str) -> list[list[Part]]:
    """The parts of an answer, chunk by chunk."""
    made = act(turn)
    thoughts = [[{"text": THOUGHT, "thought": True}]] if turn.thinks else []
    if isinstance(made, str):
        last: Part = {"text": ""}
        if _generation(model) >= 3:
            last["thoughtSignature"] = signature_of({"name": made})
        return [*thoughts, *([{"text": piece}] for piece in pieces_of(made)), [last]]
    return [*thoughts, *([part] for part in _calls(made, model)), [{"text": ""}]]


def _calls(made: Sequence[Called], model: str) -> Iterator[Part]:
    for number, each in enumerate(made):
        call: Part = {"name": each.name, "args": each.arguments}
        if _generation(model) >= 3:
            call["id"] = f"fc{next(_numbers):06d}"
        # Of calls made at once only the first is signed.
        yield {"functionCall": call} | ({} if number else {"thoughtSignature": signature_of(call)})


def _joined(parts: Sequence[Part]) -> list[Part]:
    """A whole answer has its text in one part, signed at its end."""
    joined: list[Part] = []
    for part in parts:
        spoken = "text" in part and "thought" not in part
        if spoken and joined and "text" in joined[-1] and "thought" not in joined[-1]:
            joined[-1] |= {**part, "text": joined[-1]["text"] + part["text"]}
        else:
            joined.append(dict(part))
    return joined


def _chunk(parts: Sequence[Part], model: str, finish: str | None, thinks: bool = False) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = {
        "promptTokenCount": 20,
        "candidatesTokenCount": 10,
        "totalTokenCount": 30,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
    }
    if thinks:
        usage |= {"thoughtsTokenCount": 12, "totalTokenCount": 42}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "played-0001"}
