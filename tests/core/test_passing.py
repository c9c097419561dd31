"""Streams and bodies whose dialect stays the same."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.calls import GEMINI, OPENAI, Call, StreamReader, Usage
from pool.core.dialects import codec_for
from pool.core.dialects.gemini.arrays import ElementCutter, element_json
from pool.core.dialects.passing import passed_back
from pool.core.faults import Fault

from .corpus import split


def call_of(payload: dict[str, Any] | None = None, body: bytes | None = None, **over: Any) -> Call:
    fields: dict[str, Any] = {
        "request_id": "r1",
        "dialect": OPENAI,
        "operation": "chat",
        "model": (payload or {}).get("model", "m"),
        "stream": True,
        "body": orjson.dumps(payload or {}) if body is None else body,
        "payload": payload,
    }
    return Call(**(fields | over))


def openai_reader(**over: Any) -> StreamReader:
    return codec_for(OPENAI, OPENAI, "chat").reader(call_of(over), {})


def gemini_reader(query: tuple[tuple[str, str], ...] = (("alt", "sse"),)) -> StreamReader:
    call = call_of({}, dialect=GEMINI, operation="stream_generate", query=query)
    return codec_for(GEMINI, GEMINI, "stream_generate").reader(call, {})


def chat_reader() -> StreamReader:
    return codec_for(OPENAI, GEMINI, "chat").reader(call_of({}), {})


def event(document: Any, end: bytes = b"\n\n") -> bytes:
    return b"data: " + orjson.dumps(document) + end


def chunk(delta: dict[str, Any], finish: str | None = None, **over: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **over}


def native(*parts: dict[str, Any], **over: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, **over}]}


ROLE = event(chunk({"role": "assistant", "content": ""}))
WORD = event(chunk({"content": "hi"}))
STOP = event(chunk({}, "stop"))
DONE = b"data: [DONE]\n\n"

# -- OpenAI ------------------------------------------------------------------------------------------------


def test_role_and_usage_commit_nothing_and_text_does() -> None:
    reader = openai_reader()
    assert reader.feed(ROLE) == ROLE
    assert reader.feed(event({"choices": [], "usage": {"prompt_tokens": 3}}))
    assert not reader.useful
    assert reader.feed(WORD) == WORD
    assert reader.useful
    assert not reader.finished


@pytest.mark.parametrize(
    ("delta", "finish", "useful"),
    [
        ({"content": ""}, None, False),
        ({"content": None, "refusal": None}, None, False),
        ({"reasoning_content": "hm"}, None, True),
        ({"tool_calls": [{"index": 0}]}, None, True),
        ({"refusal": "no"}, None, True),
        ({"audio": {"data": "AA=="}}, None, True),
        ({}, "stop", False),
        ({}, "length", True),
        ({}, "content_filter", True),
    ],
)
def test_what_commits_a_chat_stream(delta: dict[str, Any], finish: str | None, useful: bool) -> None:
    reader = openai_reader()
    reader.feed(event(chunk(delta, finish)))
    assert reader.useful is useful


def test_comments_of_the_upstream_stay_behind_and_blank_lines_do_not() -> None:
    reader = openai_reader()
    assert reader.feed(b": OPENROUTER PROCESSING\n\n") == b""
    assert reader.feed(b"\n\n") == b"\n\n"
    assert reader.feed(WORD + b": ping\n\n" + WORD) == WORD + WORD
    assert reader.feed(b": ping\n" + STOP) == STOP


def test_a_missing_done_is_added_once() -> None:
    reader = openai_reader()
    reader.feed(WORD + STOP)
    assert reader.finished
    assert reader.end() == DONE
    reader = openai_reader()
    assert reader.feed(WORD + STOP + DONE).count(DONE) == 1
    assert reader.end() == b""


@pytest.mark.parametrize("tail", [b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n"])
def test_a_last_event_without_its_blank_line_counts(tail: bytes) -> None:
    reader = openai_reader()
    reader.feed(WORD)
    assert reader.feed(tail) == b""
    assert reader.finished
    assert reader.end() == DONE


def test_a_cut_stream_is_not_finished() -> None:
    reader = openai_reader()
    reader.feed(WORD + STOP[:20])
    assert not reader.finished


def test_finish_and_usage_are_seen_after_the_commit_point_whatever_the_spacing() -> None:
    for spaced in (False, True):
        reader = openai_reader()
        for one in (WORD, WORD, event(chunk({}, "stop", usage={"prompt_tokens": 5, "completion_tokens": 2}))):
            reader.feed(one.replace(b'":', b'": ') if spaced else one)
        assert reader.finished
        assert reader.usage == Usage(5, 2)


def test_two_choices_finish_when_both_did() -> None:
    reader = openai_reader(n=2)
    other = event({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]})
    reader.feed(WORD + other + STOP)
    assert not reader.finished
    reader.feed(event({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}))
    assert reader.finished


def test_googles_openai_layer_hides_thoughts_in_the_total() -> None:
    reader = openai_reader()
    stated = {"prompt_tokens": 2, "completion_tokens": 18, "total_tokens": 1258}
    reader.feed(event(chunk({"content": "x"}, "stop", usage=stated)))
    assert reader.usage == Usage(2, 1256, 0, 1238)


def test_usage_asked_for_by_us_is_taken_out_again() -> None:
    call = call_of({"model": "m", "stream": True}, metered=True)
    codec = codec_for(OPENAI, OPENAI, "chat")
    assert orjson.loads(codec.ask(call, "m").body)["stream_options"] == {"include_usage": True}
    reader = codec.reader(call, {})
    usage = event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
    assert reader.feed(WORD + STOP + usage + DONE) == WORD + STOP + DONE
    assert reader.usage == Usage(5, 1)
    asked = call_of({"model": "m", "stream_options": {"include_usage": True}}, metered=True)
    assert codec.ask(asked, "m").body is asked.body
    assert codec.reader(asked, {}).feed(WORD + usage) == WORD + usage


@pytest.mark.parametrize("colon", [b":", b": "])
def test_a_renamed_model_changes_nothing_else(colon: bytes) -> None:
    body = b'{"messages": [{"role":"user","content":"\\"model\\":\\"m\\" 1.0"}], "model"' + colon + b'"m", "seed":1.50}'
    ask = codec_for(OPENAI, OPENAI, "chat").ask(call_of(orjson.loads(body), body), "other")
    assert ask.body == body.replace(b'"model"' + colon + b'"m"', b'"model"' + colon + b'"other"')
    assert ask.path == "/chat/completions"


def test_the_same_model_sends_the_very_bytes() -> None:
    call = call_of({"model": "m"})
    assert codec_for(OPENAI, OPENAI, "chat").ask(call, "m").body is call.body


def test_two_places_that_name_a_model_are_told_apart() -> None:
    body = b'{"metadata":{"model":"m"},"model":"m"}'
    ask = codec_for(OPENAI, OPENAI, "chat").ask(call_of(orjson.loads(body), body), "other")
    assert orjson.loads(ask.body) == {"metadata": {"model": "m"}, "model": "other"}


@pytest.mark.parametrize("body", [b"<html>", b"", b'{"choices":[', b"[]", b'{"error":{"message":"x"}}', b'{"a":1}'])
def test_what_is_no_answer_is_not_passed_as_one(body: bytes) -> None:
    with pytest.raises(ValueError):
        codec_for(OPENAI, OPENAI, "chat").reply(call_of(), {}, body)
    with pytest.raises(ValueError):
        codec_for(OPENAI, GEMINI, "chat").reply(call_of(), {}, body)


def test_an_empty_answer_is_not_useful() -> None:
    codec = codec_for(OPENAI, OPENAI, "chat")
    for message, useful in (({"role": "assistant", "content": ""}, False), ({"content": "x"}, True)):
        body = orjson.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})
        assert codec.reply(call_of(), {}, body).useful is useful


def test_a_raw_stream_of_the_responses_api_finishes_with_its_last_event() -> None:
    call = call_of(operation="raw", path="/responses")
    reader = codec_for(OPENAI, OPENAI, "raw").reader(call, {"content-type": "text/event-stream"})
    reader.feed(b'event: response.created\ndata: {"type":"response.created","response":{}}\n\n')
    assert not reader.useful
    delta = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n'
    assert reader.feed(delta) == delta
    assert reader.useful
    stated = {"input_tokens": 4, "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 2}}
    reader.feed(event({"type": "response.completed", "response": {"usage": stated}}))
    assert reader.finished
    assert reader.usage == Usage(4, 6, 0, 2)
    assert reader.end() == b""


def test_raw_bytes_pass_and_raw_headers_are_an_allow_list() -> None:
    headers = (("Authorization", "Bearer x"), ("Cookie", "a"), ("Content-Type", "audio/wav"), ("X-Forwarded-For", "1"))
    call = call_of(body=b"\x00\xff", operation="raw", path="/audio", headers=headers, query=(("key", "x"), ("a", "b")))
    codec = codec_for(OPENAI, OPENAI, "raw")
    ask = codec.ask(call, "m")
    assert (ask.body, ask.headers, ask.query) == (b"\x00\xff", (("Content-Type", "audio/wav"),), (("a", "b"),))
    reader = codec.reader(call, {"content-type": "audio/mpeg"})
    assert reader.feed(b"\n\n\x00") == b"\n\n\x00"
    assert reader.useful
    assert reader.finished


# -- Gemini ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "useful"),
    [
        (native({"text": ""}), False),
        (native({"text": "", "thoughtSignature": "c2ln"}), False),
        ({"usageMetadata": {"promptTokenCount": 1}}, False),
        (native({"text": "x"}), True),
        (native({"text": "x", "thought": True}), True),
        (native({"functionCall": {"name": "f"}}), True),
        (native({"inlineData": {"mimeType": "image/png", "data": "AA=="}}), True),
        (native({"executableCode": {"code": "1"}}), True),
        (native(groundingMetadata={"webSearchQueries": ["x"]}), True),
        (native(finishReason="STOP"), False),
        (native(finishReason="MAX_TOKENS"), True),
        (native(finishReason=3), True),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, True),
    ],
)
def test_what_commits_a_gemini_stream(document: dict[str, Any], useful: bool) -> None:
    for reader in (gemini_reader(), chat_reader()):
        reader.feed(event(document, b"\r\n\r\n"))
        assert reader.useful is useful


def test_text_after_stop_is_read_and_usage_is_the_last_value_of_each_count() -> None:
    first = event(native({"text": "a"}) | {"usageMetadata": {"promptTokenCount": 3, "thoughtsTokenCount": 4}})
    second = event(native({"text": "b"}) | {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5}})
    stop = event(native(finishReason="STOP"))
    last = event(native({"text": "c"}) | {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2}})
    for reader in (gemini_reader(), chat_reader()):
        for one in (first, first, second, stop, last):
            reader.feed(one)
        assert reader.finished
        assert reader.usage == Usage(9, 6, 0, 4)


def test_a_native_call_keeps_its_query_but_no_credential() -> None:
    query = (("key", "k"), ("apikey", "k"), ("alt", "sse"), ("x", "1"))
    call = call_of({}, dialect=GEMINI, operation="stream_generate", query=query, version="v1alpha")
    ask = codec_for(GEMINI, GEMINI, "stream_generate").ask(call, "models/gemini-2.5-pro")
    assert ask.path == "/models/gemini-2.5-pro:streamGenerateContent"
    assert (ask.query, ask.version) == ((("alt", "sse"), ("x", "1")), "v1alpha")


def test_tuned_models_have_a_folder_of_their_own() -> None:
    call = call_of({}, dialect=GEMINI, operation="generate")
    codec = codec_for(GEMINI, GEMINI, "generate")
    assert codec.ask(call, "tunedModels/mine").path == "/tunedModels/mine:generateContent"
    assert codec.ask(call, "a b?c#d").path == "/models/a%20b%3Fc%23d:generateContent"
    for name in ("", "..", "a/../b", "models/", "/etc"):
        with pytest.raises(Fault):
            codec.ask(call, name)


def test_a_renamed_model_is_renamed_inside_a_batch_too() -> None:
    payload = {"requests": [{"model": "models/alias", "content": {"parts": [{"text": "x"}]}}]}
    call = call_of(payload, dialect=GEMINI, operation="batch_embed", model="alias")
    codec = codec_for(GEMINI, GEMINI, "batch_embed")
    assert orjson.loads(codec.ask(call, "real").body)["requests"][0]["model"] == "models/real"
    assert codec.ask(call, "models/alias").body is call.body


def test_a_raw_stream_is_committed_by_its_first_event_that_says_something() -> None:
    call = call_of(dialect=GEMINI, operation="raw", path="/interactions")
    codec = codec_for(GEMINI, GEMINI, "raw")
    reader = codec.reader(call, {"content-type": "text/event-stream"})
    begun = b'event: interaction.created\ndata: {"event_type":"interaction.created"}\n\n'
    assert reader.feed(begun) == begun
    assert not reader.useful
    reader.feed(event({"event_type": "step.delta", "delta": {"text": "x"}}))
    assert (reader.useful, reader.finished) == (True, False)
    reader.feed(event({"event_type": "interaction.completed"}) + DONE)
    assert reader.finished
    assert reader.end() == b""
    unknown = codec.reader(call, {"content-type": "text/event-stream"})
    unknown.feed(event({"anything": 1}))
    assert (unknown.useful, unknown.finished) == (True, True)


# -- errors inside a 200 stream ------------------------------------------------------------------------------

ERROR = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}
BARE = orjson.dumps({"error": ERROR}, option=orjson.OPT_INDENT_2) + b"\n"


@pytest.mark.parametrize("size", [1, 5, 4096])
@pytest.mark.parametrize("before", [b"", event(native({"text": "a"}), b"\r\n\r\n")])
@pytest.mark.parametrize("error", [BARE, b"[" + BARE + b"]\n", b"data: " + BARE.replace(b"\n", b"") + b"\r\n\r\n"])
def test_an_error_is_found_with_and_without_data(error: bytes, before: bytes, size: int) -> None:
    for reader in (gemini_reader(), chat_reader()):
        out = b"".join(reader.feed(piece) for piece in split(before + error, size))
        assert orjson.loads(reader.failure or b"")["error"]["code"] == 503
        assert b"overloaded" not in out
        assert bool(out) == bool(before)
        assert reader.feed(b"data: {}\n\n") == b""
        assert reader.end() == b""


def test_an_error_event_ends_an_openai_stream() -> None:
    reader = openai_reader()
    error = event({"error": {"message": "busy", "code": "server_error"}})
    assert reader.feed(WORD + error + WORD) == WORD
    assert orjson.loads(reader.failure or b"") == {"error": {"message": "busy", "code": "server_error"}}
    reader = openai_reader()
    reader.feed(event({"error": "plain words"}))
    assert reader.failure


def test_the_word_error_in_an_answer_is_no_error() -> None:
    reader = openai_reader()
    said = (
        event(chunk({"content": '"error"'})) + event(chunk({"content": "error"})) + event(chunk({"content": "[DONE]"}))
    )
    assert reader.feed(WORD) + reader.feed(said) == WORD + said
    assert (reader.failure, reader.finished) == (None, False)


def test_html_in_a_stream_is_a_failure_not_an_answer() -> None:
    for reader in (openai_reader(), gemini_reader(), chat_reader()):
        reader.feed(b"data: <html>oops</html>\n\n")
        assert reader.failure
        assert not reader.useful


def test_the_error_element_of_an_array_stays_behind() -> None:
    reader = gemini_reader(query=())
    first = b"[" + orjson.dumps(native({"text": "a"}))
    assert reader.feed(first) == first
    assert reader.feed(b",\r\n" + BARE + b"]") == b""
    assert reader.failure


# -- arrays ------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.text(st.sampled_from('{}[]",\\ aé'), max_size=8) | st.integers(-9, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=5), st.integers(1, 20))
def test_any_split_of_an_array_gives_its_objects(objects: list[Any], size: int) -> None:
    wire = b"[" + b",\r\n".join(orjson.dumps(one, option=orjson.OPT_INDENT_2) for one in objects) + b"\n]\n"
    cutter = ElementCutter()
    raw = [element for piece in split(wire, size) for element in cutter.feed(piece)]
    assert [orjson.loads(element_json(one)) for one in raw] == objects
    assert b"".join(raw) + cutter.end() == wire


# -- upstreams gone mad --------------------------------------------------------------------------------------

NAMES = [
    "choices",
    "delta",
    "candidates",
    "content",
    "parts",
    "text",
    "functionCall",
    "usageMetadata",
    "usage",
    "index",
]
NAMES += ["finishReason", "finish_reason", "groundingMetadata", "promptFeedback", "type", "response", "message", "args"]
MAD = st.recursive(
    st.none() | st.integers(-1, 3) | st.sampled_from(["", "x", "STOP"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), MAD, max_size=4), max_size=3))
def test_no_shape_of_answer_breaks_a_reader(documents: list[Any]) -> None:
    for reader in (openai_reader(), gemini_reader(), chat_reader()):
        for document in documents:
            reader.feed(event(document))
        assert reader.usage is not None
        reader.end()
    array = gemini_reader(query=())
    array.feed(orjson.dumps(documents))
    array.end()


@given(st.dictionaries(st.sampled_from(NAMES), MAD, max_size=4))
def test_no_shape_of_answer_breaks_a_codec(document: dict[str, Any]) -> None:
    body = orjson.dumps(document)
    native_call = call_of({}, dialect=GEMINI, operation="generate")
    for call, provider in ((call_of({}), OPENAI), (call_of({}), GEMINI), (native_call, GEMINI)):
        with suppress(ValueError):
            codec_for(call.dialect, provider, call.operation).reply(call, {}, body)


@pytest.mark.parametrize("make", [openai_reader, gemini_reader])
@pytest.mark.parametrize("every", [1, 2, 3, 99])
def test_what_is_written_at_once_is_what_would_be_fed(make: Any, every: int) -> None:
    words = ["hi", "there", 'a "quoted" one', "größer", "\n", "x" * 9000, "ok", "so"]
    if make is openai_reader:
        blocks = [ROLE, *(event(chunk({"content": word})) for word in words), STOP, DONE]
    else:
        blocks = [*(event(native({"text": word})) for word in words), event(native({"text": "."}, finishReason="STOP"))]
    fed, tried = make(), make()
    written: list[bytes] = []
    out, tries = [], 0

    def write(piece: bytes) -> bool:
        nonlocal tries
        tries += 1
        if tries % every:
            return False
        written.append(piece)
        out.append(piece)
        return True

    for block in blocks:
        if not tried.pass_on(write, block):
            out.append(tried.feed(block))
    assert b"".join(out) + tried.end() == b"".join(map(fed.feed, blocks)) + fed.end() == b"".join(blocks)
    assert (tried.usage, tried.finished, tried.failure) == (fed.usage, fed.finished, None)
    assert bool(written) == (every < 99)
    assert all(len(piece) < 8192 for piece in written)


def test_what_follows_a_half_event_is_not_written_at_once() -> None:
    reader = openai_reader()
    for block in (ROLE, WORD, WORD, WORD[:20]):
        reader.feed(block)
    assert not reader.pass_on(lambda _piece: True, WORD)


@pytest.mark.parametrize("between", [b"", b": ping\r\n\r\n"])
def test_an_end_of_line_cut_in_two_is_passed_on_whole_and_at_once(between: bytes) -> None:
    """Whoever splits at "\\r\\n\\r\\n" alone, and waits for it, has each event when it came."""
    reader, said = openai_reader(), event(chunk({"content": "hi"}), b"\r\n\r\n")
    out = reader.feed(event(chunk({"role": "assistant", "content": ""}), b"\r\n\r\n"))
    for _ in range(4):
        out += reader.feed(said[:-1])
        out += reader.feed(said[-1:] + between)
        assert out.endswith(said)
    assert out.count(b"\r\n\r\n") == 5


def test_a_key_in_a_header_that_is_passed_back_is_hidden() -> None:
    key = "AIzaSyD-0123456789abcdefghijklmnopqrstu"
    told = dict(passed_back({"x-request-id": f"for {key}", "etag": '"1"'}))
    assert told == {"X-Request-Id": "for AIzaSyD-...rstu", "Etag": '"1"'}
