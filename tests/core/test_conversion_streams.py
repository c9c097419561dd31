"""Gemini's streams and answers as OpenAI's: what takes more than one example."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.meaning import chunks_of
from conformance.shapes import is_completion, is_stream
from pool.core import sse
from pool.core.calls import GEMINI, OPENAI, Call, StreamReader
from pool.core.dialects import codec_for

from .corpus import split


def call_of(**fields: Any) -> Call:
    payload = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True, **fields}
    return Call("r1", OPENAI, "chat", "m", True, orjson.dumps(payload), payload, created=1)


def reader(**fields: Any) -> StreamReader:
    return codec_for(OPENAI, GEMINI, "chat").reader(call_of(**fields), {})


def chunk(*parts: dict[str, Any], finish: str | None = None, index: int = 0, **over: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts)}}
    if index:
        candidate["index"] = index
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **over}


def events(*chunks: Any, end: bytes = b"\r\n\r\n") -> bytes:
    return b"".join(b"data: " + orjson.dumps(one) + end for one in chunks)


def read(wire: bytes, size: int = 0, **fields: Any) -> tuple[StreamReader, bytes]:
    made = reader(**fields)
    out = b"".join(made.feed(piece) for piece in split(wire, size or len(wire)))
    return made, out + (made.end() if made.failure is None else b"")


SAID = [
    chunk({"text": 'Say "[{,}]" \u2028 ü'}),
    chunk({"functionCall": {"name": "f", "args": {"a": ["}", "\\"]}}}),
    chunk({"text": ""}, finish="STOP", usageMetadata={"promptTokenCount": 2, "candidatesTokenCount": 3}),
]


# -- however the upstream sends it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_reads_as_the_events_it_is_made_of(size: int, indent: int | None) -> None:
    wire = b"\r\n[" + b",\r\n".join(json.dumps(one, indent=indent).encode() for one in SAID) + b"\r\n]\r\n"
    _, wanted = read(events(*SAID))
    made, out = read(wire, size)
    assert made.finished
    assert made.useful
    assert made.usage.total == 5
    assert out == wanted


@pytest.mark.parametrize("size", [0, 1, 2, 5])
@pytest.mark.parametrize("before", [b"", b"\r\n "])
def test_a_byte_order_mark_is_no_part_of_what_follows(size: int, before: bytes) -> None:
    _, wanted = read(events(*SAID))
    array = b"[" + b",".join(map(orjson.dumps, SAID)) + b"]"
    for wire in (events(*SAID), array):
        made, out = read(sse.BOM + before + wire, size)
        assert made.finished
        assert out == wanted


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_whole_answer_reads_as_a_stream_of_one_event(size: int) -> None:
    answer = chunk({"text": "all"}, {"functionCall": {"name": "f"}}, finish="STOP")
    made, out = read(json.dumps(answer, indent=2).encode(), size)
    assert made.finished
    assert out == read(events(answer))[1]


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize("wrap", [b"%b", b"[%b]", b"[%b\n]\n"])
def test_an_error_without_events_is_found_at_once(size: int, wrap: bytes) -> None:
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    made, out = read(wrap % json.dumps(error, indent=2).encode(), size)
    assert made.failure is not None
    assert json.loads(made.failure) == error
    assert (out, made.finished) == (b"", False)


def test_an_error_after_some_elements_ends_the_stream() -> None:
    made, out = read(b"[" + orjson.dumps(SAID[0]) + b',{"error":{"code":500}}]', 3)
    assert json.loads(made.failure or b"")["error"]["code"] == 500
    assert chunks_of(out)[1]["choices"][0]["delta"]["content"]


@pytest.mark.parametrize("wire", [b"[" + orjson.dumps(SAID[0]), b"[]", b"", b"\n\n", events(SAID[0], SAID[1])])
def test_what_was_cut_is_not_finished(wire: bytes) -> None:
    made = reader()
    made.feed(wire)
    assert not made.finished


def test_a_candidate_that_comes_late_must_finish_too() -> None:
    made = reader(n=2)
    made.feed(events(chunk({"text": "a"}, finish="STOP")))
    assert made.finished
    made.feed(events(chunk({"text": "b"}, index=1)))
    assert not made.finished
    made.feed(events(chunk({"text": "c"}, finish="MAX_TOKENS", index=1)))
    assert made.finished
    finishes = [choice["finish_reason"] for one in chunks_of(made.end()) for choice in one["choices"]]
    assert finishes == ["stop", "length"]


READERS = {
    "converted": lambda: reader(),
    "native": lambda: native_reader((("alt", "sse"),)),
    "array": lambda: native_reader(()),
    "converted array": lambda: reader(),
    "openai": lambda: codec_for(OPENAI, OPENAI, "chat").reader(call_of(), {}),
}


def native_reader(query: tuple[tuple[str, str], ...]) -> StreamReader:
    call = Call("r1", GEMINI, "stream_generate", "m", True, b"{}", {}, query=query)
    return codec_for(GEMINI, GEMINI, "stream_generate").reader(call, {})


@pytest.mark.parametrize("name", READERS)
def test_a_picture_in_small_pieces_takes_linear_time(name: str) -> None:
    def seconds(size: int) -> float:
        # Every piece ends like a whole document, so that each is looked at.
        data = '{"}'.replace('"', "") * (size // 2)
        wire = orjson.dumps(chunk({"inlineData": {"mimeType": "image/png", "data": data}}))
        wire = b"[" + wire if "array" in name else b"data: " + wire
        made = READERS[name]()
        began = time.process_time()
        for piece in split(wire, 64):
            made.feed(piece)
        return time.process_time() - began

    seconds(100_000)
    # Quadratic would be 64 times as long.
    assert seconds(3_200_000) < 24 * max(seconds(400_000), 0.005)


def test_an_event_that_ends_like_a_whole_one_at_every_byte_takes_linear_time() -> None:
    def seconds(size: int) -> float:
        wire = events(chunk({"text": "}" * size}, finish="STOP"))
        began = time.process_time()
        made, _ = read(wire, 1)
        assert made.finished
        return time.process_time() - began

    seconds(1_000)
    # Quadratic would be 64 times as long.
    assert seconds(40_000) < 24 * max(seconds(5_000), 0.02)


def test_an_event_is_looked_at_once_its_braces_are_closed() -> None:
    made = reader()
    wire = events(chunk({"text": 'a } in "quotes\\" and {'}, finish="STOP"), end=b"")
    for piece in split(wire, 1):
        assert not made.finished
        made.feed(piece)
    assert made.finished


# -- how things end ------------------------------------------------------------------------------------------------

ENDS = [
    ("STOP", "stop"),
    ("MAX_TOKENS", "length"),
    *[(word, "content_filter") for word in ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT")],
    *[(word, "content_filter") for word in ("SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "NO_IMAGE")],
    *[(word, "content_filter") for word in ("IMAGE_RECITATION",)],
    *[(word, "stop") for word in ("OTHER", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS")],
    *[(word, "stop") for word in ("FINISH_REASON_UNSPECIFIED", "IMAGE_OTHER", "A_WORD_OF_TOMORROW")],
    (1, "stop"),
    (2, "length"),
    (3, "content_filter"),
    (99, "stop"),
]
USUAL = ("STOP", "MAX_TOKENS", 1, 2)


@pytest.mark.parametrize(("finish", "reason"), ENDS)
def test_every_finish_is_one_of_openais_words_and_an_unusual_one_is_told(finish: Any, reason: str) -> None:
    native = chunk({"text": "Hello"}, finish=finish)
    whole = json.loads(codec_for(OPENAI, GEMINI, "chat").reply(call_of(), {}, orjson.dumps(native)).body)
    is_completion(whole)
    made, out = read(events(native), stream_options={"include_usage": True})
    is_stream(out, chunks_of(out), with_usage=True)
    assert made.finished
    for choice in (whole["choices"][0], chunks_of(out)[-2]["choices"][0]):
        assert choice["finish_reason"] == reason
        assert ("native_finish_reason" in choice) == (finish not in USUAL)


@pytest.mark.parametrize(
    ("finish", "reason"), [("STOP", "tool_calls"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter")]
)
def test_a_cut_or_filtered_call_is_no_call_to_make(finish: str, reason: str) -> None:
    native = chunk({"functionCall": {"name": "f"}}, finish=finish)
    whole = json.loads(codec_for(OPENAI, GEMINI, "chat").reply(call_of(), {}, orjson.dumps(native)).body)
    assert whole["choices"][0]["finish_reason"] == reason
    assert chunks_of(read(events(native))[1])[-1]["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("block", ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "NEW"])
def test_a_blocked_prompt_is_a_refusal_that_ends_well(block: str) -> None:
    native = {"promptFeedback": {"blockReason": block}, "usageMetadata": {"promptTokenCount": 4}}
    made, out = read(events(native), stream_options={"include_usage": True})
    chunks = chunks_of(out)
    is_stream(out, chunks, with_usage=True)
    assert (made.finished, made.useful) == (True, True)
    assert block in "".join(choice["delta"].get("refusal") or "" for one in chunks for choice in one["choices"])
    assert chunks[-2]["choices"][0]["finish_reason"] == "content_filter"
    assert chunks[-1]["usage"]["prompt_tokens"] == 4


# -- whatever is said ----------------------------------------------------------------------------------------------

TEXT = st.text(max_size=6)
PART = st.one_of(
    TEXT.map(lambda text: {"text": text}),
    TEXT.map(lambda text: {"text": text, "thought": True}),
    st.just({"text": "", "thoughtSignature": "c2ln"}),
    st.just({"inlineData": {"mimeType": "image/png", "data": "AA=="}}),
    st.just({"executableCode": {"language": "PYTHON", "code": "1"}}),
    st.just({"toolCall": {"toolType": "GOOGLE_SEARCH_WEB"}, "thoughtSignature": "c2ln"}),
    st.builds(lambda name, x: {"functionCall": {"name": name, "args": {"x": x}}}, st.sampled_from("fg"), TEXT),
)
PARTS = st.lists(PART, max_size=3)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), PARTS), max_size=5), st.booleans(), st.integers(1, 40))
def test_any_stream_is_one_of_openais_and_says_what_the_whole_answer_says(
    said: list[tuple[int, list[Any]]], with_usage: bool, size: int
) -> None:
    used = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}
    chunks = [chunk(*parts, index=index) for index, parts in said]
    last = [chunk(finish="STOP", index=index, usageMetadata=used) for index in {0, *(index for index, _ in said)}]
    made, out = read(events(*chunks, *last), size, stream_options={"include_usage": with_usage})
    assert made.finished
    is_stream(out, chunks_of(out), with_usage)
    assert out.endswith(sse.DONE)
    texts: dict[int, str] = {}
    for one in chunks_of(out):
        for choice in one["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
    for index, text in texts.items():
        parts = [part for at, parts in said if at == index for part in parts]
        whole = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "usageMetadata": used}
        answer = json.loads(codec_for(OPENAI, GEMINI, "chat").reply(call_of(), {}, orjson.dumps(whole)).body)
        is_completion(answer)
        assert (answer["choices"][0]["message"]["content"] or "") == text
