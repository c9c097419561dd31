"""Anthropic's Messages through the whole app."""

from __future__ import annotations

from typing import Any

import pytest

from pool.core import sse
from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import answer, cut_after, gemini_error, gemini_stream
from tests.upstream import sse as stream_of


def ask(house: House, path: str = "/v1/messages", key: str | None = None, **fields: Any) -> Any:
    body = {"model": "gemini-2.5-flash", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}], **fields}
    headers = {"x-api-key": house.auth_key if key is None else key, "anthropic-version": "2023-06-01"}
    return house.post(path, body, headers=headers)


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gpt-4o-mini"])
def test_a_message_is_answered_by_whatever_the_pool_has(house: House, model: str) -> None:
    house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0])
    told = ask(house, model=model).json
    assert (told["type"], told["role"], told["model"], told["stop_reason"]) == (
        "message",
        "assistant",
        model,
        "end_turn",
    )
    assert told["content"] == [{"type": "text", "text": "Hello from the scripted upstream."}]
    assert told["usage"]["input_tokens"] > 0
    (record,) = house.records()
    assert (record["dialect"], record["operation"], record["status"]) == ("anthropic", "messages", 200)
    assert (record["tokens_in"], record["tokens_out"]) == (
        told["usage"]["input_tokens"],
        told["usage"]["output_tokens"],
    )


def test_a_stream_ends_with_message_stop(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    response = ask(house, "/anthropic/v1/messages", stream=True)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    names = [event.name for event in sse.events(response.data)]
    assert (names[0], names[-1]) == (b"message_start", b"message_stop")


def test_errors_are_told_in_anthropics_shape(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    assert ask(house, key="sk-ant-wrong").json["error"]["type"] == "authentication_error"
    nothing = ask(house, messages=[])
    assert (nothing.status_code, nothing.json["type"]) == (400, "error")
    assert nothing.json["error"]["type"] == "invalid_request_error"
    house.upstream.script(gemini_error(429, quota_id="GenerateRequestsPerDayPerProjectPerModel-FreeTier"))
    spent = ask(house)
    assert (spent.status_code, spent.json["error"]["type"]) == (429, "rate_limit_error")
    assert spent.json["error"]["keys"] == {"cooling": 1}
    assert ask(house, "/anthropic/v1/files").json["error"]["type"] == "not_found_error"


def test_a_cut_stream_ends_with_an_error_event(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.script(cut_after(stream_of(gemini_stream(["Hel", "lo", "!"])), events=2))
    events = list(sse.events(ask(house, stream=True).data))
    assert events[-1].name == b"error"
    assert b"message_stop" not in {event.name for event in events}


def test_tokens_are_counted_by_gemini_or_estimated(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0])
    house.upstream.for_path(":countTokens", answer(200, {"totalTokens": 41}))
    assert ask(house, "/v1/messages/count_tokens").json == {"input_tokens": 41}
    asked = len(house.upstream.requests)
    assert ask(house, "/v1/messages/count_tokens", model="gpt-4o").json["input_tokens"] > 0
    assert len(house.upstream.requests) == asked
