"""What the log says of tokens, through the whole app: told, asked for by us, or estimated and marked so."""

from typing import Any

import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import answer, openai_stream, sse

ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "word " * 80}], "stream": True}
SAID = ["It takes a while to say all of this. "] * 20


def asks(house: House, **limits: Any) -> Any:
    _, token = house.keypool.inventory.create_client("program", house.default_pool_id, **limits)
    return house.post("/v1/chat/completions", ASKED, headers={"Authorization": f"Bearer {token}"})


def test_an_openai_stream_that_tells_no_usage_is_estimated(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.upstream.script(sse(openai_stream(SAID), done=True))
    assert b"[DONE]" in asks(house).data
    (row,) = house.records()
    assert row["estimated"] is True
    assert row["tokens_in"] == pytest.approx(107, abs=3)
    assert row["tokens_out"] == pytest.approx(len("".join(SAID)) / 4, rel=0.1)
    assert row["cost_nano"] > 0
    assert "stream_options" not in house.upstream.requests[-1].json


@pytest.mark.parametrize("limit", [{"tpm_limit": 100_000}, {"budget_usd_day": 1.0}])
def test_under_limits_of_tokens_or_cost_usage_is_asked_for_and_kept_from_the_client(house: House, limit: Any) -> None:
    house.add_keys(OPENAI_KEYS[0])
    said = asks(house, **limit).data
    assert house.upstream.requests[-1].json["stream_options"] == {"include_usage": True}
    assert b"[DONE]" in said
    assert b"total_tokens" not in said
    (row,) = house.records()
    assert (row["estimated"], row["tokens_out"] > 0) == (False, True)


def test_a_stream_cut_after_its_first_words_counts_what_was_handed_out(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.upstream.script(sse(openai_stream(SAID)[:11]))
    assert b'"error"' in asks(house).data
    (row,) = house.records()
    assert (row["outcome"], row["estimated"]) == ("broken", True)
    assert row["tokens_out"] == pytest.approx(len("".join(SAID[:10])) / 4, rel=0.1)


def test_a_whole_answer_without_usage_is_estimated_when_converted_too(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    parts = [{"text": "".join(SAID)}]
    house.upstream.script(answer(200, {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}))
    assert house.chat().status_code == 200
    assert house.generate().status_code == 200
    for row in house.records():
        assert (row["estimated"], row["tokens_in"] > 0) == (True, True)
        assert row["tokens_out"] == pytest.approx(len("".join(SAID)) / 4, rel=0.05)
