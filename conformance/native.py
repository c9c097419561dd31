"""Recorded exchanges of the Gemini API: untouched on the way through, and right as an answer of OpenAI's."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from urllib.parse import unquote

import orjson

from conformance import counting, reasons
from conformance.calls import chat_call, codec_of, native_call
from conformance.cases import Case, Unmet, require, same
from conformance.counting import counts_of
from conformance.errors import kept
from conformance.meaning import chunks_of, of_chunks, of_completion, of_native
from conformance.saying import says
from conformance.shapes import is_completion, is_stream
from conformance.vectors import are_packed
from conformance.wires import array_wires, events_wire, fed, json_wires
from pool.core.calls import GEMINI, OPENAI, Call, Usage

GENERATED = ("generate", "stream_generate")
EMBEDDED = ("embed", "batch_embed")


def check(case: Case) -> list[str]:
    """The reasons where something is otherwise than recorded. Raises `Unmet` where there is none."""
    request = case.document.get("request") or {}
    response = case.document.get("response") or {}
    path = str(request.get("path") or "")
    call = native_call(path, request.get("body"), "" if path else _endpoint(case, response))
    _asks(call, request)
    if int(response.get("status") or 200) >= 300:
        return kept(GEMINI, response)
    wire = events_wire(response)
    if wire is not None:
        return _events(call, response, wire)
    body = response.get("body")
    if call.operation == "stream_generate" and isinstance(body, list):
        return _array(call, body)
    answers = body if isinstance(body, list) and call.operation == "generate" else [body]
    return [reason for answer in answers for reason in _plain(call, response, answer)]


def _endpoint(case: Case, response: dict[str, Any]) -> str:
    """What was called, where no path tells: as the index says, else by what came back."""
    if case.row.get("endpoint"):
        return str(case.row["endpoint"])
    if isinstance(response.get("sse"), list):
        return "streamGenerateContent"
    body = response.get("body")
    answered = isinstance(body, list) or (isinstance(body, dict) and body.keys() & {"candidates", "promptFeedback"})
    return "generateContent" if answered else ""


def _asks(call: Call, request: dict[str, Any]) -> None:
    """What a client sends to a path we know reaches Google as it is, but for its credential."""
    if not request.get("path") or call.operation == "raw":
        return
    codec = codec_of(GEMINI, GEMINI, call.operation)
    ask = codec.ask(call, call.model)
    same(ask.body, call.body, "the request's body")
    require(ask.path.startswith(("/models/", "/tunedModels/")), f"path {ask.path}")
    same(ask.path.rpartition(":")[2], call.path.rpartition(":")[2], "the verb")
    secret = {"key", "access_token"}
    same(list(ask.query), [pair for pair in call.query if pair[0] not in secret], "the query")


def _plain(call: Call, response: dict[str, Any], body: Any) -> list[str]:
    headers = {name.lower(): str(value) for name, value in (response.get("headers") or {}).items()}
    codec = codec_of(GEMINI, GEMINI, call.operation)
    if not isinstance(body, dict):
        text = body.encode() if isinstance(body, str) else b""
        return [] if codec.reply(call, headers, text).body == text else _unmet("the body")
    found: list[str] = []
    if body.get("error") and call.operation != "raw":
        return _dressed_up(call, body)
    for wire in json_wires(body):
        reply = codec.reply(call, headers, wire)
        require(reply.body is wire or reply.body == wire, "the answer's body is not what came")
        if call.operation in GENERATED:
            found += _usage(body.get("usageMetadata"), reply.usage)
    if call.operation in GENERATED and ("candidates" in body or "promptFeedback" in body):
        found += _converted(call, body)
    if call.operation in EMBEDDED:
        vectors = body["embeddings"] if "embeddings" in body else [body["embedding"]]
        are_packed([vector.get("values") or [] for vector in vectors])
    return list(dict.fromkeys(found))


def _dressed_up(call: Call, body: dict[str, Any]) -> list[str]:
    try:
        codec_of(GEMINI, GEMINI, call.operation).reply(call, {}, orjson.dumps(body))
    except ValueError:
        return [reasons.NO_SUCCESS]
    raise Unmet("an error with status 200 goes through as an answer")


def _unmet(what: str) -> list[str]:
    raise Unmet(f"{what} is not what came")


def _events(call: Call, response: dict[str, Any], wire: bytes) -> list[str]:
    codec = codec_of(GEMINI, GEMINI, call.operation)
    headers = {"content-type": "text/event-stream"}
    fails = _fails(response, wire)
    reader, given, last = fed(lambda: codec.reader(call, headers), wire)
    require((reader.failure is not None) == fails, "an error in the stream is found where there is one, and only there")
    if fails:
        require(wire.startswith(given), "what comes before an error is untouched")
        return []
    same(given + last, wire, "the stream")
    if call.operation != "stream_generate":
        return []
    chunks = [json.loads(data) for data in response["sse"] if data.startswith("{")]
    same(reader.finished, _ends(chunks), "finished")
    return list(dict.fromkeys([*_usage(_last_usage(chunks), reader.usage), *_streamed(call, chunks, wire)]))


def _fails(response: dict[str, Any], wire: bytes) -> bool:
    if isinstance(response.get("raw"), str):
        return b'"error"' in wire
    return any(isinstance(_json(data), dict) and "error" in _json(data) for data in response["sse"])


def _json(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _ends(chunks: list[dict[str, Any]]) -> bool:
    """Whether every candidate that spoke has finished, or the prompt was blocked."""
    said = of_native(chunks)
    blocked = any((chunk.get("promptFeedback") or {}).get("blockReason") for chunk in chunks)
    return blocked or (bool(said) and all(one.finish for one in said.values()))


def _array(call: Call, chunks: list[dict[str, Any]]) -> list[str]:
    codec = codec_of(GEMINI, GEMINI, "stream_generate")
    call.query = tuple(pair for pair in call.query if pair != ("alt", "sse"))
    found: list[str] = []
    for wire in array_wires(chunks):
        reader, given, last = fed(lambda: codec.reader(call, {}), wire)
        if any("error" in chunk for chunk in chunks):
            require(reader.failure is not None, "the error in the array is found")
            continue
        same(given + last, wire, "the stream")
        same(reader.finished, _ends(chunks), "finished")
        found += _usage(_last_usage(chunks), reader.usage) + _streamed(call, chunks, wire)
    return list(dict.fromkeys(found))


def _last_usage(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The last value of each count: every chunk states the usage so far."""
    stated: dict[str, Any] = {}
    for chunk in chunks:
        if isinstance(chunk.get("usageMetadata"), dict):
            stated |= chunk["usageMetadata"]
    return stated


def _usage(stated: Any, usage: Usage) -> list[str]:
    """What was counted is what was stated; the total is Google's own but where that is no sum (2 of 1464 recorded)."""
    if not isinstance(stated, dict) or not isinstance(stated.get("promptTokenCount"), int):
        return []
    wanted = counts_of(stated)
    same(usage.input, wanted.read, "input")
    if not any(name in stated for name in ("candidatesTokenCount", "thoughtsTokenCount", "responseTokenCount")):
        return []
    same((usage.cached, usage.thinking), (wanted.cached, wanted.thoughts), "cached tokens and thoughts'")
    same(usage.output, wanted.written or usage.output, "output")
    total = stated.get("totalTokenCount")
    return [] if not isinstance(total, int) or usage.total == total else [reasons.TOTAL_IS_A_SUM]


# -- the same, for a client of OpenAI's ----------------------------------------------------------------------


def _converted(call: Call, native: dict[str, Any]) -> list[str]:
    chat = chat_call({"model": call.model})
    reply = codec_of(OPENAI, GEMINI, "chat").reply(chat, {}, orjson.dumps(native))
    answer = json.loads(reply.body)
    is_completion(answer)
    counting.are_told(native.get("usageMetadata"), answer["usage"])
    _named(call, [native], [answer])
    return says([native], of_completion(answer), streamed=False)


def _named(call: Call, native: list[dict[str, Any]], ours: list[dict[str, Any]]) -> None:
    """The model is called as Google calls it, else as it was asked for."""
    stated = [unquote(str(one["modelVersion"])).rpartition("/")[2] for one in native if one.get("modelVersion")]
    for answer in ours:
        name = str(answer["model"]).rpartition("/")[2]
        known = [*stated, call.model.rpartition("/")[2].partition(":")[0]]
        require(name in known, f"model {name!r}, recorded {known}")


def _streamed(call: Call, chunks: list[dict[str, Any]], wire: bytes) -> list[str]:
    """Also where the upstream sends an array though events were asked for."""
    codec = codec_of(OPENAI, GEMINI, "chat")
    found: list[str] = []
    for with_usage in (True, False):
        chat = chat_call({"model": call.model, "stream": True, "stream_options": {"include_usage": with_usage}})
        reader, given, last = fed(partial(codec.reader, chat, {}), wire)
        same(reader.finished, _ends(chunks), "finished, converted")
        require(reader.failure is None, f"the stream cannot be read: {reader.failure!r}")
        made = chunks_of(given + last)
        is_stream(given + last, made, with_usage)
        if with_usage:
            counting.are_told(_last_usage(chunks), made[-1]["usage"], reader.finished)
        _named(call, chunks, made)
        found += says(chunks, of_chunks(made), streamed=True)
    return found
