"""Where the peers disagree with each other or with what Keypool promises: what it does instead, as rules.

A rule looks at the claim's place, at what the request asked and at what we made of it; never at a file's name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from conformance.claims import MISSING, Difference, alike, look
from conformance.meaning import FINISHES
from pool.core.dialects.gemini.ignored import CHAT
from pool.core.dialects.gemini.signatures import SKIP_SIGNATURE
from pool.core.dialects.gemini.thinking import BUDGETS, LEVELS, MIN_PRO_BUDGET
from pool.core.faults import Fault

BLANK_TURN = "a call must not come first: a blank turn of the user's is put before it (recorded 400)"
OWN_ERRORS = "an error has OpenAI's shape, with the upstream's status and message"
OWN_CHUNKS = "role, words, calls, finish and usage are chunks of their own, as OpenAI sends them"
VERTEX = "an endpoint or member of Vertex AI, which Keypool does not call"
NO_MESSAGES = "OpenAI refuses an empty list of messages (recorded), and so do we"

Rule = Callable[[dict[str, Any], Difference, Any], bool]


def reason_for(pair: dict[str, Any], difference: Difference, made: Any) -> str | None:
    """The first rule that knows why `made`, what we send or answer, is otherwise."""
    return next((reason for reason, rule in RULES.items() if rule(pair, difference, made)), None)


def reason_for_refusal(pair: dict[str, Any], fault: Fault) -> str | None:
    if fault.param == "messages" and pair["input"].get("messages") == []:
        return NO_MESSAGES
    return None


def without_blank_turn(sent: dict[str, Any]) -> dict[str, Any] | None:
    """The request without the turn we put in front of a call; None where we put none."""
    contents = sent.get("contents") or []
    if len(contents) > 1 and contents[0] == {"role": "user", "parts": [{"text": " "}]}:
        return {**sent, "contents": contents[1:]}
    return None


# -- what rules look at ------------------------------------------------------------------------------------------


def _input(pair: dict[str, Any]) -> dict[str, Any]:
    return pair["input"] if isinstance(pair["input"], dict) else {}


def _messages(pair: dict[str, Any]) -> list[dict[str, Any]]:
    messages = _input(pair).get("messages")
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def _asks(pair: dict[str, Any]) -> bool:
    return str(pair.get("direction", "")).startswith("openai_request")


def _within(difference: Difference, *names: str) -> bool:
    return any(name in difference.path for name in names)


def _ends(difference: Difference, *names: str) -> bool:
    return bool(difference.path) and difference.path[-1] in names


def _has_functions(pair: dict[str, Any]) -> bool:
    asked = _input(pair)
    tools = asked.get("tools")
    return bool(asked.get("functions")) or any("function" in tool for tool in tools or () if isinstance(tool, dict))


# -- requests ----------------------------------------------------------------------------------------------------

SCHEMA_FIELDS = ("responseSchema", "responseJsonSchema", "parameters", "parametersJsonSchema")
TWINS = {
    "responseSchema": "responseJsonSchema",
    "responseJsonSchema": "responseSchema",
    "parameters": "parametersJsonSchema",
    "parametersJsonSchema": "parameters",
}
SAYS_LITTLE = ("title", "additionalProperties", "$schema", "strict", "propertyOrdering", "description", "format")
"""What one of the two fields has and the other has not, or says in other words."""
WRAPPERS = ("result", "output", "content", "return_value", "error", "response")
OF_VERTEX = ("labels", "instances", "parameters", "predictions", "modelArmorConfig")


def _vertex(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    if str(pair.get("expect_path", "")).endswith((":predict", ":rawPredict")):
        return True
    asked = pair["input"] if isinstance(pair["input"], dict) else {}
    if "predictions" in asked or difference.path[:1] == ("labels",):
        return True
    return pair.get("target") == "vertex" and difference.path[:1] in [(name,) for name in OF_VERTEX]


def _wrapper(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The same result in another wrapper: as text, or as the JSON that the text is."""
    path = difference.path
    if not _asks(pair) or "functionResponse" not in path:
        return False
    top = path[: path.index("functionResponse") + 1]
    ours = _meant(look(made, (*top, "response")))
    if isinstance(pair["expect"], dict):
        return _meant(look(pair["expect"], (*top, "response"))) == ours
    return _meant(difference.wanted) == ours


def _meant(response: Any) -> Any:
    """What a tool said, out of its wrapper and out of its quotes."""
    if isinstance(response, dict) and len(response) == 1 and next(iter(response)) in WRAPPERS:
        response = next(iter(response.values()))
    if isinstance(response, str):
        try:
            response = json.loads(response)
        except ValueError:
            return response
    return response


def _budget(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """Only what the table of Google's layer holds; a model that does not think is told nothing."""
    asked = any(name in _input(pair) for name in ("reasoning_effort", "reasoning"))
    config = look(made, ("generationConfig", "thinkingConfig"))
    known = config is MISSING or (
        config.get("thinkingBudget", 0) in (MIN_PRO_BUDGET, *BUDGETS.values())
        and config.get("thinkingLevel", "low") in LEVELS.values()
    )
    return _asks(pair) and asked and known and _within(difference, "thinkingConfig", "thinking_config")


def _schema(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The same schema in the other field, or the keyword that made us choose that."""
    place = next((place for place, step in enumerate(difference.path) if step in SCHEMA_FIELDS), None)
    if not _asks(pair) or place is None:
        return False
    path = list(difference.path)
    elsewhere = [*path[:place], TWINS[path[place]]]
    chosen = (look(made, path[: place + 1]) is MISSING) != (look(made, elsewhere) is MISSING)
    if place == len(path) - 1 and difference.verb != "equals":
        return chosen
    if look(made, path[: place + 1]) is MISSING:
        path[: place + 1] = elsewhere
    found = look(made, path)
    if set(path[place + 1 :]) & {*SAYS_LITTLE, "$defs", "$ref"}:
        return chosen
    if path[-1] in ("type", "nullable"):
        kinds = look(made, (*path[:-1], "type"))
        kinds = kinds if isinstance(kinds, list) else [kinds]
        return chosen and ("null" if path[-1] == "nullable" else str(difference.wanted).lower()) in kinds
    return chosen and alike(_plain(difference.wanted), _plain(found))


def _plain(schema: Any) -> Any:
    """A schema without what says little, types in lower case."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema.lower() if isinstance(schema, str) else schema
    return {name: _plain(value) for name, value in schema.items() if name not in SAYS_LITTLE}


def _address(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    told = json.dumps(pair["input"])
    fetched = any(f'"{name}": "http' in told for name in ("url", "image_url", "file_data", "file_url", "file_id"))
    return _asks(pair) and fetched and (difference.verb == "error" or _within(difference, "fileData", "inlineData"))


def _both_limits(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    asked = _input(pair)
    return {"max_tokens", "max_completion_tokens"} <= asked.keys() and _ends(difference, "maxOutputTokens")


def _prefill(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The peer has a turn less at the end."""
    messages = _messages(pair)
    if not messages or messages[-1].get("role") != "assistant" or difference.path[:1] != ("contents",):
        return False
    turns = len(made.get("contents") or ())
    fewer = difference.wanted if difference.verb == "length" else len(difference.wanted or ())
    return fewer == turns - 1 if len(difference.path) == 1 else difference.path[1] in (-1, turns - 1)


def _instructions_alone(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    messages = _messages(pair)
    alone = all(message.get("role") in ("system", "developer") for message in messages)
    return bool(messages) and alone and difference.path[:1] == ("contents",)


def _no_functions(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    return _asks(pair) and _within(difference, "toolConfig") and not _has_functions(pair)


def _search_beside(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    if not _has_functions(pair) or difference.path[:1] not in (("tools",), ("toolConfig",)):
        return False
    return any("functionDeclarations" not in tool for tool in made.get("tools") or ())


def _call_id(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    return _asks(pair) and _ends(difference, "id") and _within(difference, "functionCall", "functionResponse")


def _stand_in(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """A peer makes up another signature for a lost one, or none, or one for older models too."""
    lost = "thought_signature" not in json.dumps(pair["input"]) and "__thought__" not in json.dumps(pair["input"])
    stood = difference.found == SKIP_SIGNATURE or lost
    return _asks(pair) and _ends(difference, "thoughtSignature") and stood


def _safety(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    stated = json.dumps(pair["input"])
    own = "safety_settings" in stated or "safetySettings" in stated
    return _asks(pair) and difference.path[:1] == ("safetySettings",) and not own


def _default(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """What is the default anyway is left out."""
    defaults = {"candidateCount": 1, "responseMimeType": "text/plain", "presencePenalty": 0, "frequencyPenalty": 0}
    name = difference.path[-1] if difference.path else None
    return (
        _asks(pair) and name in defaults and difference.found is MISSING and difference.wanted in (defaults[name], 0.0)
    )


def _instructions(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The same words as parts of their own, and no role, which an instruction needs none of."""
    if not _asks(pair) or difference.path[:1] not in (("systemInstruction",), ("system_instruction",)):
        return False
    if _ends(difference, "role"):
        return True
    ours = [part.get("text", "") for part in look(made, ["systemInstruction", "parts"]) or ()]
    if difference.verb == "length":
        return True
    wanted = difference.wanted if isinstance(difference.wanted, str) else _texts(difference.wanted)
    return "".join(wanted.split()) == "".join("".join(ours).split())


def _texts(value: Any) -> str:
    if isinstance(value, list):
        return "".join(_texts(one) for one in value)
    if isinstance(value, dict):
        return "".join(_texts(inner) for inner in value.values())
    return value if isinstance(value, str) else ""


def _results_role(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    return _asks(pair) and _ends(difference, "role") and (difference.wanted, difference.found) == ("function", "user")


def _empty_text(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    empty = any(message.get("content") in ("", None, []) for message in _messages(pair))
    return _asks(pair) and empty and difference.path[:1] == ("contents",) and _ends(difference, "parts", "text")


def _old_thoughts(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    names = ("reasoning_content", "thinking_blocks", "reasoning", "reasoning_details")
    thought = any(message.get(name) for message in _messages(pair) for name in names)
    return _asks(pair) and thought and difference.path[:1] == ("contents",)


def _own_field(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """Only what we do not say at all, and not in what the request asks in OpenAI's words."""
    unknown = any(name not in CHAT for name in _input(pair))
    said = difference.path[:1] in (("contents",), ("tools",), ("systemInstruction",))
    return _asks(pair) and unknown and difference.found is MISSING and not said


# -- answers -----------------------------------------------------------------------------------------------------

KNOWN_MEMBERS = frozenset(
    {
        *("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "index", "message", "delta"),
        *("role", "content", "refusal", "reasoning_content", "tool_calls", "type", "function", "name", "arguments"),
        *("logprobs", "finish_reason", "annotations", "images", "audio", "extra_content", "google", "data"),
        *("thought_signature", "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"),
        *("completion_tokens_details", "reasoning_tokens", "cached_tokens", "audio_tokens", "embedding", "url"),
        *("image_url", "url_citation", "start_index", "end_index", "title", "transcript", "bytes", "token", "logprob"),
        *("top_logprobs", "delta.content", "function_call", "error", "code", "param"),
    }
)
"""OpenAI's, and those of ours that most gateways share."""


def _own_member(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    steps = [step for whole in difference.path if isinstance(whole, str) for step in whole.split(".")]
    return not _asks(pair) and any(step not in KNOWN_MEMBERS for step in steps)


def _signature_channel(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The peer puts the signature into the call's id; here it stands beside it."""
    if _asks(pair) or not _within(difference, "id", "delta.tool_calls.id"):
        return False
    wanted = difference.wanted if isinstance(difference.wanted, list) else [difference.wanted]
    told = json.dumps(made)
    return all(isinstance(one, str) and json.dumps(one.rpartition("__thought__")[2])[1:-1] in told for one in wanted)


def _thoughts_counted(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """Thoughts are completion tokens, and inside of them where the sum says so; the total is the sum."""
    if _asks(pair) or not _ends(difference, "completion_tokens", "total_tokens", "prompt_tokens"):
        return False
    stated = [one.get("usageMetadata") or {} for one in _inputs(pair)]
    last = {name: value for usage in stated for name, value in usage.items()}
    thoughts = last.get("thoughtsTokenCount") or 0
    if isinstance(difference.found, int) and isinstance(difference.wanted, int):
        if thoughts and abs(difference.found - difference.wanted) == thoughts:
            return True
        return _ends(difference, "total_tokens") and difference.wanted == last.get("totalTokenCount")
    return False


def _inputs(pair: dict[str, Any]) -> list[dict[str, Any]]:
    given = pair["input"] if isinstance(pair["input"], list) else [pair["input"]]
    return [one for one in given if isinstance(one, dict)]


def _finishes(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """A peer hands out a word of Google's, or reads an unusual one otherwise, or takes calls for an end."""
    if _asks(pair) or not _ends(difference, "finish_reason"):
        return False
    native = {candidate.get("finishReason") for one in _inputs(pair) for candidate in one.get("candidates") or ()}
    unusual = bool(native - {"STOP", "MAX_TOKENS", None})
    return difference.wanted not in FINISHES or unusual or difference.found == "tool_calls"


def _nothing_said(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """Null and an empty text are the same nothing."""
    nothing: tuple[Any, ...] = ("", None, MISSING, [])
    return not _asks(pair) and difference.wanted in nothing and difference.found in nothing


def _other_chunk(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """What the peer has in one chunk stands in another one."""
    if not isinstance(made, list) or not difference.path or difference.path[0] not in ("choices", "usage"):
        return False
    return difference.verb == "equals" and any(alike(difference.wanted, look(one, difference.path)) for one in made)


def _reasoning_name(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The same thoughts under another name, or in a part of their own."""
    if _asks(pair):
        return False
    same_words = isinstance(difference.found, str) and _texts(difference.wanted) == difference.found
    return _within(difference, "reasoning", "thinking", "reasoning_details") or (
        _within(difference, "reasoning_content") and same_words
    )


def _token_bytes(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    return not _asks(pair) and _ends(difference, "bytes")


RULES: dict[str, Rule] = {
    VERTEX: _vertex,
    "a tool's result is wrapped as {result: …}, and a JSON object stays as it is": _wrapper,
    "budgets and levels of Google's own OpenAI layer (low 1024, medium 8192, high 24576)": _budget,
    "a schema goes into the field where it loses least; before Gemini 3 that is the OpenAPI subset if it says all": (
        _schema
    ),
    "what stands at an http address is fetched and sent as data, not handed to Google as an address": _address,
    "max_completion_tokens wins, max_tokens is the old name": _both_limits,
    "what a client sends is not dropped, a last turn of the assistant's neither": _prefill,
    "Gemini wants a turn to answer: beside instructions alone a blank one is made": _instructions_alone,
    "a calling mode without any function is refused by Google": _no_functions,
    "no tool is dropped beside functions: Google says which models take both": _search_beside,
    "Google's own id of a call goes back on Gemini 3, which matches results by it; no other means anything": _call_id,
    "for a lost signature stands base64 of skip_thought_signature_validator, on Gemini 3 and the first call": _stand_in,
    "safety settings are the operator's, unless a request names its own": _safety,
    "what is Google's default is left out": _default,
    "every instruction is a part of its own, in order": _instructions,
    "results of tools have the role user, as in recorded traffic": _results_role,
    "an empty message stays an empty text": _empty_text,
    "extra_content carries the signature, as in Google's own OpenAI layer: an id over 40 characters OpenAI refuses": (
        _signature_channel
    ),
    "thoughts count as completion tokens, and the total is the sum": _thoughts_counted,
    "finish_reason is one of OpenAI's words": _finishes,
    "nothing said is null": _nothing_said,
    OWN_CHUNKS: _other_chunk,
    "thoughts come in reasoning_content": _reasoning_name,
    "the bytes of a token are told with it": _token_bytes,
    "a member of the peer's own, which OpenAI does not know": _own_member,
    "thoughts of earlier turns are not sent back, only their signatures are": _old_thoughts,
    "a field of a request that OpenAI does not know is ignored": _own_field,
}
