"""Stream modes: nothing is lost or torn, pauses are as asked for, and bounded."""

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core import sse
from pool.core.graphemes import graphemes
from pool.core.pacing import MOST_DELAY_MS, MOST_PIECES, Pacer, Pacing

CALL = {"index": 0, "function": {"arguments": "{}"}}


def openai(text, finish=None, **more):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return sse.encode(orjson.dumps({"id": "x", "choices": [choice], **more}))


def gemini(text, **more):
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, **more}
    return sse.encode(orjson.dumps({"candidates": [candidate], "usageMetadata": {"totalTokenCount": 3}}))


def anthropic(text):
    data = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return b"event: content_block_delta\ndata: " + orjson.dumps(data) + b"\n\n"


def paced(events, mode, **parameters):
    return list(Pacer(Pacing(mode, **parameters)).pieces(events, 100.0))


def texts(pieces):
    found = []
    for piece, _ in pieces:
        (event,) = sse.events(piece)
        document = orjson.loads(event.data)
        if "choices" in document:
            found.append(document["choices"][0]["delta"].get("content"))
        elif "candidates" in document:
            found.append(document["candidates"][0]["content"]["parts"][0]["text"])
        else:
            found.append(document["delta"]["text"])
    return found


@pytest.mark.parametrize("event", [openai, gemini, anthropic])
def test_characters_come_one_by_one(event):
    pieces = paced(event("Grüße 👨‍👩‍👧!"), "char")
    assert texts(pieces) == ["G", "r", "ü", "ß", "e", " ", "👨‍👩‍👧", "!"]
    assert {pause for _, pause in pieces} == {50.0}


def test_batches_have_the_size_that_was_asked_for():
    pieces = paced(openai("abcdefghijkl"), "batch")
    assert texts(pieces) == ["abcde", "fghij", "kl"]
    assert {pause for _, pause in pieces} == {100.0}
    assert texts(paced(openai("abcdefgh"), "batch", batch_size=3)) == ["abc", "def", "gh"]


def test_only_the_last_piece_says_why_it_ended_and_what_it_cost():
    usage = {"total_tokens": 3}
    pieces = paced(openai("abc", "stop", usage=usage), "char")
    told = [orjson.loads(event.data) for piece, _ in pieces for event in sse.events(piece)]
    assert [chunk["choices"][0]["finish_reason"] for chunk in told] == [None, None, "stop"]
    assert [chunk["usage"] for chunk in told] == [None, None, usage]
    assert max(pause for _, pause in pieces) <= 1.0
    native = paced(gemini("abc", finishReason="STOP"), "char")
    told = [orjson.loads(event.data)["candidates"][0] for piece, _ in native for event in sse.events(piece)]
    assert ["finishReason" in candidate for candidate in told] == [False, False, True]


@pytest.mark.parametrize(
    "event",
    [
        sse.encode(orjson.dumps({"choices": [{"delta": {"tool_calls": [CALL]}}]})),
        sse.encode(orjson.dumps({"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]})),
        sse.encode(orjson.dumps({"choices": [], "usage": {"total_tokens": 5}})),
        sse.encode(orjson.dumps({"candidates": [{"content": {"parts": [{"text": "a"}, {"text": "b"}]}}]})),
        sse.encode(orjson.dumps({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]})),
        sse.DONE,
        b"data: not json\n\n",
        b'[{"candidates":[]}',
        b"\n",
    ],
)  # fmt: skip
def test_calls_and_whatever_else_pass_as_they_came(event):
    assert paced(event, "char") == [(event, 0.0)]


def test_adaptive_pieces_grow_with_the_event_and_end_at_breaks():
    assert texts(paced(openai("abc"), "adaptive")) == ["a", "b", "c"]
    long = "word, " * 50
    pieces = texts(paced(openai(long), "adaptive"))
    assert "".join(pieces) == long
    assert max(map(len, pieces)) <= 9
    assert sum(piece.endswith(",") for piece in pieces) > 30


def test_adaptive_pauses_are_within_their_bounds_and_short_in_long_answers():
    pauses = [pause for _, pause in paced(openai("Hello there"), "adaptive")]
    assert all(2.0 <= pause <= 24.0 + 3.0 for pause in pauses)
    long = [pause for _, pause in paced(openai("x" * 400), "adaptive")]
    assert max(long[:-1]) <= 1.2


def test_all_pauses_together_are_bounded():
    pieces = paced(openai("x" * 1000), "char", char_delay_ms=1000.0)
    assert sum(pause for _, pause in pieces) == MOST_DELAY_MS
    pacer = Pacer(Pacing("char"))
    pacer.left_ms = 0.0
    assert list(pacer.pieces(openai("abc"), 0.0)) == [(openai("abc"), 0.0)]


@given(st.lists(st.text(max_size=40), max_size=6), st.sampled_from(["char", "batch", "adaptive"]))
def test_nothing_is_lost(said, mode):
    events = b"".join(openai(text) for text in said)
    pieces = paced(events, mode)
    assert "".join(texts(pieces)) == "".join(said)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("e\u0301", 1), ("👍🏽", 1), ("🇩🇪🇫🇷", 2), ("👩‍💻", 1), ("\r\n", 1), ("a\r\nb", 3), ("각", 1),
        ("\u1100\u1161\u11a8", 1),
        ("क्षि", 1), ("ক্ষ", 1), ("क्\u200dष", 1), ("ｶﾞ", 1), ("กำ", 1), ("ກຳ", 1), ("ന്\u200cമ", 1), ("\u0600١", 1),
        ("\u1100\u1100\u1161", 1), ("नमस्ते", 3), ("สวัสดี", 4), ("\n\n", 2), ("é\r\n", 2), ("🇩🇪🇫", 2),
        ("한국어", 3), ("नि", 1), ("✔\ufe0f", 1), ("🏴\U000e0067\U000e0062\U000e007f", 1), ("日本", 2), ("", 0),
    ],
)  # fmt: skip
def test_what_a_reader_takes_for_one_character_is_not_torn(text, count):
    assert len(list(graphemes(text))) == count


def response(text, number, **more):
    data = {"type": "response.output_text.delta", "sequence_number": number, "item_id": "m", "delta": text, **more}
    return b"event: response.output_text.delta\ndata: " + orjson.dumps(data) + b"\n\n"


def test_the_events_of_a_response_are_numbered_anew():
    done = sse.encode(orjson.dumps({"type": "response.completed", "sequence_number": 6}), b"response.completed")
    arguments = {"type": "response.function_call_arguments.delta", "sequence_number": 5, "delta": '{"a":1}'}
    events = response("abc", 3, logprobs=[1]) + response("d", 4) + sse.encode(orjson.dumps(arguments)) + done
    pacer = Pacer(Pacing("char"))
    pieces = list(pacer.pieces(events, 100.0))
    told = [orjson.loads(event.data) for piece, _ in pieces for event in sse.events(piece)]
    assert [event["sequence_number"] for event in told] == [3, 4, 5, 6, 7, 8]
    assert [event.get("delta") for event in told] == ["a", "b", "c", "d", '{"a":1}', None]
    assert [event.get("logprobs") for event in told[:3]] == [[], [], [1]]
    pacer.left_ms = 0.0
    (rest, pause), *others = pacer.pieces(response("efg", 7), 100.0)
    assert (rest, pause, others) == (response("efg", 9), 0.0, [])


def test_only_the_last_piece_tells_what_belongs_to_the_whole():
    delta = {"role": "assistant", "content": "ab", "annotations": [1], "extra_content": {"google": {}}}
    choice = {"index": 0, "delta": delta, "logprobs": {"content": [1]}, "finish_reason": None}
    first, last = paced(sse.encode(orjson.dumps({"choices": [choice]})), "char")
    told = [orjson.loads(next(sse.events(piece)).data)["choices"][0] for piece, _ in (first, last)]
    assert told[0] == choice | {"delta": {"role": "assistant", "content": "a"}, "logprobs": None}
    assert told[1] == choice | {"delta": delta | {"content": "b"}}


@pytest.mark.parametrize("mode", ["char", "batch", "adaptive"])
def test_one_large_event_becomes_a_bounded_number_of_pieces(mode):
    text = "word " * 40_000
    free = {"char_delay_ms": 0.0, "batch_delay_ms": 0.0, "min_delay_ms": 0.0, "max_delay_ms": 0.0}
    pieces = paced(openai(text), mode, **free, inter_message_delay_ms=0.0)
    assert 2 <= len(pieces) <= MOST_PIECES
    assert "".join(texts(pieces)) == text
    heavy = openai(text, logprobs=[1] * 10_000)
    assert sum(len(piece) for piece, _ in paced(heavy, mode, **free)) < 4 * len(heavy) + 1024 * 1024


def test_what_pacing_took_beyond_its_pauses_counts_too():
    pacer = Pacer(Pacing("char"))
    pieces = pacer.pieces(openai("x" * 1000), 100.0)
    taken = [next(pieces)]
    pacer.left_ms = -1.0
    taken += pieces
    assert texts(taken) == ["x", "x" * 999]


@pytest.mark.alone
@pytest.mark.parametrize("events", [b"x" * 3_000_000, b'{"a":"' + b"A" * 3_000_000 + b'"}', b"\n" * 1_000_000])
def test_what_holds_no_event_is_passed_over_in_no_time(events):
    began = time.monotonic()
    assert b"".join(piece for piece, _ in paced(events, "char")) == events
    assert time.monotonic() - began < 2.0


@given(st.text())
def test_graphemes_are_the_text(text):
    assert "".join(graphemes(text)) == text
