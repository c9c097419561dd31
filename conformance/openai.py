"""Recorded exchanges of OpenAI's API, and of Google's own layer of it: untouched on the way through."""

from __future__ import annotations

import json
from typing import Any

import orjson

from conformance import reasons
from conformance.calls import body_of, chat_call, codec_of
from conformance.cases import Case, require, same
from conformance.errors import kept
from conformance.wires import events_wire, fed, json_wires
from pool.core.calls import OPENAI, Call, Usage
from pool.core.dialects.openai import ENDS

RENAMED = "another-name"


def check(case: Case) -> list[str]:
    request = case.document.get("request") or {}
    response = case.document.get("response") or {}
    call = _call(case, request)
    if isinstance(request.get("body"), dict):
        _asks(call, request["body"])
    if int(response.get("status") or 200) >= 300:
        return kept(OPENAI, response)
    wire = events_wire({"sse_eol": "LF", **response})
    if wire is not None:
        return _events(call, response, wire)
    return _plain(call, response) if response.get("body") is not None else []


def _call(case: Case, request: dict[str, Any]) -> Call:
    path = str(request.get("path") or "/" + str(case.row.get("endpoint") or _endpoint(case)))
    where = path.partition("?")[0]
    operation = "raw"
    if where.endswith("/chat/completions"):
        operation = "chat"
    elif where.endswith("/embeddings"):
        operation = "embeddings"
    body = request.get("body")
    payload: dict[str, Any] = body if isinstance(body, dict) else {}
    method = str(request.get("method") or "POST")
    streams = "sse" in (case.document.get("response") or {})
    return chat_call(payload, operation, path=where.removeprefix("/v1"), method=method, stream=streams)


def _endpoint(case: Case) -> str:
    """What was called, where nothing tells but what came back."""
    body = (case.document.get("response") or {}).get("body")
    data = body.get("data") if isinstance(body, dict) else None
    return "embeddings" if isinstance(data, list) and "embedding" in json.dumps(data[:1]) else "chat/completions"


def _asks(call: Call, payload: dict[str, Any]) -> None:
    """Every field goes on as it came; a model of another name upstream is all that changes."""
    codec = codec_of(OPENAI, OPENAI, call.operation)
    if call.operation == "raw" or call.model:
        same(codec.ask(call, call.model).body, call.body, "the request's body")
    if call.model:
        renamed = orjson.loads(body_of(codec.ask(call, RENAMED)))
        same(renamed, {**payload, "model": RENAMED}, "the request under another model's name")


def _plain(call: Call, response: dict[str, Any]) -> list[str]:
    found: list[str] = []
    codec = codec_of(OPENAI, OPENAI, call.operation)
    body = response["body"]
    headers = {"content-type": "application/json"} | _lower(response)
    for wire in json_wires(body) if isinstance(body, dict | list) else [str(body).encode()]:
        reply = codec.reply(call, headers, wire)
        require(reply.body is wire or reply.body == wire, "the answer's body is not what came")
        found += _usage(body.get("usage") if isinstance(body, dict) else None, reply.usage)
    return found


def _usage(stated: Any, usage: Usage) -> list[str]:
    total = stated.get("total_tokens") if isinstance(stated, dict) else None
    if not isinstance(total, int) or not total or usage.total == total:
        return []
    read = stated.get("prompt_tokens") or stated.get("input_tokens") or 0
    same(usage.total, read + (stated.get("completion_tokens") or stated.get("output_tokens") or 0), "total tokens")
    return [reasons.TOTAL_IS_A_SUM]


def _lower(response: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in (response.get("headers") or {}).items()}


def _events(call: Call, response: dict[str, Any], wire: bytes) -> list[str]:
    codec = codec_of(OPENAI, OPENAI, call.operation)
    reader, given, last = fed(lambda: codec.reader(call, {"content-type": "text/event-stream"}), wire)
    documents = [json.loads(data) for data in response["sse"] if data != "[DONE]"]
    if any(isinstance(document, dict) and document.get("error") for document in documents):
        require(reader.failure is not None, "an error in the stream is found")
        require(wire.startswith(given), "what comes before it is untouched")
        return []
    require(reader.failure is None, f"the stream cannot be read: {reader.failure!r}")
    done = "[DONE]" in response["sse"]
    finishes = done or _finishes(documents)
    same(reader.finished, finishes, "finished")
    # Only a stream that finished is closed for an upstream that forgot to.
    closing = b"data: [DONE]\n\n" if finishes and not done and call.operation == "chat" else b""
    same(given + (last if finishes else b""), wire + closing, "the stream")
    stated = [document["usage"] for document in documents if isinstance(document, dict) and document.get("usage")]
    return _usage(stated[-1], reader.usage) if stated else []


def _finishes(documents: list[Any]) -> bool:
    choices = [choice for document in documents for choice in document.get("choices") or ()]
    running = {choice.get("index", 0) for choice in choices}
    ended = {choice.get("index", 0) for choice in choices if choice.get("finish_reason")}
    return (bool(ended) and running == ended) or any(document.get("type") in ENDS for document in documents)
