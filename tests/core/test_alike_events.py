"""Events that are like earlier ones are not read as a whole; what clients get is the same as if they were."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.calls import GEMINI, OPENAI, Call, Usage
from pool.core.dialects import codec_for
from pool.core.dialects.gemini.stream import ChatReader

from .corpus import files, load, present

COUNTS = ("promptTokenCount", "candidatesTokenCount", "totalTokenCount")
HOSTILE = ('"', "\\", "\\u0022", '"text": "x"', '"okenCount": 5', "\u2028", "\x00", "ü😀", "<script>", "\n\n", "data: ")


def reader(**fields: Any) -> ChatReader:
    payload = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}, **fields}
    call = Call("r1", OPENAI, "chat", "m", True, orjson.dumps(payload), payload, created=1)
    made = codec_for(OPENAI, GEMINI, "chat").reader(call, {})
    assert isinstance(made, ChatReader)
    return made


def event(text: str, output: int = 1, end: bytes = b"\r\n\r\n", **more: Any) -> bytes:
    usage = {**dict.fromkeys(COUNTS, output), "promptTokensDetails": [{"modality": "TEXT", "tokenCount": output}]}
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    chunk = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m-2", **more}
    return b"data: " + orjson.dumps(chunk) + end


def told(pieces: list[bytes], **fields: Any) -> tuple[bytes, Usage, bytes | None, bool]:
    made = reader(**fields)
    out = b"".join(made.feed(piece) for piece in pieces)
    out += made.end() if made.failure is None else b""
    return out, made.usage, made.failure, made.useful


words = st.one_of(st.text(max_size=12), st.sampled_from(HOSTILE), st.builds("".join, st.permutations(HOSTILE)))


@given(st.lists(st.tuples(words, st.integers(0, 10**6)), max_size=8), st.sampled_from([b"\n\n", b"\r\n\r\n"]))
def test_events_of_one_shape_come_to_what_each_of_a_shape_of_its_own_does(said, end):
    alike = [event(text, count, end) for text, count in said]
    unlike = [event(text, count, end, **{f"x{n}": 0}) for n, (text, count) in enumerate(said)]
    assert told(alike) == told(unlike) == told([b"".join(alike)])


def test_what_can_be_told_at_once_is_what_reading_would_tell():
    at_once, fed = reader(), reader()
    said: list[bytes] = []
    assert not at_once.pass_on(said.append, event("The"))  # type: ignore[arg-type]  # nothing is known yet
    assert at_once.feed(event("The")) == fed.feed(event("The"))
    for number, text in enumerate([" quick", " brown\n", ' "fox"', " ü"], 2):
        assert at_once.pass_on(lambda piece: not said.append(piece), event(text, number))
        assert said.pop() == fed.feed(event(text, number))
    assert at_once.usage == fed.usage == Usage(5, 5, at_once.usage.cached)
    assert at_once.end() == fed.end()


def test_what_nobody_took_is_fed_and_counts_once():
    tried, fed = reader(), reader()
    for made in (tried, fed):
        made.feed(event("The"))
    offered: list[bytes] = []
    assert not tried.pass_on(offered.append, event(" end", 9))  # type: ignore[arg-type]
    assert [tried.feed(event(" end", 9))] == offered == [fed.feed(event(" end", 9))]
    assert tried.usage == fed.usage
    assert tried.end() == fed.end()


UNLIKE = {
    "finished": event("x").replace(b'"index":0', b'"finishReason":"STOP","index":0'),
    "a thought": event("x").replace(b'"text"', b'"thought":true,"text"'),
    "another candidate": event("x").replace(b'"index":0', b'"index":1'),
    "two events": event("x") + event("y"),
    "half an event": event("x")[:-4],
    "no text": event(""),
    "a number no JSON has": event("x").replace(b":1}", b":01}"),
    "a number that is none of tokens": event("x").replace(b":1}", b":1.5}"),
    "no UTF-8": event("x").replace(b'"x"', b'"\xff"'),
    "half a surrogate": event("x").replace(b'"x"', b'"\\ud800"'),
    "an escape JSON does not know": event("x").replace(b'"x"', b'"\\x"'),
    "a bare line end": event("x").replace(b'"x"', b'"\t"'),
}


def test_an_event_that_spells_a_name_with_an_escape_is_no_example():
    twice = event("x").replace(b'"text":"x"', b'"text":"x","te\\u0078t":"x"')
    made = reader()
    made.feed(twice)
    assert not made.pass_on(pytest.fail, twice.replace(b'"text":"x"', b'"text":"y"'))


@pytest.mark.parametrize("name", UNLIKE)
def test_whatever_else_comes_is_read(name):
    made = reader()
    made.feed(event("The"))
    assert not made.pass_on(pytest.fail, UNLIKE[name])


@pytest.mark.parametrize("name", UNLIKE)
def test_whatever_else_comes_is_told_and_refused_as_ever(name):
    def changed(n):
        return UNLIKE[name].replace(b'"modelVersion"', b'"x%d":0,"modelVersion"' % n)

    alike = told([event("The"), event("y"), UNLIKE[name], event("z")])
    unlike = told([event("The", a=0), event("y", b=0), changed(1), event("z", c=0)])
    assert alike == unlike


def test_nothing_is_told_at_once_behind_half_an_event():
    made = reader()
    made.feed(event("The"))
    made.feed(event("x")[:10])
    assert not made.pass_on(pytest.fail, event("y"))


@present
def test_recorded_streams_say_the_same_read_event_by_event():
    passed = 0
    for path in files("gemini_native"):
        exchange = load(path)
        recorded = exchange["response"].get("sse")
        if not isinstance(recorded, list) or not all(isinstance(each, str) for each in recorded):
            continue
        pieces = [b"data: " + each.encode() + b"\r\n\r\n" for each in recorded]
        # White space changes nothing but the shape.
        unlike = [piece.replace(b"{", b"{" + b" " * n, 1) for n, piece in enumerate(pieces)]
        assert told(pieces) == told(unlike), path.name
        made = reader()
        for piece in pieces:
            if made.pass_on(bool, piece):
                passed += 1
            else:
                made.feed(piece)
    assert passed > 80
