"""Google's own OpenAI layer: its answers pass untouched, and ours to the same question say the same in the same shape.

Google's answer tells what its model said; that, put back into the native shape, is what our converter gets.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from conformance import openai, reasons
from conformance.calls import chat_call, codec_of
from conformance.cases import Case, require, same
from conformance.googles_layer import cached_told, native_of, thoughts_told, without_tags, word_of
from conformance.meaning import FINISHES, Said, chunks_of, of_chunks, of_completion
from conformance.shapes import is_completion, is_stream
from conformance.vectors import are_packed, numbers
from pool.core import sse
from pool.core.calls import GEMINI, OPENAI

CALL = ("", ".id", ".type", ".function", ".function.name", ".function.arguments")
SAID = ("", ".role", ".content", *(f".tool_calls{path}" for path in CALL))
COMMON = frozenset(
    {
        *(".id", ".object", ".created", ".model", ".choices", ".choices.index", ".choices.finish_reason"),
        *(f".choices.{member}{path}" for member in ("message", "delta") for path in SAID),
        *(".usage", ".usage.prompt_tokens", ".usage.completion_tokens", ".usage.total_tokens"),
    }
)
"""What every client reads: where Google's layer has it, so have we. Everything else is compared by what it says."""

MEANT = ("annotations", "images", "audio", "logprobs", "reasoning_content", "function_call", "refusal")
OWN = ("thought", "thought_signature")
"""Members of Google's layer beside `extra_content`, which says the same."""


def check(case: Case) -> list[str]:
    found = openai.check(case)
    request, response = case.document.get("request") or {}, case.document.get("response") or {}
    body = request.get("body")
    payload: dict[str, Any] = body if isinstance(body, dict) else {"model": "m"}
    if int(response.get("status") or 200) >= 300:
        return found
    if "messages" in payload:
        codec = codec_of(OPENAI, GEMINI, "chat")
        codec.ask(chat_call(payload), payload["model"])
    body = response.get("body")
    if isinstance(response.get("sse"), list):
        found += _stream(payload, [json.loads(data) for data in response["sse"] if data != "[DONE]"])
    elif isinstance(body, dict) and "choices" in body:
        found += _whole(payload, body)
    elif isinstance(body, dict) and _is_vectors(body):
        found += _vectors(body)
    return list(dict.fromkeys(found))


def _whole(payload: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    plain = without_tags([theirs], "message")
    [native] = native_of(plain, "message")
    call = chat_call({**_asked(payload, theirs), "stream": False})
    ours = json.loads(codec_of(OPENAI, GEMINI, "chat").reply(call, {}, orjson.dumps(native)).body)
    is_completion(ours)
    found = _members([theirs], [ours]) + _usage(theirs.get("usage"), ours["usage"])
    found += [reasons.THOUGHTS_APART] if plain != [theirs] else []
    return found + _meaning(of_completion(plain[0]), of_completion(ours))


def _asked(payload: dict[str, Any], theirs: Any) -> dict[str, Any]:
    """Only who asked by functions, the predecessor of tools, is answered so."""
    answered = "function_call" in json.dumps(theirs)
    return {name: value for name, value in payload.items() if name != "functions" or answered}


def _stream(payload: dict[str, Any], theirs: list[dict[str, Any]]) -> list[str]:
    stated = [chunk["usage"] for chunk in theirs if chunk.get("usage")]
    options = payload.get("stream_options") or {}
    with_usage = bool(stated or (isinstance(options, dict) and options.get("include_usage")))
    asked = {**_asked(payload, theirs), "stream": True, "stream_options": {"include_usage": with_usage}}
    reader = codec_of(OPENAI, GEMINI, "chat").reader(chat_call(asked), {})
    plain = _whole_calls(without_tags(theirs, "delta"))
    out = b"".join(reader.feed(sse.encode(orjson.dumps(native))) for native in native_of(plain, "delta"))
    require(reader.finished == _finishes(theirs), "finished")
    out += reader.end()
    ours = chunks_of(out)
    is_stream(out, ours, with_usage)
    found = _members(theirs, ours)
    found += [reasons.THOUGHTS_APART] if without_tags(theirs, "delta") != theirs else []
    if stated:
        found += [reasons.USAGE_ONCE] if len(stated) > 1 or theirs[-1].get("choices") else []
        found += _usage(stated[-1], ours[-1]["usage"])
    return found + _meaning(of_chunks(plain), of_chunks(ours))


def _whole_calls(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Google sends a call whole. Where the arguments of one come in pieces, the last piece stands for all of them."""
    pieces: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or ():
            for call in (choice.get("delta") or {}).get("tool_calls") or ():
                if "index" in call:
                    pieces.setdefault((choice.get("index", 0), call["index"]), []).append(call)
    if all(len(calls) == 1 for calls in pieces.values()):
        return chunks
    made = json.loads(json.dumps(chunks))
    wholes = {place: _put_together(calls) for place, calls in pieces.items()}
    for chunk in reversed(made):
        for choice in chunk.get("choices") or ():
            delta, index = choice.get("delta") or {}, choice.get("index", 0)
            calls = [wholes.pop((index, call.get("index")), None) for call in delta.get("tool_calls") or ()]
            delta["tool_calls"] = [call for call in calls if call]
    return made


def _put_together(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    functions = [piece.get("function") or {} for piece in pieces]
    arguments = "".join(function.get("arguments") or "" for function in functions)
    return {**pieces[0], "function": {**functions[0], "arguments": arguments}}


def _finishes(chunks: list[dict[str, Any]]) -> bool:
    choices = [choice for chunk in chunks for choice in chunk.get("choices") or ()]
    ended = {choice.get("index", 0) for choice in choices if choice.get("finish_reason")}
    return bool(ended) and ended == {choice.get("index", 0) for choice in choices}


# -- the comparison ----------------------------------------------------------------------------------------------


def _meaning(theirs: dict[int, Said], ours: dict[int, Said]) -> list[str]:
    same(set(ours), set(theirs), "choices")
    found = []
    for index, wanted in theirs.items():
        given = ours[index]
        for member in ("text", "thoughts", "calls", "pictures", "audio", "logprobs"):
            same(getattr(given, member), getattr(wanted, member), member)
        signatures = {*wanted.signatures, *wanted.text_signatures}
        same({*given.signatures, *given.text_signatures}, signatures, "signatures")
        _quotes(wanted, given)
        found += _finish_reason(wanted.finish, given)
    return found


def _quotes(wanted: Said, given: Said) -> None:
    """Of places in a text with <thought> in it nobody knows what they count."""
    same({(one.url, one.title) for one in given.quotes}, {(one.url, one.title) for one in wanted.quotes}, "annotations")
    if not wanted.thoughts:
        told = {one.place for one in wanted.quotes if one.place[1] > one.place[0]}
        require(told <= {one.place for one in given.quotes}, f"annotations of {sorted(told)}")


def _finish_reason(theirs: str | None, ours: Said) -> list[str]:
    """A stream that was cut, and a whole answer that tells no end, have none to compare."""
    if theirs is None or theirs == ours.finish:
        return []
    if theirs == "stop" and ours.calls and ours.finish == "tool_calls":
        return [reasons.CALLS_FINISH_AS_CALLS]
    blocked = theirs.startswith("content_filter") and ours.finish == "content_filter"
    if theirs not in FINISHES and (blocked or ours.native_finish == word_of(theirs)):
        return [reasons.ONLY_OPENAIS_FINISHES]
    same(ours.finish, theirs, "finish_reason")
    return []


def _usage(theirs: Any, ours: dict[str, Any]) -> list[str]:
    if not isinstance(theirs, dict):
        return []
    read, written = theirs.get("prompt_tokens") or 0, theirs.get("completion_tokens") or 0
    total = max(theirs.get("total_tokens") or 0, read + written)
    same(ours["prompt_tokens"], read, "prompt_tokens")
    same(ours["total_tokens"], total, "total_tokens")
    same(ours["completion_tokens"], total - read, "completion_tokens")
    same(ours["prompt_tokens_details"]["cached_tokens"], cached_told(theirs), "cached_tokens")
    thoughts = total - read - written
    same(ours["completion_tokens_details"]["reasoning_tokens"], thoughts or thoughts_told(theirs), "reasoning_tokens")
    return [reasons.THOUGHTS_ARE_COMPLETION] if thoughts else []


def _members(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[str]:
    """Whatever a client may read in Google's answer stands in ours too, but for doubles of `extra_content`."""
    told = _paths(theirs)
    missing = told - _paths(ours)
    require(not missing & COMMON, f"members only Google has: {sorted(missing & COMMON)}")
    unknown = {name for name in missing if not _is_own(name) and not set(name.split(".")) & set(MEANT)}
    found = [reasons.SIGNATURE_ONCE] if any(_is_own(name) for name in told) else []
    return [*found, reasons.GOOGLES_MEMBER] if unknown else found


def _is_own(path: str) -> bool:
    """A signature beside the calls of a message is, with us, the calls' own."""
    return path.rpartition(".")[2] in OWN or ".extra_content" in path


def _paths(document: Any, above: str = "") -> set[str]:
    if isinstance(document, list):
        return {path for one in document for path in _paths(one, above)}
    if not isinstance(document, dict):
        return set()
    own = {f"{above}.{name}" for name, value in document.items() if value is not None}
    own |= {f"{above}.{name}" for name in ("content",) if name in document}
    return own | {path for name, value in document.items() for path in _paths(value, f"{above}.{name}")}


# -- embeddings --------------------------------------------------------------------------------------------------


def _is_vectors(body: dict[str, Any]) -> bool:
    data = body.get("data")
    return isinstance(data, list) and bool(data) and isinstance(data[0], dict) and "embedding" in data[0]


def _vectors(theirs: dict[str, Any]) -> list[str]:
    are_packed([numbers(item["embedding"]) for item in theirs["data"]], theirs.get("model") or "m")
    return [reasons.INDEX_AND_USAGE] if "usage" not in theirs or "index" not in theirs["data"][0] else []
