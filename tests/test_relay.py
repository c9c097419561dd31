"""The loop over keys, through the real app, against a real upstream that plays a script."""

from __future__ import annotations

import time

import orjson
import pytest

from pool.adapters.tables import Key
from pool.core.quota import next_reset
from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import (
    ScriptedUpstream,
    answer,
    array_stream,
    close_before_head,
    cut_after,
    gemini_error,
    gemini_error_body,
    gemini_stream,
    gemini_text,
    openai_error,
    reset_after,
    sse,
)

DAY_QUOTA = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}


def events(body: bytes) -> list[dict]:
    return [orjson.loads(part[6:]) for part in body.split(b"\n\n") if part.startswith(b"data: {")]


def said(body: bytes) -> str:
    choices = [choice for event in events(body) for choice in event.get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_a_dead_key_is_passed_over_unseen_and_never_asked_again(house: House) -> None:
    dead, alive = house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(400, reason="API_KEY_INVALID"))
    assert [house.chat().status_code for _ in range(4)] == [200] * 4
    assert len(house.upstream.requests_of(GEMINI_KEYS[0])) == 1
    assert house.keypool.catalogue.keys[dead].dead
    assert house.keypool.catalogue.keys[alive].dead is None
    first = house.records()[0]
    assert [(each["key_id"], each["outcome"], each["blamed"]) for each in first["tries"]] == [
        (dead, "dead", "key"),
        (alive, "ok", ""),
    ]


def test_the_callers_own_mistake_blames_no_key_and_makes_one_upstream_call(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:3])
    house.upstream.script(gemini_error(400, message="Invalid value at 'generation_config.temperature'"))
    for _ in range(5):
        response = house.chat(temperature=1.5)
        assert response.status_code == 400
        assert "temperature" in response.json["error"]["message"]
    assert len(house.upstream.requests) == 5
    assert all(not house.keypool.catalogue.benches(key_id) for key_id in house.keypool.catalogue.keys)


def test_a_spent_day_keeps_one_model_of_a_key_out_and_leaves_the_others_in_use(house: House) -> None:
    key_id, other = house.add_keys(*GEMINI_KEYS[:2])
    before = time.time()
    spent = gemini_error(429, retry_delay="5s", quota_id=DAY_QUOTA)
    house.upstream.script(
        lambda request: spent if request.key == GEMINI_KEYS[0] and "gemini-2.5-pro" in request.path else None
    )
    assert [house.chat("gemini-2.5-pro").status_code for _ in range(4)] == [200] * 4
    assert len(house.upstream.requests_of(GEMINI_KEYS[0])) == 1
    for _ in range(4):
        assert house.chat("gemini-2.5-flash").status_code == 200
    assert len(house.upstream.requests_of(GEMINI_KEYS[0])) == 3
    bench = house.keypool.catalogue.benches(key_id)["gemini-2.5-pro"]
    assert bench.reason == "quota_day"
    assert bench.until in (next_reset(before), next_reset(time.time()))
    assert not house.keypool.catalogue.benches(other)


def test_when_every_key_cools_down_the_answer_is_429_with_the_earliest_recovery(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.script(gemini_error(429, retry_delay="20s"))
    for _ in range(2):
        response = house.chat()
        assert response.status_code == 429
        error = response.json["error"]
        assert error["code"] == "all_keys_cooling"
        assert error["keys"] == {"cooling": 2}
        assert 20 <= int(response.headers["Retry-After"]) <= 23
    assert len(house.upstream.requests) == 2
    native = house.generate()
    assert native.status_code == 429
    assert native.json["error"]["status"] == "RESOURCE_EXHAUSTED"


def test_the_request_that_sees_the_last_key_die_is_told_so(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.script(gemini_error(400, reason="API_KEY_INVALID"))
    response = house.chat()
    assert response.status_code == 503
    assert response.json["error"]["code"] == "no_available_keys"
    assert response.json["error"]["keys"] == {"dead": 1}
    assert response.headers["x-should-retry"] == "false"


def test_a_pool_without_keys_says_503(house: House) -> None:
    assert house.chat().status_code == 503
    assert house.generate().json["error"]["status"] == "UNAVAILABLE"


def test_an_overload_is_tried_once_more_with_the_same_key_then_with_another(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:3])
    house.upstream.script(lambda request: gemini_error(503) if request.key != GEMINI_KEYS[1] else None)
    assert house.chat().status_code == 200
    assert [request.key for request in house.upstream.requests] == [GEMINI_KEYS[0]] * 2 + [GEMINI_KEYS[1]]
    assert not any(key.dead for key in house.keypool.catalogue.keys.values())


def test_an_outage_is_not_multiplied_beyond_three_attempts(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:9])
    house.upstream.script(gemini_error(503))
    response = house.chat()
    assert response.status_code == 503
    assert len(house.upstream.requests) == 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["refused", "503", "reset"])
def test_where_an_upstream_is_down_another_provider_of_the_pool_answers(house: House, how: str, stream: bool) -> None:
    plays = {"refused": answer(200), "503": openai_error(503), "reset": close_before_head(reset=True)}
    with ScriptedUpstream(plays[how]) as down:
        address = "http://127.0.0.1:1/v1" if how == "refused" else f"{down.url}/v1"
        house.keypool.inventory.create_provider("down", dialect="openai", base_url=address)
        house.add_keys(*(f"sk-down-{n:030d}" for n in range(4)), provider="down")
        house.keypool.inventory.create_provider("well", dialect="openai", base_url=f"{house.upstream.url}/v1")
        house.add_keys(*OPENAI_KEYS[:2], provider="well")
        responses = [house.chat("gpt-4o", stream=stream) for _ in range(10)]
        assert [response.status_code for response in responses] == [200] * 10
        assert all(b"scripted" in response.data for response in responses)
        first = {record["tries"][0]["provider"] for record in house.records()}
        assert "down" in first
        assert len(down.requests) <= 10 * 1.2 + 3, "the one that is down is not asked more often for it"
        assert len(house.upstream.requests) == 10


def test_where_every_upstream_is_down_the_client_hears_of_the_last(house: House) -> None:
    house.keypool.inventory.create_provider("down", dialect="openai", base_url="http://127.0.0.1:1/v1")
    house.add_keys("sk-down-" + "0" * 30, provider="down")
    house.keypool.inventory.create_provider("other", dialect="openai", base_url=f"{house.upstream.url}/v1")
    house.add_keys(*OPENAI_KEYS[:2], provider="other")
    house.upstream.script(openai_error(503, "overloaded"))
    response = house.chat("gpt-4o")
    assert response.status_code == 503
    assert response.json["error"]["code"] == "overloaded"


def test_an_upstream_nobody_answers_at_is_502_and_no_keys_fault(house: House) -> None:
    key_ids = house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.__exit__()
    response = house.chat()
    assert response.status_code == 502
    assert response.json["error"]["code"] == "upstream_error"
    assert all(not house.keypool.catalogue.benches(key_id) for key_id in key_ids)


@pytest.mark.parametrize("broken", [cut_after, reset_after], ids=["cut", "reset"])
def test_a_stream_broken_before_its_first_content_moves_on_unseen(house: House, broken) -> None:
    house.add_keys(*GEMINI_KEYS[:2])
    whole = sse(gemini_stream(["Hel", "lo"]))
    house.upstream.script(lambda request: broken(whole, events=0) if request.key == GEMINI_KEYS[0] else whole)
    for _ in range(2):
        response = house.chat(stream=True)
        assert response.status_code == 200
        assert said(response.data) == "Hello"
        assert response.data.endswith(b"data: [DONE]\n\n")
        assert response.data.count(b"[DONE]") == 1
    assert house.upstream.requests_of(GEMINI_KEYS[0])


@pytest.mark.parametrize("broken", [cut_after, reset_after], ids=["cut", "reset"])
def test_a_stream_broken_after_its_first_content_ends_with_an_error_and_nothing_twice(house: House, broken) -> None:
    house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.script(broken(sse(gemini_stream(["one ", "two ", "three"])), events=2))
    response = house.chat(stream=True)
    assert said(response.data) == "one two "
    assert b"[DONE]" not in response.data
    assert events(response.data)[-1]["error"]["code"] == "upstream_stream_interrupted"
    assert len(house.upstream.requests) == 1
    record = house.records()[-1]
    assert (record["outcome"], record["error_code"]) == ("broken", "upstream_stream_interrupted")


def test_a_stream_that_ends_cleanly_without_a_finish_reason_is_not_passed_off_as_whole(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    unfinished = gemini_stream(["one ", "two"])[:-1]
    house.upstream.script(sse(unfinished))
    assert events(house.chat(stream=True).data)[-1]["error"]["code"] == "upstream_stream_interrupted"
    native = house.generate(verb="streamGenerateContent", query="?alt=sse")
    assert events(native.data)[-1]["error"]["code"] == 503
    house.upstream.script(array_stream(unfinished))
    array = house.generate(verb="streamGenerateContent")
    assert orjson.loads(array.data)[-1]["error"]["status"] == "UNAVAILABLE"


def test_an_error_as_the_first_event_of_a_stream_counts_as_that_status(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:2])
    refused = sse([gemini_error_body(429, "RESOURCE_EXHAUSTED", details=[RETRY_INFO])])
    house.upstream.for_key(GEMINI_KEYS[0], refused)
    assert said(house.chat(stream=True).data)
    assert house.keypool.catalogue.benches(1)["gemini-2.5-flash"].reason == "quota_minute"


def test_an_empty_answer_is_tried_once_elsewhere_and_then_handed_on(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:3])
    empty = gemini_text("")
    house.upstream.script(answer(200, empty))
    response = house.chat()
    assert response.status_code == 200
    assert len(house.upstream.requests) == 2
    assert house.records()[-1]["tries"][0]["outcome"] == "empty"


def test_html_and_torn_json_never_reach_a_client_as_200(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:2])
    for nonsense in (
        answer(200, b"<html>log in</html>", {"Content-Type": "text/html"}),
        answer(200, b'{"candidates": ['),
    ):
        house.upstream.script(nonsense)
        response = house.chat()
        assert response.status_code == 502
        assert response.json["error"]["code"] == "upstream_error"
        assert b"log in" not in response.data


def test_a_refusal_that_echoes_the_key_is_scrubbed(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.upstream.script(openai_error(400, message=f"bad request for {OPENAI_KEYS[0]}"))
    response = house.chat("gpt-4o")
    assert response.status_code == 400
    assert OPENAI_KEYS[0].encode() not in response.data
    house.upstream.script(
        gemini_error(403, message=f"Permission denied: Consumer 'api_key:{GEMINI_KEYS[0]}' suspended.")
    )
    house.add_keys(GEMINI_KEYS[0])
    assert GEMINI_KEYS[0].encode() not in house.chat().data
    assert all(GEMINI_KEYS[0] not in str(record) for record in house.records())


def test_round_robin_is_even(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:4])
    for _ in range(20):
        house.chat()
    assert [len(house.upstream.requests_of(secret)) for secret in GEMINI_KEYS[:4]] == [5] * 4


def test_a_request_may_name_its_own_strategy(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:2])
    house.post(
        "/v1/chat/completions?strategy=leastUsed",
        {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "x"}]},
    )
    assert house.records()[-1]["tries"][0]["why"] == "least_used"
    response = house.post(
        "/v1/chat/completions", {"model": "m", "messages": []}, headers=house.headers(**{"X-Pool-Strategy": "best"})
    )
    assert response.status_code == 400
    assert "round_robin" in response.json["error"]["strategies"]


def test_a_cap_on_attempts_is_kept_and_the_key_then_counts_as_limited(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0], max_requests=3)
    assert [house.chat().status_code for _ in range(3)] == [200] * 3
    response = house.chat()
    assert response.status_code == 429
    assert response.json["error"]["keys"] == {"limited": 1}
    assert len(house.upstream.requests) == 3


def test_the_fallback_pool_serves_when_nothing_is_left(house: House) -> None:
    inventory = house.keypool.inventory
    spare, _ = inventory.create_pool("spare")
    house.add_keys(GEMINI_KEYS[0])
    house.add_keys(GEMINI_KEYS[1], pool_id=spare)
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(429, retry_delay="20s"))
    assert house.chat().status_code == 429
    inventory.update_pool(house.default_pool_id, fallback_pool_id=spare)
    assert house.chat().status_code == 200
    assert house.upstream.requests[-1].key == GEMINI_KEYS[1]


def test_no_sql_runs_on_the_request_path(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:2], OPENAI_KEYS[0])
    before = house.keypool.database.statements
    for _ in range(3):
        assert house.chat().status_code == 200
        assert said(house.chat(stream=True).data)
        assert house.chat("gpt-4o").status_code == 200
        assert house.generate().status_code == 200
    assert house.client.get("/v1/models", headers=house.headers()).status_code == 200
    assert house.keypool.database.statements == before


def test_every_attempt_is_ended_once_however_the_request_goes(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:2])
    house.chat()
    house.client.head("/v1/models", headers=house.headers())
    left = house.chat(stream=True, model="gemini-2.5-flash")
    left.close()
    started = house.chat(stream=True)
    next(started.iter_encoded())
    started.close()
    house.upstream.wait_until(
        lambda: house.keypool.upstream.open_connections() == house.keypool.upstream.idle_connections()
    )
    assert [record["status"] for record in house.records()] == [200, 499, 499]


def test_a_death_not_yet_in_sql_outlives_an_edit_and_a_revival_outlives_the_journal(house: House) -> None:
    key_id = house.add_keys(GEMINI_KEYS[0])[0]
    inventory, keys = house.keypool.inventory, house.keypool.catalogue.keys
    house.upstream.script(gemini_error(400, reason="API_KEY_INVALID"))
    house.chat()
    inventory.set_disabled([key_id], None)
    assert keys[key_id].dead
    inventory.revive([key_id])
    assert keys[key_id].dead is None
    house.keypool.recorder.drain()
    house.upstream.script(None)
    assert house.chat().status_code == 200
    inventory.set_disabled([key_id], None)
    assert keys[key_id].dead is None


def test_an_upstreams_absurd_figures_stop_neither_the_journal_nor_the_next_start(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    for count in (2**63, 2**70, -5):
        house.upstream.script(answer(200, gemini_text("x") | {"usageMetadata": {"promptTokenCount": count}}))
        assert house.chat().status_code == 200
    house.upstream.script(None)
    assert house.chat().status_code == 200
    records = house.records()
    assert len(records) == 4
    assert all(0 <= record["tokens_in"] <= 2**53 for record in records)


def test_a_huge_refusal_of_the_callers_mistake_is_still_one_call(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:3])
    house.upstream.script(gemini_error(400, message="x" * 400_000))
    assert house.chat().status_code == 400
    assert len(house.upstream.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_never_handed_on(house: House, status: int) -> None:
    house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.script(answer(status, b"", {"Location": "http://127.0.0.1:9/elsewhere"}))
    response = house.chat()
    assert response.status_code == 502
    assert response.headers["Retry-After"] == "1"
    assert "Location" not in response.headers
    assert house.generate().json["error"]["code"] == 502


def test_a_page_instead_of_an_error_is_told_in_the_callers_shape(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.script(answer(400, b"<html>blocked</html>", {"Content-Type": "text/html"}))
    response = house.generate()
    assert response.status_code == 502
    assert response.json["error"]["code"] == 502


@pytest.mark.parametrize("nothing", [answer(204, b""), answer(200, b"", {"Content-Type": "text/event-stream"})])
def test_a_stream_that_ends_before_any_content_moves_on_and_is_then_502(house: House, nothing) -> None:
    house.add_keys(*GEMINI_KEYS[:3])
    house.upstream.for_key(GEMINI_KEYS[0], nothing)
    assert said(house.chat(stream=True).data)
    house.upstream.script(nothing)
    response = house.chat(stream=True)
    assert response.status_code == 502
    assert response.json["error"]["code"] == "upstream_error"


def test_the_callers_mistakes_do_not_stand_in_a_keys_record(house: House) -> None:
    key_id = house.add_keys(GEMINI_KEYS[0])[0]
    house.upstream.script(gemini_error(400))
    house.chat()
    house.keypool.recorder.drain()
    row = house.keypool.database.read(lambda session: session.get(Key, key_id))
    assert (row.requests, row.errors, row.last_error) == (1, 0, "")
