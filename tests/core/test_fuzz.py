"""Whatever JSON stands anywhere: clients get an answer or a 400, upstreams' nonsense is a `ValueError` or a failure."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pool.core.calls import GEMINI, OPENAI, Ask, Call, Codec, Reply, StreamReader, Usage
from pool.core.dialects import ConversionSettings, codec_for, error_fields, upstream_fault
from pool.core.dialects.counts import MOST_TOKENS
from pool.core.faults import Fault

MODELS = ("gemini-2.0-flash", "gemini-2.5-pro:search", "gemini-3-pro-preview", "gemma-3-27b-it")
CONVERSION = ConversionSettings(resolve=lambda url: ("image/png", b"png"))
SIGNED = {"google": {"thought_signature": "c2ln"}}
SCHEMA = {
    "type": "object",
    "$defs": {"one": {"type": ["string", "null"], "enum": ["a", None]}},
    "properties": {
        "a": {"$ref": "#/$defs/one", "description": "d"},
        "b": {"type": "array", "items": {"anyOf": [{"type": "integer", "exclusiveMinimum": 1}, {"const": 5}]}},
        "c": {"allOf": [{"properties": {"x": {"type": "string"}}, "required": ["x"]}, {"$ref": "#/$defs/one"}]},
        "d": {"type": "object", "additionalProperties": {"type": "number"}, "required": []},
        "e": {"prefixItems": [{"format": "date-time"}], "oneOf": []},
    },
    "required": ["a", "b"],
    "additionalProperties": False,
}
CHAT: dict[str, Any] = {
    "model": "gemini-2.5-flash",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,AA==", "format": "", "detail": ""},
                },
                {"type": "image_url", "image_url": {"url": "gs://b/a.png", "detail": "high"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
                {"type": "file", "file": {"file_data": "AA==", "filename": "a.pdf", "mime_type": ""}},
                {"type": "file", "file": {"file_id": "https://x.test/a", "format": "text/plain"}},
                {"type": "video_url", "video_url": {"url": "https://youtu.be/x"}},
            ],
        },
        {
            "role": "assistant",
            "content": "c",
            "refusal": "r",
            "images": [{"image_url": {"url": "https://x.test/a"}, "extra_content": SIGNED}],
            "extra_content": SIGNED,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": SIGNED},
                {"id": "2", "type": "function", "function": {"name": "g", "arguments": {}}},
            ],
        },
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "5"}]},
        {"role": "tool", "tool_call_id": "1", "content": "{}"},
        {"role": "assistant", "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": "x"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}},
        {"googleSearch": {}},
        {"functionDeclarations": [{"name": "g"}]},
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"function": {"name": "f"}}]}},
    "functions": [{"name": "h", "parameters": SCHEMA}],
    "function_call": "auto",
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    "stop": ["x"],
    "n": 1,
    "temperature": 0,
    "max_tokens": 5,
    "presence_penalty": 0.5,
    "modalities": ["text", "audio"],
    "audio": {"voice": "Kore"},
    "reasoning_effort": {"effort": "low"},
    "reasoning": {"effort": "low"},
    "generationConfig": {"top_k": 5, "thinking_config": {}},
    "extra_body": {"google": {"thinking_config": {"thinking_budget": 5}, "tools": [], "generation_config": {}}},
    "google": {"safety_settings": [], "cached_content": "c", "tool_config": {}},
    "safety_settings": [],
    "web_search_options": {},
    "stream_options": {"include_usage": True},
    "stream": True,
}
EMBEDDINGS: dict[str, Any] = {
    "model": "gemini-embedding-001",
    "input": ["a", ["b", "data:image/png;base64,AA=="], {"content": "c", "task_type": "t", "title": "t"}],
    "dimensions": 5,
    "encoding_format": "base64",
    "task_type": "t",
    "extra_body": {"google": {"task_type": "t"}},
    "stream": False,
}
BATCH: dict[str, Any] = {
    "model": "models/old",
    "generateContentRequest": {"model": "models/old"},
    "requests": [{"model": "models/old", "content": {"parts": [{"text": "a"}]}}],
}
ANSWER: dict[str, Any] = {
    "candidates": [
        {
            "index": 0,
            "content": {
                "role": "model",
                "parts": [
                    {"text": "t", "thought": True, "thoughtSignature": "c2ln"},
                    {"text": "ü"},
                    {"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": "c2ln"},
                    {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}},
                    {"fileData": {"fileUri": "u"}},
                    {"executableCode": {"language": "PYTHON", "code": "1"}},
                    {"codeExecutionResult": {"output": "1"}},
                    {"functionCall": {"name": "f", "args": {}, "id": "1"}},
                    {
                        "functionCall": {
                            "name": "g",
                            "partialArgs": [{"jsonPath": "$.a[1].b", "stringValue": "x", "willContinue": True}],
                            "willContinue": True,
                        }
                    },
                ],
            },
            "finishReason": "SAFETY",
            "finishMessage": "m",
            "logprobsResult": {
                "chosenCandidates": [{"token": "t", "logProbability": -1}],
                "topCandidates": [{"candidates": [{"token": "t"}]}],
            },
            "groundingMetadata": {
                "groundingChunks": [{"web": {"uri": "u", "title": "t"}}],
                "groundingSupports": [
                    {"segment": {"startIndex": 1, "endIndex": 2, "partIndex": 1}, "groundingChunkIndices": [0]}
                ],
            },
        }
    ],
    "promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "m"},
    "usageMetadata": {
        "promptTokenCount": 1,
        "candidatesTokenCount": 2,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 6,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
    },
    "modelVersion": "gemini-2.5-flash",
}
VECTORS: dict[str, Any] = {"embeddings": [{"values": [0.5, 1]}], "usageMetadata": {"promptTokenCount": 5}}
COMPLETION: dict[str, Any] = {
    "choices": [
        {
            "index": 0,
            "message": {"content": "c", "tool_calls": []},
            "delta": {"content": "c"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}},
}
TYPED = {"type": "response.completed", "response": {"usage": {"input_tokens": 1}}, "event_type": "interaction.start"}
ERROR = {"error": {"code": 429, "message": "m", "status": "s", "details": [{"reason": "R", "retryDelay": "5s"}]}}


def nested(kind: str, depth: int) -> Any:
    """Deeper than orjson writes (254), and as deep as it reads."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {kind: value}
    return value


WORDS = ["", "text", "$ref", "#", "#/$defs/one", "gs://[", "data:,", "data:x;base64,%", "1", "null", "object", "$.a"]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 2**63, 2**64 - 1, -(2**63), 1e300, 1e20, 0.5]),
    st.text(max_size=8),
    st.sampled_from([*WORDS, "9" * 5000, "$[" + "9" * 5000 + "]", "².s"]),
    st.builds(nested, st.sampled_from(["list", "a", "allOf", "properties", "text"]), st.sampled_from([70, 300, 1000])),
)
NAMES = st.sampled_from(["type", "name", "id", "text", "required", "properties", "anyOf", "error", "model", "index"])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a document could hold something else: every member and element, and a new one beside them."""
    if not isinstance(value, dict | list):
        return
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in members:
        yield (*above, step)
        yield from places(inner, (*above, step))


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The document with `value` at `place`."""
    if not place:
        return value
    whole = holder = copy.deepcopy(document)
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    return whole


def broken(document: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.builds(changed, st.just(document), st.sampled_from([(), *places(document)]), JSON)


def call_of(payload: Any, operation: str = "chat", /, **over: Any) -> Call:
    fields: dict[str, Any] = {
        "request_id": "r1",
        "dialect": OPENAI,
        "operation": operation,
        "model": "gemini-2.5-flash",
        "stream": isinstance(payload, dict) and payload.get("stream") is True,
        "body": orjson.dumps(payload) if not isinstance(payload, bytes) else payload,
        "payload": payload if isinstance(payload, dict) else None,
        "metered": True,
    }
    return Call(**(fields | over))


def codec(provider: str, operation: str, dialect: str = OPENAI) -> Codec:
    found = codec_for(dialect, provider, operation, CONVERSION)
    assert found is not None
    return found


def asks_or_refuses(carried: Codec, call: Call, model: str) -> None:
    try:
        assert isinstance(carried.ask(call, model), Ask)
    except Fault as fault:
        assert fault.status == 400
        assert fault.param


def body_of(payload: Any) -> bytes:
    """JSON, also where it is deeper than orjson writes."""
    try:
        return orjson.dumps(payload)
    except TypeError:
        return json.dumps(payload).encode()


MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(broken(CHAT), st.sampled_from(MODELS))
def test_any_json_anywhere_in_a_chat_request_is_carried_or_a_400(payload: Any, model: str) -> None:
    call = call_of(b"", payload=payload if isinstance(payload, dict) else None, body=body_of(payload), stream=True)
    asks_or_refuses(codec(GEMINI, "chat"), call, model)
    asks_or_refuses(codec(OPENAI, "chat"), call, model)
    codec(GEMINI, "chat").reader(call, {}).end()
    codec(OPENAI, "chat").reader(call, {}).end()


@MANY
@given(broken(EMBEDDINGS), broken(BATCH))
def test_any_json_anywhere_in_an_embeddings_request_is_carried_or_a_400(payload: Any, native: Any) -> None:
    fields = {"payload": payload if isinstance(payload, dict) else None, "body": body_of(payload)}
    call = call_of(b"", "embeddings", stream=True, **fields)
    asks_or_refuses(codec(GEMINI, "embeddings"), call, "gemini-embedding-001")
    asks_or_refuses(codec(OPENAI, "embeddings"), call, "other")
    batch = call_of(b"", "batch_embed", dialect=GEMINI, body=body_of(native))
    asks_or_refuses(codec(GEMINI, "batch_embed", GEMINI), batch, "renamed")


def replies_or_is_unreadable(carried: Codec, call: Call, body: bytes) -> None:
    with suppress(ValueError):
        reply = carried.reply(call, {}, body)
        assert isinstance(reply, Reply)
        assert countable(reply.usage)


def countable(usage: Usage) -> bool:
    figures = (usage.input, usage.output, usage.cached, usage.thinking)
    return all(type(figure) is int and 0 <= figure <= MOST_TOKENS for figure in figures)


@MANY
@given(broken(ANSWER), broken(VECTORS), broken(COMPLETION), broken(ERROR))
def test_any_json_as_an_answer_is_read_or_unreadable(native: Any, vectors: Any, made: Any, error: Any) -> None:
    for packed in ("float", "base64"):
        call = call_of({"input": "x", "encoding_format": packed}, "embeddings")
        replies_or_is_unreadable(codec(GEMINI, "embeddings"), call, body_of(vectors))
    replies_or_is_unreadable(codec(GEMINI, "chat"), call_of({}), body_of(native))
    replies_or_is_unreadable(codec(GEMINI, "generate", GEMINI), call_of({}, "generate"), body_of(native))
    replies_or_is_unreadable(codec(OPENAI, "chat"), call_of({}), body_of(made))
    error_fields(body_of(error))
    upstream_fault(GEMINI, 429, {"retry-after": str(made)[:3]}, body_of(error))


def readers() -> list[StreamReader]:
    generate = call_of({}, "stream_generate", dialect=GEMINI)
    sse = call_of({}, "stream_generate", dialect=GEMINI, query=(("alt", "sse"),))
    usage = call_of({"stream_options": {"include_usage": True}})
    return [
        codec(GEMINI, "chat").reader(usage, {}),
        codec(OPENAI, "chat").reader(call_of({"n": 2}), {}),
        codec(OPENAI, "raw").reader(call_of({}), {}),
        codec(GEMINI, "embeddings").reader(call_of({"input": "x"}, "embeddings"), {}),
        codec(GEMINI, "stream_generate", GEMINI).reader(generate, {}),
        codec(GEMINI, "stream_generate", GEMINI).reader(sse, {}),
        codec(GEMINI, "raw", GEMINI).reader(call_of({}, "raw", dialect=GEMINI), {"content-type": "text/event-stream"}),
    ]


FRAMES = [b"data: %b\n\n", b"data: %b", b"%b\n\n", b"[%b,", b"%b]", b"data: %b\r\n\r\n", b"%b"]
DOCUMENTS = broken(ANSWER) | broken(VECTORS) | broken(COMPLETION) | broken(TYPED) | broken(ERROR) | JSON
PIECES = st.lists(
    st.binary(max_size=40) | st.builds(lambda frame, doc: frame % body_of(doc), st.sampled_from(FRAMES), DOCUMENTS),
    max_size=4,
)


@MANY
@given(PIECES)
def test_any_bytes_in_a_stream_are_read_or_a_failure(pieces: list[bytes]) -> None:
    for reader in readers():
        for piece in pieces:
            assert isinstance(reader.feed(piece), bytes)
        assert isinstance(reader.end(), bytes)
        assert countable(reader.usage)


# -- what fuzzing and callers found ------------------------------------------------------------------------

IMAGE = ("messages", 1, "content", 1, "image_url")
CALLED = ("messages", 2, "tool_calls", 0)
PARAMETERS = ("tools", 0, "function", "parameters")
WHERE = "tools[0].function.parameters"


@pytest.mark.parametrize(
    ("place", "value", "param"),
    [
        ((*CALLED, "id"), ["1"], "messages[2].tool_calls[0].id"),
        ((*CALLED, "id"), {}, "messages[2].tool_calls[0].id"),
        (("messages", 3, "tool_call_id"), {"a": 1}, "messages[3].tool_call_id"),
        ((*IMAGE, "format"), 5, "messages[1].content[1].image_url.format"),
        (("messages", 1, "content", 3, "input_audio", "format"), ["mp3"], "messages[1].content[3].input_audio.format"),
        (("messages", 1, "content", 4, "file", "mime_type"), {"a": 1}, "messages[1].content[4].file.mime_type"),
        (("messages", 1, "content", 2, "image_url", "url"), "gs://[", "messages[1].content[2].image_url.url"),
        ((*PARAMETERS, "required"), True, WHERE),
        ((*PARAMETERS, "required"), [["a"]], WHERE),
        ((*PARAMETERS, "properties", "c", "allOf", 0, "required"), 5, WHERE),
        ((*PARAMETERS, "properties", "c", "allOf", 0, "properties"), ["x"], WHERE),
        (("tools", 2, "functionDeclarations", 0), 5, "tools[2].functionDeclarations[0]"),
        (("messages", 0, "role"), nested("list", 1000), "messages[0].role"),
        (("messages", 1, "content", 0, "type"), nested("list", 1000), "messages[1].content[0].type"),
        (("tools", 3, "type"), nested("list", 1000), "tools[3].type"),
        ((*CALLED, "function", "arguments"), "[" * 300 + "]" * 300, "messages[2].tool_calls[0].function.arguments"),
        ((*CALLED, "function", "arguments"), '{"a":' * 300 + "1" + "}" * 300, "body"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(place: tuple[Any, ...], value: Any, param: str) -> None:
    payload = changed(CHAT, place, value)
    with pytest.raises(Fault) as raised:
        codec(GEMINI, "chat").ask(call_of(b"", payload=payload), "gemini-2.5-flash")
    assert (raised.value.status, raised.value.param) == (400, param)


def test_an_image_detail_of_any_kind_is_ignored() -> None:
    plain = codec(GEMINI, "chat").ask(call_of(changed(CHAT, (*IMAGE, "detail"), None)), "gemini-3-pro-preview")
    strange = codec(GEMINI, "chat").ask(call_of(changed(CHAT, (*IMAGE, "detail"), ["low"])), "gemini-3-pro-preview")
    assert strange == plain


def test_a_native_body_that_is_no_object_is_refused_where_its_model_was_renamed() -> None:
    for body in (b'["model"]', b'{"model"'):
        call = call_of(body, "generate", dialect=GEMINI)
        with pytest.raises(Fault) as raised:
            codec(GEMINI, "generate", GEMINI).ask(call, "renamed")
        assert (raised.value.status, raised.value.param) == (400, "body")


@pytest.mark.parametrize(
    ("stated", "read"),
    [(-5, 0), ("5", 0), (True, 0), (None, 0), (10**30, MOST_TOKENS), (2**63, MOST_TOKENS), (7.0, 7), (7, 7)],
)
def test_a_count_stays_within_what_can_be_counted(stated: Any, read: int) -> None:
    said = b'{"candidates":[],"usageMetadata":{"promptTokenCount":%b}}' % str_of(stated)
    assert codec(GEMINI, "chat").reply(call_of({}), {}, said).usage.input == read
    assert codec(GEMINI, "generate", GEMINI).reply(call_of({}, "generate"), {}, said).usage.input == read
    said = b'{"choices":[],"usage":{"prompt_tokens":%b}}' % str_of(stated)
    assert codec(OPENAI, "chat").reply(call_of({}), {}, said).usage.input == read


def str_of(value: Any) -> bytes:
    return str(value).encode() if type(value) is int else orjson.dumps(value)


def test_embeddings_read_as_a_stream_come_out_whole() -> None:
    call = call_of({"input": "x"}, "embeddings")
    body = orjson.dumps(VECTORS)
    reader = codec(GEMINI, "embeddings").reader(call, {})
    assert [reader.feed(body[:30]), reader.useful, reader.finished] == [b"", False, False]
    assert reader.feed(body[30:]) + reader.end() == codec(GEMINI, "embeddings").reply(call, {}, body).body
    assert (reader.useful, reader.finished, reader.usage.input) == (True, True, 5)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ({"candidates": [], "modelVersion": "odd%20n%C3%A4me%2B"}, "odd näme+"),
        ({"candidates": [], "modelVersion": 5}, "odd näme+"),
        ({"candidates": []}, "odd näme+"),
        ({"candidates": [], "modelVersion": "models/gemini-2.5-flash-001"}, "gemini-2.5-flash-001"),
    ],
)
def test_an_answer_names_its_model_as_people_write_it(answer: dict[str, Any], name: str) -> None:
    call = call_of({}, model="odd näme+")
    assert orjson.loads(codec(GEMINI, "chat").reply(call, {}, orjson.dumps(answer)).body)["model"] == name
    streamed = codec(GEMINI, "chat").reader(call, {})
    said = streamed.feed(b"data: " + orjson.dumps(answer) + b"\n\n") + streamed.end()
    assert orjson.loads(said.split(b"\n\n")[0][6:])["model"] == name


@pytest.mark.parametrize("delay", ["1.2.3s", "9" * 400 + "s", ".s"])
def test_a_retry_delay_nobody_could_wait_is_none(delay: str) -> None:
    body = orjson.dumps({"error": {"message": "m", "details": [{"retryDelay": delay}]}})
    assert upstream_fault(GEMINI, 429, {"retry-after": "²"}, body).retry_after_s is None
