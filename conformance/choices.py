"""Where the peers disagree with each other or with what Keypool promises: what it does instead, as rules.

A rule looks at the claim's place, at what the request asked and at what we made of it; never at a file's name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from conformance import schemas
from conformance.claims import MISSING, VERBS, Difference, Path, alike, look
from conformance.counting import counts_of
from conformance.efforts import of_another_amount
from conformance.meaning import FINISHES, finish_meant, of_chunks, of_completion
from pool.core.dialects.gemini.ignored import CHAT, EMBEDDINGS
from pool.core.dialects.gemini.names import at_least, bare_model
from pool.core.dialects.gemini.signatures import SKIP_SIGNATURE
from pool.core.faults import Fault

BLANK = {"role": "user", "parts": [{"text": " "}]}
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
    if len(contents) > 1 and contents[0] == BLANK:
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

WRAPPERS = ("result", "output", "content", "return_value", "error", "response")
OF_VERTEX = ("labels", "instances", "parameters", "predictions", "modelArmorConfig")


def _vertex(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    if str(pair.get("expect_path", "")).endswith((":predict", ":rawPredict")):
        wanted = pair["expect"] if isinstance(pair["expect"], dict) else {}
        return set(_leaves(wanted.get("instances"))) <= set(_leaves(made))
    if "predictions" in _input(pair) or difference.path[:1] == ("labels",):
        return True
    return pair.get("target") == "vertex" and difference.path[:1] in [(name,) for name in OF_VERTEX]


def _wrapper(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The same result in another wrapper: as text, or as the JSON that the text is."""
    path = difference.path
    if not _asks(pair) or "functionResponse" not in path:
        return False
    top = path[: path.index("functionResponse") + 1]
    if path[len(top) : len(top) + 1] not in ((), ("response",)):
        return False
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


def _address(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The peer hands on the address as it is, or refuses it, or drops what stands there. Other bytes it has not."""
    told = json.dumps(pair["input"])
    fetched = any(f'"{name}": "http' in told for name in ("url", "image_url", "file_data", "file_url", "file_id"))
    if not _asks(pair) or not fetched:
        return False
    if difference.verb == "error":
        return True
    if _within(difference, "inlineData"):
        return difference.verb in ("absent", "absent_or_null") or difference.wanted is MISSING
    if not _within(difference, "fileData"):
        return False
    return not _ends(difference, "fileUri") or json.dumps(difference.wanted) in told


def _both_limits(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    asked = _input(pair)
    both = {"max_tokens", "max_completion_tokens"} <= asked.keys()
    if not both or not _ends(difference, "maxOutputTokens"):
        return False
    return (difference.wanted, difference.found) == (asked["max_tokens"], asked["max_completion_tokens"])


def _prefill(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The peer has a turn less at the end."""
    messages = _messages(pair)
    if not messages or messages[-1].get("role") != "assistant" or difference.path[:1] != ("contents",):
        return False
    turns = len(made.get("contents") or ())
    if look(made, ("contents", turns - 1, "role")) != "model" or not look(made, ("contents", turns - 1, "parts")):
        return False
    fewer = difference.wanted if difference.verb == "length" else len(difference.wanted or ())
    return fewer == turns - 1 if len(difference.path) == 1 else difference.path[1] in (-1, turns - 1)


def _instructions_alone(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    messages = _messages(pair)
    alone = all(message.get("role") in ("system", "developer") for message in messages)
    return bool(messages) and alone and difference.path[:1] == ("contents",) and made.get("contents") == [BLANK]


def _no_functions(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    return _asks(pair) and _within(difference, "toolConfig") and not _has_functions(pair)


def _search_beside(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The peer drops Google's tools, or the functions, or has the same tools in another order."""
    tools = (made.get("tools") or []) if _asks(pair) else []
    functions = [tool for tool in tools if "functionDeclarations" in tool]
    others = [tool for tool in tools if tool not in functions]
    if not functions or not others:
        return False
    path, wanted = difference.path, difference.wanted
    if path == ("toolConfig", "includeServerSideToolInvocations"):
        return True
    if path == ("tools",):
        if difference.verb == "length":
            return wanted in (len(functions), len(others))
        return any(alike(wanted, one) for one in (functions, others))
    if path[:1] != ("tools",):
        return False
    if difference.verb in ("absent", "absent_or_null") or wanted is MISSING:
        return any(step in tool for tool in others for step in path[2:3])
    return any(VERBS[difference.verb](look(tool, path[2:]), wanted) for tool in tools)


def _call_id(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    own = difference.found is MISSING or json.dumps(difference.found) in json.dumps(pair["input"])
    return _asks(pair) and _ends(difference, "id") and _within(difference, "functionCall", "functionResponse") and own


def _stand_in(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """A peer makes up another signature for a lost one, or none, or one for older models too."""
    told, wanted = json.dumps(pair["input"]), difference.wanted
    kept = isinstance(wanted, str) and bool(wanted) and json.dumps(wanted)[1:-1] in told
    if not _asks(pair) or not _ends(difference, "thoughtSignature") or kept:
        return False
    return difference.found == (SKIP_SIGNATURE if _needs_signature(pair, difference.path[:-1], made) else MISSING)


def _needs_signature(pair: dict[str, Any], path: Path, made: Any) -> bool:
    """The first call of a turn does, on Gemini 3."""
    if not at_least(bare_model(str(_input(pair).get("model"))), 3):
        return False
    parts = look(made, path[:-1])
    calls = [place for place, part in enumerate(parts) if "functionCall" in part] if isinstance(parts, list) else []
    return not calls or path[-1:] == (calls[0],)


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
    parts = look(made, ["systemInstruction", "parts"])
    ours = [part.get("text", "") for part in parts] if isinstance(parts, list) else []
    if difference.verb == "length":
        return bool(difference.wanted == 1)
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
    """The peer drops it, or puts a blank there."""
    empty = any(message.get("content") in ("", None, []) for message in _messages(pair))
    if not _asks(pair) or not empty or difference.path[:1] != ("contents",) or not _ends(difference, "parts", "text"):
        return False
    wanted = "" if difference.wanted is MISSING else _texts(difference.wanted)
    return not wanted.strip() and difference.found in ("", [{"text": ""}])


def _old_thoughts(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The peer sends a thought as a part: there is a part more, those behind it count one further."""
    names = ("reasoning_content", "thinking_blocks", "reasoning", "reasoning_details")
    thoughts = [_texts(message[name]) for message in _messages(pair) for name in names if message.get(name)]
    path, wanted = difference.path, difference.wanted
    if not _asks(pair) or not thoughts or path[:1] != ("contents",) or "parts" not in path:
        return False
    place = path.index("parts") + 1
    if difference.verb == "length":
        return len(path) == place and wanted == len(difference.found) + 1
    if _ends(difference, "thought") and wanted is True:
        return True
    if isinstance(wanted, str) and _ends(difference, "text") and any(wanted in thought for thought in thoughts):
        return True
    if len(path) <= place or not isinstance(path[place], int) or path[place] < 1:
        return False
    return VERBS[difference.verb](look(made, (*path[:place], path[place] - 1, *path[place + 1 :])), wanted)


def _own_field(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """What we do not say at all, and only such a field does: under its name, or in what it holds."""
    known = EMBEDDINGS if "embeddings" in str(pair.get("endpoint")) else CHAT
    ignored = {name: value for name, value in _input(pair).items() if name not in known}
    if not _asks(pair) or not ignored or difference.found is not MISSING:
        return False
    if {_plain_name(step) for step in difference.path} & {_plain_name(name) for name in ignored}:
        return True
    wanted, carried = set(_leaves(difference.wanted)), [one for one in _input(pair).items() if one[0] not in ignored]
    return bool(wanted) and wanted <= set(_leaves(ignored)) - set(_leaves(dict(carried)))


def _plain_name(name: Any) -> str:
    return str(name).replace("_", "").lower()


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
    """What the peer says there, Google's answer says: it is handed on under a name of the peer's."""
    steps = [step for whole in difference.path if isinstance(whole, str) for step in whole.split(".")]
    if _asks(pair) or all(step in KNOWN_MEMBERS for step in steps):
        return False
    if difference.verb == "length":
        return difference.wanted in _lengths(pair["input"])
    said = set(_leaves(pair["input"]))
    return all(leaf in said for leaf in _leaves(difference.wanted))


def _leaves(value: Any) -> Iterator[str]:
    """Texts and numbers, as JSON; what is true, false or null says too little to be looked for."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    elif value is not None and value is not MISSING and not isinstance(value, bool):
        yield json.dumps(value)


def _lengths(value: Any) -> set[int]:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    own = {len(value)} if isinstance(value, list) else set()
    return own.union(*map(_lengths, inner))


def _signature_channel(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The peer puts the signature into the call's id; here it stands beside it."""
    if _asks(pair) or not _within(difference, "id", "delta.tool_calls.id"):
        return False
    wanted = difference.wanted if isinstance(difference.wanted, list) else [difference.wanted]
    told = " ".join(signatures_of(made))
    kept = all(isinstance(one, str) and one.rpartition("__thought__")[2] in told for one in wanted)
    return kept and bool(told) and difference.found is not MISSING


def signatures_of(made: Any) -> Iterator[str]:
    """The signatures that stand in an answer or in its chunks."""
    if isinstance(made, dict):
        if isinstance(made.get("thought_signature"), str):
            yield made["thought_signature"]
        made = list(made.values())
    for inner in made if isinstance(made, list) else ():
        yield from signatures_of(inner)


def _thoughts_counted(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """Thoughts are completion tokens, and inside of them where the sum says so; the total is the sum."""
    stated = [one.get("usageMetadata") or {} for one in _inputs(pair)]
    last = {name: value for usage in stated for name, value in usage.items()}
    counts = counts_of(last)
    right = {"completion_tokens": counts.written, "total_tokens": counts.read + counts.written}
    name = difference.path[-1] if difference.path else None
    if _asks(pair) or name not in right or difference.found != right[name] or not isinstance(difference.wanted, int):
        return False
    apart = abs(difference.found - difference.wanted) == counts.thoughts
    return apart or (name == "total_tokens" and difference.wanted == last.get("totalTokenCount"))


def _inputs(pair: dict[str, Any]) -> list[dict[str, Any]]:
    given = pair["input"] if isinstance(pair["input"], list) else [pair["input"]]
    return [one for one in given if isinstance(one, dict)]


def _finishes(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """A peer hands out a word of Google's, or reads an unusual one as an end like others, or takes calls for one."""
    candidates = [candidate for one in _inputs(pair) for candidate in one.get("candidates") or ()]
    native = {candidate.get("finishReason") for candidate in candidates}
    calls = "functionCall" in json.dumps(candidates)
    right = {finish_meant(finish, calls) for finish in native - {None}}
    if _asks(pair) or not _ends(difference, "finish_reason") or difference.found not in right:
        return False
    unusual = bool(native - {"STOP", "MAX_TOKENS", None})
    wanted = difference.wanted
    if wanted not in FINISHES:
        return str(wanted).upper() in native or (unusual and wanted in ("error", "unknown", "other"))
    return (wanted == "stop" and difference.found == "tool_calls") or (unusual and wanted in ("stop", "content_filter"))


def _nothing_said(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """Null and an empty text are the same nothing."""
    nothing: tuple[Any, ...] = ("", None, MISSING, [])
    if _asks(pair) or difference.wanted not in nothing or difference.found not in nothing:
        return False
    # These are always there, as null.
    return difference.found is not MISSING or not _ends(difference, "choices", "message", "content", "finish_reason")


def _other_chunk(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """What the peer has in one chunk stands in another one."""
    if not isinstance(made, list) or not difference.path or difference.path[0] not in ("choices", "usage"):
        return False
    return difference.verb == "equals" and any(alike(difference.wanted, look(one, difference.path)) for one in made)


def _reasoning_name(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The same thoughts under another name, or in a part of their own."""
    names = [step for whole in difference.path if isinstance(whole, str) for step in whole.split(".")]
    if _asks(pair) or not {"reasoning", "thinking", "reasoning_details", "reasoning_content"} & {*names}:
        return False
    said = of_chunks(made) if isinstance(made, list) else of_completion(made)
    thoughts = {one.thoughts for one in said.values() if one.thoughts}
    if difference.verb == "present":
        return bool(thoughts)
    return difference.verb == "equals" and _texts(difference.wanted) in thoughts


def _token_bytes(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    silent = difference.verb in ("absent", "absent_or_null") or difference.wanted in (MISSING, None, [])
    return not _asks(pair) and _ends(difference, "bytes") and silent


RULES: dict[str, Rule] = {
    VERTEX: _vertex,
    "a tool's result is wrapped as {result: …}, and a JSON object stays as it is": _wrapper,
    "budgets and levels of Google's own OpenAI layer (low 1024, medium 8192, high 24576)": of_another_amount,
    "a schema goes into the field where it loses least; before Gemini 3 that is the OpenAPI subset if it says all": (
        schemas.in_the_other_field
    ),
    "what holds beside anyOf stands in each of its options: Google takes nothing beside it": schemas.in_each_option,
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
