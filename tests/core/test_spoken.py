"""Usage where the upstream told none, or not yet: estimated from what was handed out, and marked so."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from pool.core.calls import GEMINI, OPENAI, Call, StreamReader, Usage
from pool.core.dialects import codec_for
from pool.core.tokens import PICTURE_TOKENS, estimate_prompt

ASKED = {"model": "m", "messages": [{"role": "user", "content": "word " * 80}]}
NATIVE = {"contents": [{"role": "user", "parts": [{"text": "word " * 80}]}]}
TEXT = "The quick brown fox jumps over the lazy dog, again and again. " * 20
PICTURE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo" * 20_000}}


def openai_call(**over: Any) -> Call:
    return Call(**{"request_id": "r", "dialect": OPENAI, "operation": "chat", "model": "m", "stream": True,
                   "body": orjson.dumps(ASKED), "payload": ASKED} | over)  # fmt: skip


def native_call(operation: str = "stream_generate", alt: str = "sse") -> Call:
    return Call("r", GEMINI, operation, "m", True, orjson.dumps(NATIVE), query=(("alt", alt),))


def said(text: str, finish: str | None = None, **over: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "some-model", "choices": [choice], **over}


def native(text: str, **over: Any) -> dict[str, Any]:
    content = {"parts": [{"text": text}] if text else [], "role": "model"}
    return {"candidates": [{"content": content, "index": 0, **over}], "modelVersion": "gemini-9"}


def sse(*documents: Any) -> bytes:
    return b"".join(b"data: " + orjson.dumps(document) + b"\n\n" for document in documents)


def array(*documents: Any) -> bytes:
    return b"[" + b",\n".join(map(orjson.dumps, documents)) + b"]"


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def fed(reader: StreamReader, wire: bytes, size: int) -> StreamReader:
    for at in range(0, len(wire), size):
        reader.feed(wire[at : at + size])
    return reader


READERS = {
    "openai": (openai_call, OPENAI, said, sse),
    "gemini sse": (native_call, GEMINI, native, sse),
    "gemini array": (lambda: native_call(alt="json"), GEMINI, native, array),
    "converted": (openai_call, GEMINI, native, sse),
}


def reader_of(name: str) -> tuple[StreamReader, Call]:
    make_call, provider, _, _ = READERS[name]
    call = make_call()
    codec = codec_for(call.dialect, provider, call.operation)
    assert codec is not None
    return codec.reader(call, {}), call


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("spoken", [TEXT, "你好，世界。" * 150])
@pytest.mark.parametrize("size", [64, 1_000, 1_000_000])
def test_a_stream_without_usage_is_estimated_from_what_it_said(name: str, cut: bool, spoken: str, size: int) -> None:
    reader, call = reader_of(name)
    _, _, event, wire = READERS[name]
    documents = [event(text) for text in pieces(spoken, 30)]
    if not cut:
        end = {"finish_reason": "stop"} if event is said else {"finishReason": "STOP"}
        last = event("")
        (last["choices"] if event is said else last["candidates"])[0].update(end)
        documents.append(last)
    usage = fed(reader, wire(*documents), size).usage
    expected = len(spoken) / 4 if spoken.isascii() else 0.7 * len(spoken)
    assert usage.estimated
    assert usage.input == estimate_prompt(call) > 80
    assert 0.85 * expected <= usage.output <= 1.2 * expected


@pytest.mark.parametrize("size", [50, 10_000])
def test_events_of_a_token_each_count_as_tokens(size: int) -> None:
    reader, _ = reader_of("openai")
    fed(reader, sse(*(said(text) for text in pieces("ab" * 100, 2))), size)
    assert 90 <= reader.usage.output <= 105


def test_events_padded_to_one_size_are_counted_and_not_measured() -> None:
    reader, _ = reader_of("openai")
    fed(reader, sse(*(said("token", obfuscation="x" * (7 * n % 23)) for n in range(200))), 10_000)
    assert 190 <= reader.usage.output <= 220


@pytest.mark.parametrize("name", READERS)
def test_told_usage_is_not_estimated(name: str) -> None:
    reader, _ = reader_of(name)
    _, _, event, wire = READERS[name]
    told = {"prompt_tokens": 7, "completion_tokens": 3}
    counts = {"promptTokenCount": 7, "candidatesTokenCount": 3}
    last = (
        said("", "stop", usage=told) if event is said else native("", finishReason="STOP") | {"usageMetadata": counts}
    )
    assert fed(reader, wire(event("a"), event("b"), last), 100).usage == Usage(7, 3)


@pytest.mark.parametrize("name", ["gemini sse", "gemini array", "converted"])
def test_a_stream_cut_before_its_output_was_counted_keeps_the_prompts_count(name: str) -> None:
    reader, _ = reader_of(name)
    wire = READERS[name][3]
    counted = {"usageMetadata": {"promptTokenCount": 777, "totalTokenCount": 777}}
    usage = fed(reader, wire(*(native(text) | counted for text in pieces(TEXT, 60))), 500).usage
    assert (usage.input, usage.estimated) == (777, True)
    assert usage.output == pytest.approx(len(TEXT) / 4, rel=0.2)


@pytest.mark.parametrize("name", READERS)
def test_a_finished_stream_that_told_its_prompt_and_no_output_is_believed(name: str) -> None:
    reader, _ = reader_of(name)
    _, _, event, wire = READERS[name]
    told = {"usage": {"prompt_tokens": 9}} if event is said else {"usageMetadata": {"promptTokenCount": 9}}
    end = said("", "length") if event is said else native("", finishReason="MAX_TOKENS")
    assert fed(reader, wire(end | told), 100).usage == Usage(9, 0)


@pytest.mark.parametrize("name", ["gemini sse", "gemini array", "converted"])
def test_pictures_are_no_text(name: str) -> None:
    reader, _ = reader_of(name)
    wire = READERS[name][3]
    picture = {"candidates": [{"content": {"parts": [PICTURE]}, "index": 0}]}
    usage = fed(reader, wire(native("Here it is."), picture, picture), 5_000).usage
    assert usage.output <= 2 * PICTURE_TOKENS + 20


def test_thoughts_and_calls_are_counted_when_converted() -> None:
    reader, _ = reader_of("converted")
    thought = {"candidates": [{"content": {"parts": [{"text": "x" * 400, "thought": True}]}}]}
    call = {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": "x" * 400}}}]}}]}
    assert 200 <= fed(reader, sse(thought, call), 100).usage.output <= 215


def test_a_cut_answer_of_the_responses_api_is_estimated() -> None:
    body = orjson.dumps({"model": "m", "input": "word " * 80, "stream": True})
    call = openai_call(operation="raw", path="/responses", body=body, payload=None)
    codec = codec_for(OPENAI, OPENAI, "raw")
    assert codec is not None
    reader = codec.reader(call, {"content-type": "text/event-stream"})
    events = ({"type": "response.output_text.delta", "delta": text} for text in pieces(TEXT, 30))
    usage = fed(reader, sse(*events), 500).usage
    assert (usage.estimated, usage.input) == (True, estimate_prompt(call))
    assert usage.output == pytest.approx(len(TEXT) / 4, rel=0.2)


COMPLETION = {"choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("call", "provider", "answer", "output"),
    [
        (openai_call(stream=False), OPENAI, COMPLETION, len(TEXT) / 4),
        (openai_call(stream=False), OPENAI, COMPLETION | {"usage": {"total_tokens": 0}}, len(TEXT) / 4),
        (openai_call(stream=False), GEMINI, native(TEXT, finishReason="STOP"), len(TEXT) / 4),
        (native_call("generate"), GEMINI, native(TEXT, finishReason="STOP"), len(TEXT) / 4),
        (openai_call(operation="embeddings", payload={"input": "word " * 80}), OPENAI, {"data": []}, 0),
        (native_call("embed"), GEMINI, {"embedding": {"values": [0.5]}}, 0),
    ],
)
def test_a_whole_answer_without_usage_is_estimated(call: Call, provider: str, answer: Any, output: float) -> None:
    codec = codec_for(call.dialect, provider, call.operation)
    assert codec is not None
    usage = codec.reply(call, {}, orjson.dumps(answer)).usage
    assert usage.estimated
    assert usage.input == estimate_prompt(call) >= 100
    assert usage.output == pytest.approx(output, rel=0.05)


def test_counting_tokens_uses_none() -> None:
    codec = codec_for(GEMINI, GEMINI, "count_tokens")
    assert codec is not None
    assert codec.reply(native_call("count_tokens"), {}, b'{"totalTokens": 5}').usage == Usage()
