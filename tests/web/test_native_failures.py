"""Passed-through answers that fail, or say nothing, with status 200: told from real ones, and without a key."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import Action, Request, answer, openai_error, sse

CREATED = {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "object": "response"}}
DELTA = {"type": "response.output_text.delta", "sequence_number": 1, "delta": "Hel"}
FILE = {"type": "input_file", "file_id": "file-1"}
ASKED = {"model": "gpt-4o", "input": "x"}


def failed_response(key: str | None, code: str = "server_error") -> dict[str, Any]:
    error = {"code": code, "message": f"boom {key} and {OPENAI_KEYS[2]}"}
    return {"id": "resp_1", "object": "response", "status": "failed", "error": error, "output": []}


def without_keys(response: Any) -> bytes:
    said: bytes = response.data
    for key in (*OPENAI_KEYS, *GEMINI_KEYS):
        assert key.encode() not in said
    return said


@pytest.fixture
def one_key(house: House) -> House:
    house.add_keys(OPENAI_KEYS[0], GEMINI_KEYS[0])
    return house


# -- streams ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["response.failed", "error"])
def test_a_response_that_fails_in_the_middle_ends_as_it_came_without_keys_and_is_no_success(
    one_key: House, kind: str
) -> None:
    def play(request: Request) -> Action:
        failed = {"type": kind, "sequence_number": 2, "response": failed_response(request.key)}
        if kind == "error":
            failed = {"type": kind, "sequence_number": 2, "code": "server_error", "message": f"boom {request.key}"}
        return sse([CREATED, DELTA, failed], delay_s=0.05)

    one_key.upstream.script(play)
    said = without_keys(one_key.post("/v1/responses", ASKED | {"stream": True}))
    last = orjson.loads(said.rstrip().rpartition(b"data: ")[2])
    assert (last["type"], last["sequence_number"]) == (kind, 2)
    assert b"sk-proj-...yyyy" in said
    record = one_key.records()[0]
    assert (record["outcome"], record["error_code"]) == ("broken", "server_error")
    assert "boom" in record["tries"][0]["error"]
    assert OPENAI_KEYS[0] not in str(record)


def test_an_interaction_that_fails_is_no_success_and_names_no_key(one_key: House) -> None:
    one_key.upstream.script(
        lambda request: sse(
            [
                {"event_type": "interaction.created", "interaction": {"id": "i1"}},
                {"event_type": "content.delta", "delta": {"text": "a"}},
                {
                    "event_type": "interaction.failed",
                    "interaction": {"id": "i1", "status": "failed", "error": {"message": f"bad {request.key}"}},
                },
            ],
            delay_s=0.05,
        )
    )
    asked = {"model": "gemini-2.5-flash", "input": "x", "stream": True}
    said = without_keys(one_key.post("/v1beta/interactions", asked))
    assert said.count(b"interaction.failed") == 1
    assert one_key.records()[0]["outcome"] == "broken"


def test_a_response_without_output_is_asked_of_one_other_key(house: House) -> None:
    house.add_keys(*OPENAI_KEYS[:3])
    empty = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}}
    house.upstream.script(sse([CREATED, empty]))
    response = house.post("/v1/responses", ASKED | {"stream": True})
    assert response.status_code == 200
    assert b"response.completed" in response.data
    assert len(house.upstream.requests) == 2


# -- whole answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [failed_response, lambda key: {"error": failed_response(key)["error"]}])
def test_an_error_with_status_200_is_judged_as_that_error(house: House, body: Any) -> None:
    house.add_keys(*OPENAI_KEYS[:2])
    house.upstream.script(lambda request: answer(200, body(request.key)))
    response = house.post("/v1/responses", ASKED)
    assert response.status_code == 500
    assert b"boom" in without_keys(response)
    assert len(house.upstream.requests) == 3
    assert house.records()[0]["outcome"] == "error"


def test_an_error_with_status_200_moves_on_to_another_key(house: House) -> None:
    house.add_keys(*OPENAI_KEYS[:2])
    good = answer(200, {"id": "r", "object": "response", "output": [{"type": "x"}]})
    spent = answer(200, failed_response("x", "rate_limit_exceeded"))
    house.upstream.script(lambda request: good if request.key == OPENAI_KEYS[1] else spent)
    assert [house.post("/v1/responses", ASKED).status_code for _ in range(2)] == [200, 200]
    assert len(house.upstream.requests) == 3


def test_a_response_that_failed_over_the_request_is_the_callers_mistake(house: House) -> None:
    house.add_keys(*OPENAI_KEYS[:2])
    house.upstream.script(lambda request: answer(200, failed_response(request.key, "invalid_prompt")))
    response = house.post("/v1/responses", ASKED)
    assert (response.status_code, response.json["error"]["code"]) == (400, "invalid_prompt")
    assert len(house.upstream.requests) == 1


def test_a_stored_response_that_failed_is_shown_with_its_keys_masked(one_key: House) -> None:
    stored = {"id": "resp_1", "object": "response", "status": "completed", "output": [{"type": "x"}], "error": None}
    one_key.upstream.script(answer(200, stored))
    assert one_key.post("/v1/responses", ASKED).status_code == 200
    one_key.upstream.script(lambda request: answer(200, failed_response(request.key)))
    response = one_key.client.get("/v1/responses/resp_1", headers=one_key.headers())
    assert (response.status_code, response.json["status"]) == (200, "failed")
    without_keys(response)


ROUTES = {
    "/v1/responses": ASKED,
    "/v1/moderations": {"model": "omni-moderation-latest", "input": "x"},
    "/v1/images/generations": {"model": "dall-e-3", "prompt": "x"},
    "/v1/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "x"},
    "/v1/rerank": {"model": "rerank-1", "query": "x", "documents": ["y"]},
}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"ok"', b"{"])
@pytest.mark.parametrize("path", ROUTES)
def test_what_is_no_answer_is_no_success(house: House, path: str, body: bytes) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.upstream.script(answer(200, body, {"Content-Type": "application/json"}))
    response = house.post(path, ROUTES[path])
    assert response.status_code == 502
    assert response.json["error"]["code"] == "upstream_error"
    assert house.records()[0]["outcome"] == "error"


@pytest.mark.parametrize(
    ("path", "empty"),
    [
        ("/v1/responses", {"id": "r", "object": "response", "status": "completed", "output": []}),
        ("/v1/images/generations", {"created": 1, "data": []}),
        ("/v1/moderations", {}),
    ],
)
def test_an_empty_answer_is_asked_of_one_other_key_and_then_believed(house: House, path: str, empty: Any) -> None:
    house.add_keys(*OPENAI_KEYS[:3])
    house.upstream.script(answer(200, empty))
    response = house.post(path, ROUTES[path])
    assert (response.status_code, response.json) == (200, empty)
    assert len(house.upstream.requests) == 2


def test_speech_of_no_bytes_is_asked_of_another_key(house: House) -> None:
    house.add_keys(*OPENAI_KEYS[:2])
    audio = {OPENAI_KEYS[0]: b"", OPENAI_KEYS[1]: b"ID3"}
    house.upstream.script(lambda request: answer(200, audio[request.key or ""], {"Content-Type": "audio/mpeg"}))
    asked = {"model": "tts-1", "input": "x", "voice": "alloy"}
    assert [house.post("/v1/audio/speech", asked).data for _ in range(2)] == [b"ID3", b"ID3"]


def test_a_response_in_the_background_has_no_output_yet(house: House) -> None:
    house.add_keys(*OPENAI_KEYS[:2])
    queued = {"id": "r", "object": "response", "status": "queued", "output": [], "error": None}
    house.upstream.script(answer(200, queued))
    assert house.post("/v1/responses", ASKED | {"background": True}).json == queued
    assert len(house.upstream.requests) == 1


# -- errors, and what is asked ----------------------------------------------------------------------------------


def test_an_error_that_names_another_key_of_the_pool_is_passed_on_without_it(one_key: House) -> None:
    one_key.upstream.script(openai_error(400, "bad", f"Seen with {OPENAI_KEYS[2]} and {GEMINI_KEYS[2]}, too"))
    response = one_key.post("/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]})
    assert response.status_code == 400
    assert b"Seen with sk-proj-...yyyy and AIzaSyGe..." in without_keys(response)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_nobodys"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"input": [{"role": "user", "content": [FILE]}]}, "input[0].content[0]"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[0]"),
    ],
)
def test_what_openai_keeps_is_a_clear_mistake_where_nobody_keeps_it(house: House, more: Any, param: str) -> None:
    house.add_keys(GEMINI_KEYS[0])
    for _ in range(2):
        response = house.post("/v1/responses", {"model": "gemini-2.5-flash", "input": "x"} | more)
        assert (response.status_code, response.json["error"]["param"]) == (400, param)
        house.add_keys(OPENAI_KEYS[0])
    assert house.upstream.requests == []


def test_a_flag_that_is_none_is_refused_on_every_route_that_asks_a_model(one_key: House) -> None:
    for path in ("/v1/responses", "/v1/chat/completions", "/v1/completions"):
        response = one_key.post(path, {**ASKED, "messages": [{"role": "user", "content": "x"}], "stream": "yes"})
        assert (response.status_code, response.json["error"]["param"]) == (400, "stream")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
def test_an_estimate_counts_the_prompt_of_converted_calls(house: House, path: str, stream: bool) -> None:
    house.add_keys(GEMINI_KEYS[0])
    candidate = {"content": {"parts": [{"text": "abc def"}], "role": "model"}, "index": 0, "finishReason": "STOP"}
    told = {"candidates": [candidate]}
    house.upstream.script(sse([told]) if stream else answer(200, told))
    words = "word " * 400
    asked = {"model": "gemini-2.5-flash", "max_tokens": 9, "stream": stream, "system": words, "instructions": words}
    response = house.post(path, asked | {"messages": [{"role": "user", "content": "x"}], "input": "x"})
    assert b"abc def" in response.data
    record = house.records()[0]
    assert record["estimated"]
    assert record["tokens_in"] > 400
