"""The codecs on recorded traffic, and on what peers expect of a conversion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from pool.core import sse
from pool.core.calls import GEMINI, OPENAI, Call
from pool.core.dialects import ConversionSettings, codec_for, error_fields, render_fault, upstream_fault
from pool.core.faults import Fault
from pool.core.masking import redact

from . import corpus

pytestmark = corpus.present

UNTOUCHED = ConversionSettings(safety_preset="google_default")
"""Pairs say nothing about safety."""

COMPLETED = {"cliproxy strict is removed from tools": {"model": "gemini-2.5-flash"}}

_VERTEX_PREDICT = "Vertex's :predict, an endpoint Keypool does not call"
_OWN_WRAPPER = "a result is wrapped as {result: …}, and a JSON object stays as it is"
_OWN_BUDGETS = "budgets of Google's own OpenAI layer: medium 8192, high 24576"
_OPENAPI_SUBSET = "responseSchema with references inlined, as long as nothing is lost"
_JSON_SCHEMA = "responseJsonSchema where the OpenAPI subset would lose something"
_SIGNATURE_CHANNEL = "extra_content carries the signature, as in Google's own OpenAI layer"
_NO_MESSAGES = "OpenAI refuses an empty list of messages, and so do we"
_SYSTEM_ALONE = "Gemini wants a turn to answer: a blank one is made"
_OWN_ERRORS = "an error has OpenAI's shape, not Envoy's"

EXCEPTIONS = {
    "agentgateway-request-parallel-tool-call": _OWN_WRAPPER,
    "agentgateway-request-tool-call": _OWN_WRAPPER,
    "envoy-tool-parts-array-is-joined": _OWN_WRAPPER,
    "agentgateway-request-reasoning": _OWN_BUDGETS,
    "agentgateway-request-reasoning-max": _OWN_BUDGETS,
    "agentgateway-stream-stream-tool": "role, call, finish and usage are chunks of their own, as OpenAI sends them",
    "agentgateway-unit-empty-messages-get-synthetic-user-entry": _NO_MESSAGES,
    "cliproxy-strict-is-removed-from-tools": _NO_MESSAGES,
    "agentgateway-unit-gemini-schema-drops-open-dict-additional-properties": _JSON_SCHEMA,
    "agentgateway-unit-gemini-schema-recursive-model-terminates": _JSON_SCHEMA,
    "cliproxy-response-format-json-schema": _OPENAPI_SUBSET,
    "cliproxy-tool-schema-parametersjsonschema-title-dropped-required-pruned": _OPENAPI_SUBSET,
    "envoy-json-schema-of-a-scalar": _OPENAPI_SUBSET,
    "litellm-json-schema-keeps-defs-on-gemini-2": _OPENAPI_SUBSET,
    "litellm-json-schema-on-gemini-2-uses-responsejsonschema": _OPENAPI_SUBSET,
    "agentgateway-unit-labels-pass-through-at-top-level": "the Gemini API has no labels, only Vertex does",
    "agentgateway-unit-signature-is-put-into-the-id": _SIGNATURE_CHANNEL,
    "agentgateway-unit-two-signed-calls-in-one-chunk": _SIGNATURE_CHANNEL,
    "agentgateway-unit-tool-choice-mapping-required": "a calling mode without any function is refused by Google",
    "agentgateway-unit-usage-only-trailing-chunk": "5 + 2 = 7: the sum says that thoughts are in the 2",
    "any-llm-http-image-becomes-filedata": "http images are fetched, not handed to Google as an address",
    "cliproxy-max-tokens-wins-over-max-completion-tokens": "max_completion_tokens wins, max_tokens is the old name",
    "cliproxy-missing-candidatestokencount-is-0": "thoughts count as completion tokens",
    "cliproxy-trailing-assistant-prefill-is-dropped": "what a client sends is not dropped",
    "envoy-gcp-vertexai-v1-chat-completions": _SYSTEM_ALONE,
    "envoy-gcp-vertexai-v1-chat-completions-2": _SYSTEM_ALONE,
    "envoy-gcp-vertexai-v1-chat-completions-streaming": _SYSTEM_ALONE,
    "envoy-gcp-vertexai-v1-chat-completions-error-response-answer": _OWN_ERRORS,
    "envoy-gcp-vertexai-v1-embeddings-error-response-answer": _OWN_ERRORS,
    "envoy-gcp-vertexai-v1-embeddings-array-of-objects": _VERTEX_PREDICT,
    "envoy-gcp-vertexai-v1-embeddings-array-of-objects-answer": _VERTEX_PREDICT,
    "envoy-gcp-vertexai-v1-embeddings-array-of-strings-answer": _VERTEX_PREDICT,
    "envoy-gcp-vertexai-v1-embeddings-simple-string": _VERTEX_PREDICT,
    "envoy-gcp-vertexai-v1-embeddings-with-dimensions": _VERTEX_PREDICT,
    "envoy-gcp-vertexai-v1-embeddings-with-dimensions-answer": _VERTEX_PREDICT,
    "envoy-gcp-vertexai-v1-embeddings-with-task-type-and-title": _VERTEX_PREDICT,
    "envoy-gcp-vertexai-v1-embeddings-with-task-type-and-title-answer": _VERTEX_PREDICT,
    "litellm-search-tool-is-dropped-next-to-functions": "no tool is dropped: Google says which models take both",
    "litellm-usage-responsetokencount-live-api-name": "the total is always the sum, in every answer",
}
"""Where the peers disagree with each other or with what Keypool promises, and what it does instead."""


def call_of(payload: dict[str, Any] | None = None, **over: Any) -> Call:
    payload = payload or {}
    known = {"model": payload.get("model", "gemini-1.5-pro"), "stream": bool(payload.get("stream"))}
    body = orjson.dumps(payload)
    return Call(
        **(
            {"request_id": "r1", "dialect": OPENAI, "operation": "chat", "body": body, "payload": payload}
            | known
            | over
        )
    )


def ids(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


PAIRS = corpus.files("pairs")


@pytest.mark.parametrize("path", PAIRS, ids=ids(PAIRS))
def test_a_pair_holds(path: Path) -> None:
    pair = corpus.load(path)
    if path.stem in EXCEPTIONS:
        with pytest.raises((AssertionError, Fault, ValueError)):
            _hold(pair)
    else:
        _hold(pair)


def _hold(pair: dict[str, Any]) -> None:
    match pair["direction"]:
        case "openai_request->upstream_request":
            _request(pair)
        case "upstream_response->openai_response":
            _response(pair)
        case _:
            _stream(pair)


def _request(pair: dict[str, Any]) -> None:
    operation = "embeddings" if pair["endpoint"] == "embeddings" else "chat"
    codec = codec_for(OPENAI, GEMINI, operation, UNTOUCHED)
    call = call_of(COMPLETED.get(pair["name"], {}) | pair["input"], operation=operation)
    claims = pair["expect"]
    if claims == [{"error": True}]:
        with pytest.raises(Fault):
            codec.ask(call, call.model)
        return
    sent = json.loads(codec.ask(call, call.model).body)
    if pair["match"] == "exact":
        corpus.agrees(claims, sent)
    for claim in claims if pair["match"] == "assertions" else ():
        corpus.check(claim, sent)


def _response(pair: dict[str, Any]) -> None:
    operation = "embeddings" if pair["endpoint"] == "embeddings" else "chat"
    codec = codec_for(OPENAI, GEMINI, operation)
    call = call_of(
        {"model": pair["expect"].get("model", "m")} if isinstance(pair["expect"], dict) else {}, operation=operation
    )
    answer = json.loads(codec.reply(call, {}, orjson.dumps(pair["input"])).body)
    if pair["match"].startswith("exact"):
        corpus.agrees(pair["expect"], answer)
    for claim in pair["expect"] if pair["match"] == "assertions" else ():
        corpus.check(claim, answer)


def _stream(pair: dict[str, Any]) -> None:
    call = call_of({"stream": True, "stream_options": {"include_usage": True}})
    reader = codec_for(OPENAI, GEMINI, "chat").reader(call, {})
    out = b"".join(reader.feed(sse.encode(orjson.dumps(chunk))) for chunk in pair["input"]) + reader.end()
    assert out.endswith(sse.DONE)
    stream = [json.loads(event.data) for event in sse.events(out.removesuffix(sse.DONE))]
    if pair["match"] == "exact":
        corpus.agrees(json.loads(pair["expect"][0]), stream[0])
    for claim in pair["expect"] if pair["match"] == "assertions" else ():
        corpus.check(claim, None, stream)


# -- native traffic, untouched -----------------------------------------------------------------------------

SIZES = (1, 2, 3, 7, 61, 1024)


def _endpoint(exchange: dict[str, Any]) -> str:
    return ((exchange.get("request") or {}).get("path") or "").partition("?")[0].rpartition(":")[2]


def _wire(exchange: dict[str, Any]) -> bytes | None:
    """The body of a streamed answer as it was on the wire; None where it was no event stream."""
    response = exchange.get("response") or {}
    if "raw" in response:
        return response["raw"].encode() if "sse" in response else None
    if "sse" not in response:
        return None
    end = b"\n" if response.get("sse_eol") == "LF" else b"\r\n"
    return b"".join(b"data: " + data.encode() + end + end for data in response["sse"])


def _streams(kind: str) -> list[Path]:
    return [path for path in corpus.files(kind) if _wire(corpus.load(path)) and "interactions" not in path.stem]


NATIVE = _streams("gemini_native")
ARRAYS = [
    path
    for path in corpus.files("gemini_native")
    if path.stem.startswith("stream") and isinstance(corpus.load(path)["response"].get("body"), list)
]
OPENAI_STREAMS = [path for path in _streams("openai") if "200" in path.stem] + _streams("gemini_openai_compat")


def native_call(**over: Any) -> Call:
    sse_query = (("alt", "sse"),)
    return call_of({}, **({"dialect": GEMINI, "operation": "stream_generate", "query": sse_query} | over))


@pytest.mark.parametrize("path", NATIVE, ids=ids(NATIVE))
def test_a_native_stream_passes_byte_for_byte(path: Path) -> None:
    wire = _wire(corpus.load(path)) or b""
    codec = codec_for(GEMINI, GEMINI, "stream_generate")
    fails = b'"error"' in wire
    for size in SIZES:
        reader = codec.reader(native_call(), {})
        out = b"".join(reader.feed(piece) for piece in corpus.split(wire, size))
        assert (reader.failure is not None) == fails
        if fails:
            assert wire.startswith(out)
        else:
            assert out + reader.end() == wire
            assert reader.finished == (b"finishReason" in wire or b"blockReason" in wire)


@pytest.mark.parametrize("path", ARRAYS, ids=ids(ARRAYS))
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_stream_passes_byte_for_byte(path: Path, indent: int | None) -> None:
    chunks = corpus.load(path)["response"]["body"]
    wire = b"[" + b",\r\n".join(json.dumps(chunk, indent=indent).encode() for chunk in chunks) + b"\n]\n"
    for size in SIZES:
        reader = codec_for(GEMINI, GEMINI, "stream_generate").reader(native_call(query=()), {})
        out = b"".join(reader.feed(piece) for piece in corpus.split(wire, size))
        assert out + reader.end() == wire
        assert reader.useful
        assert reader.finished
        assert reader.usage.total == chunks[-1]["usageMetadata"]["totalTokenCount"]


@pytest.mark.parametrize("path", NATIVE, ids=ids(NATIVE))
def test_a_native_stream_becomes_chunks_of_openai(path: Path) -> None:
    exchange = corpus.load(path)
    wire = _wire(exchange) or b""
    codec = codec_for(OPENAI, GEMINI, "chat")
    call = call_of({"stream": True, "stream_options": {"include_usage": True}, "model": "m"})
    outs = set()
    for size in SIZES:
        reader = codec.reader(call, {})
        out = b"".join(reader.feed(piece) for piece in corpus.split(wire, size))
        outs.add(out + (reader.end() if reader.failure is None else b""))
    assert len(outs) == 1
    if reader.failure is None:
        _is_openai_stream(outs.pop(), [json.loads(data) for data in exchange["response"]["sse"]])


def _is_openai_stream(out: bytes, native: list[dict[str, Any]]) -> None:
    assert out.count(sse.DONE) == 1
    assert out.endswith(sse.DONE)
    stream = [json.loads(event.data) for event in sse.events(out.removesuffix(sse.DONE))]
    assert {chunk["id"] for chunk in stream} == {"chatcmpl-r1"}
    assert stream[-1]["choices"] == []
    assert all(chunk["usage"] is None for chunk in stream[:-1])
    finishes = [reason for reason in _choice_values(stream, "finish_reason") if reason]
    assert len(finishes) == 1
    assert finishes[0] in ("stop", "length", "tool_calls", "content_filter")
    parts = [part for chunk in native for part in _parts(chunk)]
    texts = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    thoughts = "".join(part.get("text", "") for part in parts if part.get("thought"))
    shown = "".join(corpus.collect(stream, "delta.content"))
    if not any("executableCode" in part or "codeExecutionResult" in part for part in parts):
        assert shown == texts
    assert "".join(corpus.collect(stream, "delta.reasoning_content")) == thoughts
    starts = [part for part in parts if (part.get("functionCall") or {}).get("name")]
    assert corpus.collect(stream, "delta.tool_calls.index") == list(range(len(starts)))


def _choice_values(stream: list[dict[str, Any]], name: str) -> list[Any]:
    return [choice[name] for chunk in stream for choice in chunk["choices"]]


def _parts(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for one in chunk.get("candidates") or () for part in (one.get("content") or {}).get("parts") or ()]


UNARY = [
    path
    for path in corpus.files("gemini_native")
    if isinstance(corpus.load(path)["response"].get("body"), dict) and corpus.load(path)["response"]["status"] == 200
]
GENERATED = [path for path in UNARY if "candidates" in corpus.load(path)["response"]["body"]]


@pytest.mark.parametrize("path", GENERATED, ids=ids(GENERATED))
def test_a_native_answer_becomes_a_completion(path: Path) -> None:
    native = corpus.load(path)["response"]["body"]
    body = orjson.dumps(native)
    codec = codec_for(OPENAI, GEMINI, "chat")
    reply = codec.reply(call_of({"model": "m"}), {}, body)
    answer = json.loads(reply.body)
    stated = native.get("usageMetadata") or {}
    if stated.get("totalTokenCount") and isinstance(stated.get("promptTokenCount"), int):
        assert reply.usage.total == stated["totalTokenCount"] == answer["usage"]["total_tokens"]
    for choice in answer["choices"]:
        assert choice["finish_reason"] in ("stop", "length", "tool_calls", "content_filter")
    passed = codec_for(GEMINI, GEMINI, "generate").reply(native_call(), {}, body)
    assert passed.body is body
    assert (passed.usage, passed.useful) == (reply.usage, reply.useful)


# -- OpenAI's own traffic ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OPENAI_STREAMS, ids=ids(OPENAI_STREAMS))
def test_an_openai_stream_passes_byte_for_byte(path: Path) -> None:
    exchange = corpus.load(path)
    end = b"\n\n"
    wire = b"".join(b"data: " + data.encode() + end for data in exchange["response"]["sse"])
    operation = "chat" if "chat" in (exchange["request"] or {}).get("path", "chat") else "raw"
    stated = [u for data in exchange["response"]["sse"] if data != "[DONE]" and (u := json.loads(data).get("usage"))]
    for size in (*SIZES, len(wire)):
        headers = {"content-type": "text/event-stream"}
        reader = codec_for(OPENAI, OPENAI, operation).reader(call_of({}, operation=operation), headers)
        out = b"".join(reader.feed(piece) for piece in corpus.split(wire, size))
        assert out + reader.end() == wire
        assert reader.useful
        assert reader.finished
        if stated:
            assert reader.usage.total == stated[-1]["total_tokens"]


OPENAI_UNARY = [
    path
    for kind in ("openai", "gemini_openai_compat")
    for path in corpus.files(kind)
    if isinstance(corpus.load(path)["response"].get("body"), dict)
    and "choices" in corpus.load(path)["response"]["body"]
]


@pytest.mark.parametrize("path", OPENAI_UNARY, ids=ids(OPENAI_UNARY))
def test_an_openai_answer_passes_untouched(path: Path) -> None:
    answer = corpus.load(path)["response"]["body"]
    body = orjson.dumps(answer)
    reply = codec_for(OPENAI, OPENAI, "chat").reply(call_of(), {}, body)
    assert reply.body is body
    assert reply.useful
    assert reply.usage.total == answer["usage"]["total_tokens"]


# -- what Google itself answers on its OpenAI layer ----------------------------------------------------------

COMPAT = [path for path in corpus.files("gemini_openai_compat") if "embeddings" not in path.stem]
GOOGLES_OWN = {"thought_signature", "thought"}
"""Doubles of extra_content, which OpenAI does not know."""


@pytest.mark.parametrize("path", COMPAT, ids=ids(COMPAT))
def test_our_answers_have_every_member_that_googles_have(path: Path) -> None:
    theirs = corpus.load(path)["response"]
    parts = [{"text": "a"}, {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}]
    native = {
        "candidates": [
            {"content": {"parts": [*parts, {"text": "", "thoughtSignature": "c2ln"}]}, "finishReason": "STOP"}
        ]
    }
    call = call_of({"model": "m", "stream": "sse" in theirs, "stream_options": {"include_usage": True}})
    codec = codec_for(OPENAI, GEMINI, "chat")
    if "sse" in theirs:
        reader = codec.reader(call, {})
        out = reader.feed(sse.encode(orjson.dumps(native))) + reader.end()
        ours = [json.loads(event.data) for event in sse.events(out.removesuffix(sse.DONE))]
        recorded: Any = [json.loads(data) for data in theirs["sse"] if data != "[DONE]"]
    else:
        ours, recorded = json.loads(codec.reply(call, {}, orjson.dumps(native)).body), theirs["body"]
    assert _members(recorded) - _members(ours) <= set()


def _members(document: Any, path: str = "") -> set[str]:
    if isinstance(document, list):
        return {member for one in document for member in _members(one, path)}
    if not isinstance(document, dict):
        return set()
    own = {f"{path}.{name}" for name in document if not (name in GOOGLES_OWN and not path.endswith("google"))}
    own -= {f"{path}.{name}" for name in GOOGLES_OWN if name == "thought"}
    return own | {member for name, value in document.items() for member in _members(value, f"{path}.{name}")}


# -- errors --------------------------------------------------------------------------------------------------

ERRORS = corpus.files("errors")


@pytest.mark.parametrize("path", ERRORS, ids=ids(ERRORS))
@pytest.mark.parametrize("wrap", [False, True])
def test_an_upstream_error_keeps_status_and_message(path: Path, wrap: bool) -> None:
    recorded = corpus.load(path)
    whole = recorded["body"][0] if isinstance(recorded["body"], list) else recorded["body"]
    error = whole.get("error", whole)
    provider = OPENAI if recorded["provider"] == "openai" else GEMINI
    body = json.dumps([recorded["body"]] if wrap else recorded["body"], indent=2).encode()
    said = error_fields(body)
    assert said.message == error["message"]
    assert said.status == error.get("status", "")
    assert set(said.reasons) == {d["reason"] for d in error.get("details") or () if "reason" in d}
    fault = upstream_fault(provider, recorded["status"], recorded.get("headers") or {}, body)
    for dialect in (OPENAI, GEMINI):
        status, _, rendered = render_fault(dialect, fault)
        shown = json.loads(rendered)["error"]
        assert status == recorded["status"]
        assert shown["message"] == redact(error["message"])
        assert isinstance(shown["code"], int if dialect == GEMINI else str)
