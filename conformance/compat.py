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
from conformance.choices import KNOWN_MEMBERS
from conformance.meaning import Said, chunks_of, of_chunks, of_completion
from conformance.shapes import is_completion, is_stream
from pool.core import sse
from pool.core.calls import GEMINI, OPENAI

FINISHES = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS"}
THOUGHT, THOUGHT_END = "<thought>", "</thought>"
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
        found += _vectors(payload, body)
    return list(dict.fromkeys(found))


def _whole(payload: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    native = _native(theirs, "message")
    reply = codec_of(OPENAI, GEMINI, "chat").reply(chat_call({**payload, "stream": False}), {}, orjson.dumps(native))
    ours = json.loads(reply.body)
    is_completion(ours)
    found = _members([theirs], [ours]) + _usage(theirs.get("usage"), ours["usage"])
    return found + _meaning(of_completion(theirs), of_completion(ours), streamed=False)


def _stream(payload: dict[str, Any], theirs: list[dict[str, Any]]) -> list[str]:
    options = payload.get("stream_options") or {}
    with_usage = bool(isinstance(options, dict) and options.get("include_usage"))
    call = chat_call({**payload, "stream": True, "stream_options": {"include_usage": with_usage}})
    reader = codec_of(OPENAI, GEMINI, "chat").reader(call, {})
    out = b"".join(reader.feed(sse.encode(orjson.dumps(_native(chunk, "delta")))) for chunk in _whole_calls(theirs))
    require(reader.finished == any(_finish(chunk) for chunk in theirs), "finished")
    out += reader.end()
    ours = chunks_of(out)
    is_stream(out, ours, with_usage)
    found = _members(theirs, ours)
    stated = [chunk["usage"] for chunk in theirs if chunk.get("usage")]
    if stated and with_usage:
        found += [reasons.USAGE_ONCE] if len(stated) > 1 or theirs[-1].get("choices") else []
        found += _usage(stated[-1], ours[-1]["usage"])
    return found + _meaning(of_chunks(theirs), of_chunks(ours), streamed=True)


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


def _finish(chunk: dict[str, Any]) -> bool:
    return any(choice.get("finish_reason") for choice in chunk.get("choices") or ())


# -- what the model behind Google's layer must have said ------------------------------------------------------


def _native(theirs: dict[str, Any], member: str) -> dict[str, Any]:
    candidates = []
    for choice in theirs.get("choices") or ():
        said = choice.get(member) or {}
        candidate: dict[str, Any] = {"index": choice.get("index", 0), "content": {"parts": list(_parts(said))}}
        finish = choice.get("finish_reason")
        if finish:
            # "content_filter: PROHIBITED_CONTENT" (recorded) holds Google's own word.
            word = str(finish).partition(": ")[2]
            candidate["finishReason"] = FINISHES.get(finish) or word or "SAFETY"
        candidates.append(candidate)
    native: dict[str, Any] = {"candidates": candidates, "modelVersion": theirs.get("model") or "m"}
    usage = theirs.get("usage")
    if isinstance(usage, dict):
        read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
        total = usage.get("total_tokens") or read + written
        native["usageMetadata"] = {"promptTokenCount": read, "candidatesTokenCount": written, "totalTokenCount": total}
        if total > read + written:
            native["usageMetadata"]["thoughtsTokenCount"] = total - read - written
    return native


def _parts(said: dict[str, Any]) -> Any:
    signature = _signature(said)
    thought, text = _thoughts(said.get("content") or "")
    if thought:
        yield {"text": thought, "thought": True}
    if text:
        yield {"text": text, **({"thoughtSignature": signature} if signature else {})}
    for place, call in enumerate(said.get("tool_calls") or ()):
        function = call.get("function") or {}
        part: dict[str, Any] = {"functionCall": {"name": function.get("name", ""), "args": _args(function)}}
        own = _signature(call) or (signature if not text and not place else None)
        yield part | ({"thoughtSignature": own} if own else {})


def _args(function: dict[str, Any]) -> Any:
    return json.loads(function.get("arguments") or "{}")


def _thoughts(content: str) -> tuple[str, str]:
    """The closing tag is glued to the first words of the answer (recorded)."""
    if THOUGHT not in content:
        return "", content.replace(THOUGHT_END, "")
    head, _, rest = content.partition(THOUGHT)
    thought, _, tail = rest.partition(THOUGHT_END)
    return thought, head + tail


def _signature(holder: dict[str, Any]) -> str | None:
    google = (holder.get("extra_content") or {}).get("google") or {}
    return google.get("thought_signature")


# -- the comparison ----------------------------------------------------------------------------------------------


def _meaning(theirs: dict[int, Said], ours: dict[int, Said], streamed: bool) -> list[str]:
    same(set(ours), set(theirs), "choices")
    found = []
    for index, wanted in theirs.items():
        given = ours[index]
        thought, text = _thoughts(wanted.text)
        if thought or THOUGHT_END in wanted.text:
            found.append(reasons.THOUGHTS_APART)
        same(given.text, text, "content")
        same(given.calls, wanted.calls, "calls")
        found += _finish_reason(wanted.finish, given, streamed)
    return found


def _finish_reason(theirs: str | None, ours: Said, streamed: bool) -> list[str]:
    if theirs == ours.finish:
        return []
    if theirs == "stop" and ours.calls and ours.finish == "tool_calls":
        return [reasons.CALLS_FINISH_AS_CALLS]
    if str(theirs).startswith("content_filter") and ours.finish == "content_filter":
        return [reasons.ONLY_OPENAIS_FINISHES]
    same(ours.finish, theirs, "finish_reason")
    return []


def _usage(theirs: Any, ours: dict[str, Any]) -> list[str]:
    if not isinstance(theirs, dict):
        return []
    same(ours["prompt_tokens"], theirs.get("prompt_tokens") or 0, "prompt_tokens")
    same(ours["total_tokens"], theirs.get("total_tokens") or 0, "total_tokens")
    thoughts = ours["completion_tokens_details"]["reasoning_tokens"]
    same(ours["completion_tokens"] - thoughts, theirs.get("completion_tokens") or 0, "completion_tokens")
    return [reasons.THOUGHTS_ARE_COMPLETION] if thoughts else []


def _members(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[str]:
    """Whatever a client may read in Google's answer stands in ours too, but for doubles of `extra_content`."""
    told = _paths(theirs)
    missing = {name for name in told - _paths(ours) if not _is_own(name)}
    unknown = {name for name in missing if name.rpartition(".")[2] not in KNOWN_MEMBERS}
    require(missing == unknown, f"members only Google has: {sorted(missing - unknown)}")
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


def _vectors(payload: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    vectors = [item["embedding"] for item in theirs["data"]]
    native = {"embeddings": [{"values": vector} for vector in vectors]}
    call = chat_call({"model": theirs.get("model") or "m", "input": ["x"] * len(vectors)}, "embeddings")
    ours = json.loads(codec_of(OPENAI, GEMINI, "embeddings").reply(call, {}, orjson.dumps(native)).body)
    same([item["embedding"] for item in ours["data"]], vectors, "vectors")
    same([item["index"] for item in ours["data"]], list(range(len(vectors))), "index")
    require(ours["object"] == "list" and ours["usage"]["total_tokens"] > 0, "usage, even if it is estimated")
    return [reasons.INDEX_AND_USAGE] if "usage" not in theirs or "index" not in theirs["data"][0] else []
