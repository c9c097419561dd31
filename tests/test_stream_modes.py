"""Stream modes through the whole app."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from pool.core import sse
from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import answer, gemini_error, gemini_text


def events(response: Any) -> list[Any]:
    return [orjson.loads(event.data) for event in sse.events(response.data) if event.data.startswith(b"{")]


def said(chunks: list[Any]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk.get("choices"))


@pytest.mark.parametrize("mode", ["char", "batch", "adaptive"])
def test_a_paced_stream_says_the_same_in_more_pieces(house: House, mode: str) -> None:
    house.add_keys(GEMINI_KEYS[0])
    whole = events(house.chat(stream=True))
    pauses: list[float] = []
    house.keypool.relay.pause = pauses.append
    house.set(stream_mode=mode)
    paced = events(house.chat(stream=True))
    assert said(paced) == said(whole)
    assert len(paced) > len(whole)
    assert 0 < sum(pauses) <= 5
    assert {chunk["id"] for chunk in paced} == {paced[0]["id"]}


def test_a_converted_response_is_paced_and_counts_its_events(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.keypool.relay.pause = lambda _: None
    asked = {"model": "gemini-2.5-flash", "input": "x", "stream": True}
    whole = events(house.post("/v1/responses", asked))
    house.set(stream_mode="char")
    paced = events(house.post("/v1/responses", asked))

    def told(those: list[Any]) -> str:
        return "".join(each["delta"] for each in those if each["type"] == "response.output_text.delta")

    assert told(paced) == told(whole) == paced[-1]["response"]["output"][0]["content"][0]["text"]
    assert len(paced) > len(whole)
    numbers = [each["sequence_number"] for each in paced]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gpt-4o-mini"])
def test_a_fake_stream_is_made_of_a_whole_answer(house: House, model: str) -> None:
    house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0])
    house.set(stream_mode="fake")
    response = house.chat(model, stream=True, stream_options={"include_usage": True})
    chunks = events(response)
    asked = house.upstream.requests[-1]
    assert "stream" not in asked.path.lower()
    assert not (asked.json.get("stream") or False)
    assert said(chunks) == "Hello from the scripted upstream."
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]][-1] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert response.data.endswith(b"data: [DONE]\n\n")
    assert house.records()[-1]["outcome"] == "ok"


def test_a_fake_stream_of_gemini_itself_in_either_form(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.set(stream_mode="fake")
    as_events = house.generate(verb="streamGenerateContent", query="?alt=sse")
    assert as_events.data.startswith(b"data: {")
    array = house.generate(verb="streamGenerateContent")
    assert orjson.loads(array.data)[0]["candidates"]
    assert {request.route.rpartition(":")[2] for request in house.upstream.requests} == {"generateContent"}


def test_a_fake_stream_fails_over_like_any_other(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:3])
    house.set(stream_mode="fake")
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(429))
    house.upstream.for_key(GEMINI_KEYS[1], answer(200, gemini_text("", finish="STOP")))
    assert said(events(house.chat(stream=True)))
    assert len(house.upstream.requests) == 3
