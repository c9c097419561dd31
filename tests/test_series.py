"""Requests that Gemini takes only in parts, through the whole app."""

from __future__ import annotations

import base64
from array import array

import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import answer, gemini_error, gemini_text
from tests.upstream_provider import Request

PATH = "/v1/embeddings"
EMBEDDER = "gemini-embedding-001"


def vectors(request: Request) -> object:
    """Each text is its own number, so that every vector says which input it is of."""
    texts = [one["content"]["parts"][0]["text"] for one in request.json["requests"]]
    usage = {"promptTokenCount": len(texts)}
    return answer(200, {"embeddings": [{"values": [float(text)]} for text in texts], "usageMetadata": usage})


def embed(house: House, count: int, **fields: object):
    return house.post(PATH, {"model": EMBEDDER, "input": [str(n) for n in range(count)], **fields})


def test_a_thousand_texts_are_asked_for_by_the_hundred_and_come_back_in_order(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:3])
    house.upstream.for_path("batchEmbedContents", vectors)
    response = embed(house, 1000, encoding_format="base64")
    assert response.status_code == 200
    rows = response.json["data"]
    assert [row["index"] for row in rows] == list(range(1000))
    assert [array("f", base64.b64decode(row["embedding"]))[0] for row in rows] == list(range(1000))
    assert response.json["usage"] == {"prompt_tokens": 1000, "total_tokens": 1000}
    assert [len(request.json["requests"]) for request in house.upstream.requests] == [100] * 10
    [record] = house.records()
    assert (record["status"], record["outcome"], record["tokens_in"]) == (200, "ok", 1000)
    assert [each["outcome"] for each in record["tries"]] == ["ok"] * 10
    assert len({each["key_id"] for each in record["tries"]}) == 3


def test_a_hundred_texts_are_one_call(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.for_path("batchEmbedContents", vectors)
    assert len(embed(house, 100).json["data"]) == 100
    assert len(house.upstream.requests) == 1


def test_one_key_serves_all_the_parts(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.for_path("batchEmbedContents", vectors)
    assert len(embed(house, 450).json["data"]) == 450


def test_a_part_that_a_key_refuses_goes_to_another_and_the_others_are_not_asked_again(house: House) -> None:
    _, alive = house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.for_path("batchEmbedContents", vectors)
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(400, reason="API_KEY_INVALID"))
    response = embed(house, 250)
    assert [row["embedding"] for row in response.json["data"]] == [[float(n)] for n in range(250)]
    assert len(house.upstream.requests_of(GEMINI_KEYS[0])) == 1
    [record] = house.records()
    assert [each["outcome"] for each in record["tries"]].count("ok") == 3
    assert {each["key_id"] for each in record["tries"] if each["outcome"] == "ok"} == {alive}


def test_a_part_that_fails_fails_the_request_and_what_came_before_is_on_the_bill(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.add_keys(OPENAI_KEYS[0])

    def refuse_the_second(request: Request) -> object:
        if request.json["requests"][0]["content"]["parts"][0]["text"] == "100":
            return gemini_error(400, message="Text 100 is too long.")
        return vectors(request)

    house.upstream.for_path("batchEmbedContents", refuse_the_second)
    response = embed(house, 300)
    assert (response.status_code, response.json["error"]["message"]) == (400, "Text 100 is too long.")
    assert len(house.upstream.requests) == 2
    [record] = house.records()
    assert (record["status"], record["tokens_in"]) == (400, 100)


def test_a_wrong_input_far_back_costs_no_call(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    response = house.post(PATH, {"model": EMBEDDER, "input": ["x"] * 150 + [[1, 2, 3]]})
    assert response.status_code == 400
    assert response.json["error"]["param"] == "input[150]"
    assert house.upstream.requests == []


def test_a_limit_of_a_key_counts_every_part(house: House) -> None:
    [key_id] = house.add_keys(GEMINI_KEYS[0], max_requests=2)
    house.upstream.for_path("batchEmbedContents", vectors)
    assert embed(house, 300).status_code == 429
    assert len(house.upstream.requests) == 2
    assert house.keypool.catalogue.keys[key_id].max_requests == 2


@pytest.mark.parametrize(("model", "calls"), [("gemini-3-pro-preview", 3), ("gemini-2.5-flash", 1)])
def test_choices_are_asked_for_one_by_one_where_a_model_gives_one(house: House, model: str, calls: int) -> None:
    house.add_keys(*GEMINI_KEYS[:2])
    native = gemini_text("Hi", model=model)
    if calls == 1:
        native["candidates"] = [{**native["candidates"][0], "index": place} for place in range(3)]
    house.upstream.for_path("generateContent", answer(200, native))
    response = house.chat(model=model, n=3)
    assert [choice["index"] for choice in response.json["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in response.json["choices"]} == {"Hi"}
    assert len(house.upstream.requests) == calls
    [record] = house.records()
    assert record["tokens_in"] == response.json["usage"]["prompt_tokens"]
