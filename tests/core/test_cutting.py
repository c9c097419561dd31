"""Requests that Gemini takes only in parts, and the one answer that comes of them."""

from __future__ import annotations

import base64
from array import array
from typing import Any

import orjson
import pytest

from pool.core.calls import GEMINI, OPENAI, Call, Usage
from pool.core.dialects import ConversionSettings, codec_for
from pool.core.dialects.cutting import joined, parts_of
from pool.core.faults import Fault


def call_of(operation: str, payload: dict[str, Any], **over: Any) -> Call:
    fields = {"stream": bool(payload.get("stream")), "body": orjson.dumps(payload), "payload": payload}
    return Call(**({"request_id": "r1", "dialect": OPENAI, "operation": operation, "model": "m"} | fields | over))


def embedded(count: int, first: int = 0, **over: Any) -> bytes:
    return orjson.dumps({"embeddings": [{"values": [float(first + n), 0.5]} for n in range(count)], **over})


@pytest.mark.parametrize(("inputs", "sizes"), [(1, [1]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])])
def test_inputs_beyond_googles_hundred_are_asked_for_in_turn(inputs: int, sizes: list[int]) -> None:
    codec = codec_for(OPENAI, GEMINI, "embeddings")
    call = call_of("embeddings", {"model": "m", "input": [f"text {n}" for n in range(inputs)], "dimensions": 2})
    parts = parts_of(codec, call, "gemini-embedding-001")
    assert (parts[0] is call) == (len(sizes) == 1)
    asked = [orjson.loads(codec.ask(part, "gemini-embedding-001").body)["requests"] for part in parts]
    assert [len(requests) for requests in asked] == sizes
    texts = [request["content"]["parts"][0]["text"] for requests in asked for request in requests]
    assert texts == [f"text {n}" for n in range(inputs)]
    assert all(request["outputDimensionality"] == 2 for requests in asked for request in requests)


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_the_vectors_of_all_parts_come_back_in_one_list(encoding: str) -> None:
    codec = codec_for(OPENAI, GEMINI, "embeddings")
    call = call_of("embeddings", {"model": "m", "input": ["x"] * 201, "encoding_format": encoding})
    parts = parts_of(codec, call, "m")
    told = [{"usageMetadata": {"promptTokenCount": 100}}, {"usageMetadata": {"promptTokenCount": 100}}, {}]
    replies = [
        codec.reply(part, {}, embedded(len(part.payload["input"]), 100 * place, **told[place]))
        for place, part in enumerate(parts)
    ]
    whole = joined(codec, call, replies)
    answer = orjson.loads(whole.body)
    assert [item["index"] for item in answer["data"]] == list(range(201))
    vectors = [item["embedding"] for item in answer["data"]]
    if encoding == "base64":
        vectors = [array("f", base64.b64decode(vector)).tolist() for vector in vectors]
    assert vectors == [[float(n), 0.5] for n in range(201)]
    assert whole.usage == Usage(201, estimated=True)
    assert answer["usage"] == {"prompt_tokens": 201, "total_tokens": 201}


def test_what_is_wrong_with_a_late_input_is_told_before_any_is_asked_for() -> None:
    call = call_of("embeddings", {"model": "m", "input": ["x"] * 150 + [[1, 2]]})
    with pytest.raises(Fault) as raised:
        parts_of(codec_for(OPENAI, GEMINI, "embeddings"), call, "m")
    assert (raised.value.status, raised.value.param) == (400, "input[150]")


@pytest.mark.parametrize("answered", [1, 3])
def test_an_answer_with_too_few_or_too_many_vectors_cannot_be_read(answered: int) -> None:
    call = call_of("embeddings", {"model": "m", "input": ["a", "b"]})
    with pytest.raises(ValueError, match="shape"):
        codec_for(OPENAI, GEMINI, "embeddings").reply(call, {}, embedded(answered))


@pytest.mark.parametrize(
    ("model", "n", "stream", "asked"),
    [
        ("gemini-3-pro-preview", 3, False, 3),
        ("gemini-3-pro-preview", 1, False, 1),
        ("gemini-3-pro-preview", None, False, 1),
        ("gemini-3-pro-preview", 9, False, 1),
        ("gemini-3-pro-preview", "3", False, 1),
        ("gemini-3-pro-preview", 3, True, 1),
        ("gemini-2.5-flash", 3, False, 1),
    ],
)
def test_choices_are_asked_for_one_by_one_where_a_model_gives_one(model: str, n: Any, stream: bool, asked: int) -> None:
    codec = codec_for(OPENAI, GEMINI, "chat")
    payload = {"model": model, "messages": [{"role": "user", "content": "x"}], "n": n, "stream": stream}
    parts = parts_of(codec, call_of("chat", payload), model)
    assert len(parts) == asked
    if asked > 1:
        bodies = {codec.ask(part, model).body for part in parts}
        assert len(bodies) == 1
        assert b"candidateCount" not in bodies.pop()


def test_choices_asked_for_one_by_one_are_one_answer() -> None:
    codec = codec_for(OPENAI, GEMINI, "chat")
    payload = {"model": "gemini-3-pro-preview", "messages": [{"role": "user", "content": "x"}], "n": 2}
    call = call_of("chat", payload)
    native = {
        "candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
    }
    parts = parts_of(codec, call, "gemini-3-pro-preview")
    whole = joined(codec, call, [codec.reply(part, {}, orjson.dumps(native)) for part in parts])
    answer = orjson.loads(whole.body)
    assert answer["id"] == "chatcmpl-r1"
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    ids = [choice["message"]["tool_calls"][0]["id"] for choice in answer["choices"]]
    assert len(set(ids)) == 2
    assert whole.usage == Usage(10, 4)
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["total_tokens"]) == (10, 14)
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0, "audio_tokens": 0}
    assert whole.useful


def test_models_that_cannot_stream_are_cut_alike() -> None:
    codec = codec_for(OPENAI, GEMINI, "chat", ConversionSettings(fake_streams=True))
    payload = {"model": "gemini-3-pro-preview", "messages": [{"role": "user", "content": "x"}], "n": 2}
    assert len(parts_of(codec, call_of("chat", payload), "gemini-3-pro-preview")) == 2
    streamed = call_of("chat", payload | {"stream": True})
    assert parts_of(codec, streamed, "gemini-3-pro-preview") == (streamed,)


def test_what_needs_no_cutting_stays_the_call_it_was() -> None:
    call = call_of("chat", {"model": "gpt-4o", "messages": [], "n": 3})
    codec = codec_for(OPENAI, OPENAI, "chat")
    assert parts_of(codec, call, "gpt-4o") == (call,)
