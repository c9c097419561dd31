"""What the key pool is for: no good key is wasted, no client sees an error that another key could have spared it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.pool import Pool as Greenlets

from tests.house import House
from tests.upstream import answer, gemini_error, openai_error, openai_text

DAY_QUOTA = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
MINUTE_TOKENS = "GenerateContentInputTokensPerModelPerMinute-FreeTier"
LEAKED = gemini_error(403, message="Your API key was reported as leaked.")
FORBIDDEN = gemini_error(403, message="The caller does not have permission")
KEYS = tuple(f"AIzaSyPool{n:05d}" + "x" * 24 for n in range(1, 101))


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self, house: House) -> None:
        self.now = house.keypool.relay.clock()
        relay = house.keypool.relay
        relay.clock = relay.monotonic = lambda: self.now
        relay.pause = self.pause

    def pause(self, seconds: float) -> None:
        self.now += seconds


def quick(house: House) -> None:
    """Backoffs that are short enough for a thousand requests."""
    house.keypool.relay.pause = lambda seconds: gevent.sleep(min(seconds, 0.001))


def statuses(house: House, requests: int, at_once: int = 1, ask: Callable[[], Any] | None = None) -> Counter[int]:
    """How many requests ended with which status."""
    ask = ask or house.chat
    if at_once == 1:
        return Counter(ask().status_code for _ in range(requests))
    return Counter(Greenlets(at_once).map(lambda _: ask().status_code, range(requests)))


def benched(house: House) -> dict[int, Any]:
    """What is known against each key, deaths too."""
    catalogue = house.keypool.catalogue
    return {
        key.id: key.dead or catalogue.benches(key.id)
        for key in catalogue.keys.values()
        if key.dead or catalogue.benches(key.id)
    }


def test_a_thousand_malformed_requests_are_a_thousand_calls_and_touch_no_key(house: House) -> None:
    house.add_keys(*KEYS[:10])
    house.upstream.script(gemini_error(400, message="Invalid value at 'generation_config.temperature'"))
    assert statuses(house, 1000) == {400: 1000}
    assert len(house.upstream.requests) == 1000
    assert benched(house) == {}


@pytest.mark.parametrize("at_once", [1, 20])
def test_one_good_key_among_fifty_serves_everybody(house: House, at_once: int) -> None:
    house.add_keys(*KEYS[:50])
    for n, key in enumerate(KEYS[:50]):
        spent = gemini_error(429, retry_delay="5s", quota_id=DAY_QUOTA)
        house.upstream.for_key(
            key, spent if n % 2 else gemini_error(403, message="Your API key was reported as leaked.")
        )
    house.upstream.for_key(KEYS[30], lambda request: None)
    quick(house)
    assert statuses(house, 1000, at_once) == {200: 1000}
    assert len(house.upstream.requests) <= 1000 + 49 * (1 + at_once)
    assert len(benched(house)) == 49


@pytest.mark.parametrize("at_once", [1, 20])
def test_one_good_key_among_fifty_that_are_all_refused_alike(house: House, at_once: int) -> None:
    """It looks like a storm at first. The good key's answer, and one bad key's second refusal, tell it from one."""
    house.add_keys(*[f"sk-proj-pool{n:04d}" + "y" * 30 for n in range(50)])
    house.upstream.script(
        lambda request: openai_text_if(request.key == "sk-proj-pool0030" + "y" * 30, "Incorrect API key provided")
    )
    quick(house)
    assert statuses(house, 1000, at_once, lambda: house.chat("gpt-4o-mini")) == {200: 1000}
    dead = [key for key in house.keypool.catalogue.keys.values() if key.dead]
    assert len(dead) == 49
    assert len(house.upstream.requests) <= 1000 + 49 * (2 + at_once)


def openai_text_if(good: bool, refusal: str) -> Any:
    return answer(200, openai_text()) if good else openai_error(401, "invalid_api_key", refusal)


def test_every_third_call_overloaded_is_seen_by_no_client_and_benches_no_key(house: House) -> None:
    house.add_keys(*KEYS[:10])
    calls = iter(range(10**6))
    house.upstream.script(lambda request: gemini_error(503, message="overloaded") if next(calls) % 3 == 2 else None)
    quick(house)
    assert statuses(house, 1000) == {200: 1000}
    assert len(house.upstream.requests) <= 1600
    assert benched(house) == {}


@pytest.mark.parametrize("keys", [1, 3, 10])
def test_an_outage_is_not_multiplied_and_is_over_when_it_is_over(house: House, keys: int) -> None:
    house.add_keys(*KEYS[:keys])
    clock = Clock(house)
    assert statuses(house, 20) == {200: 20}
    before = len(house.upstream.requests)
    house.upstream.script(gemini_error(503, message="The model is overloaded."))
    end, asked = clock.now + 60, 0
    while clock.now < end:
        began = clock.now
        assert house.chat().status_code == 503
        asked += 1
        clock.now = max(clock.now, began + 0.1)
    assert len(house.upstream.requests) - before <= 1.2 * asked + 3
    house.upstream.script(None)
    end = clock.now + 5
    while house.chat().status_code != 200:
        clock.now += 0.1
        assert clock.now < end
    assert statuses(house, 50) == {200: 50}


@pytest.mark.parametrize(
    "refusal",
    [
        FORBIDDEN,
        gemini_error(401, message="Request had invalid authentication credentials."),
        gemini_error(503, message="The service is currently unavailable."),
        answer(429, b"slow down"),
    ],
    ids=["403", "401", "503", "429"],
)
@pytest.mark.parametrize("at_once", [1, 10])
def test_after_a_storm_no_key_is_left_blamed(house: House, refusal: Any, at_once: int) -> None:
    house.add_keys(*KEYS[:40])
    quick(house)
    house.upstream.script(refusal)
    for _ in range(3):
        # The client's own key is good: it is not told of refusals of ours.
        assert statuses(house, 10, at_once) == {503: 10}
    storm = house.keypool.relay.judge.outages.of("gemini").storm
    assert storm.kind
    house.upstream.script(None)
    while house.chat().status_code != 200:
        gevent.sleep(0.1)
    assert statuses(house, 100, at_once) == {200: 100}
    assert benched(house) == {}
    house.records()
    assert house.keypool.database.read(lambda session: health_rows(session)) == (0, 0)


def health_rows(session: Any) -> tuple[int, int]:
    from sqlalchemy import func, select

    from pool.adapters.tables import Key, KeyHealth

    dead = select(func.count()).select_from(Key).where(Key.dead_at.is_not(None))
    return session.scalar(select(func.count()).select_from(KeyHealth)), session.scalar(dead)


def test_a_request_larger_than_a_minutes_tokens_is_the_clients_and_blames_no_key(house: House) -> None:
    house.add_keys(*KEYS[:5])
    house.upstream.script(gemini_error(429, quota_id=MINUTE_TOKENS, quota_value="1000", retry_delay="20s"))
    response = house.chat(messages=[{"role": "user", "content": "word " * 2000}])
    assert (response.status_code, response.json["error"]["code"]) == (400, "request_too_large")
    assert "1000 tokens per minute" in response.json["error"]["message"]
    assert response.headers["x-should-retry"] == "false"
    assert len(house.upstream.requests) == 1
    assert benched(house) == {}


def test_two_idle_keys_that_refuse_the_same_tokens_refuse_the_request(house: House) -> None:
    house.add_keys(*KEYS[:5])
    house.upstream.script(gemini_error(429, quota_id=MINUTE_TOKENS, quota_value="250000", retry_delay="20s"))
    assert house.chat().status_code == 400
    assert len(house.upstream.requests) == 2
    assert benched(house) == {}


def test_busy_keys_whose_minute_is_spent_do_not_make_a_small_request_too_large(house: House) -> None:
    house.add_keys(*KEYS[:5])
    assert statuses(house, 5) == {200: 5}
    busy = gemini_error(429, quota_id=MINUTE_TOKENS, quota_value="250000", retry_delay="20s")
    for key in KEYS[:4]:
        house.upstream.for_key(key, busy)
    assert statuses(house, 5) == {200: 5}
    assert len(benched(house)) == 4


def test_a_key_back_from_too_many_errors_is_tried_by_one_request_at_a_time(house: House) -> None:
    house.set(max_errors_threshold=2, error_reset_interval=1)
    key_id, _ = house.add_keys(*KEYS[:2])
    spent = gemini_error(429, retry_delay="0s", quota_id="GenerateRequestsPerMinutePerProjectPerModel-FreeTier")
    house.upstream.for_key(KEYS[0], spent)
    for model in ("gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.0-flash"):
        statuses(house, 2, ask=lambda model=model: house.chat(model))
    assert house.keypool.catalogue.benches(key_id)[""].reason == "errors"
    gevent.sleep(1.1)

    def slowly(request: Any) -> Any:
        gevent.sleep(0.2)
        return None

    house.upstream.for_key(KEYS[0], slowly)
    before = len(house.upstream.requests_of(KEYS[0]))
    probe = gevent.spawn(statuses, house, 2, 2, lambda: house.chat("gemma-3-27b-it"))
    gevent.sleep(0.1)
    assert house.keypool.catalogue.benches(key_id)[""].reason == "probing"
    statuses(house, 6, 6, lambda: house.chat("gemma-3-27b-it"))
    probe.join()
    assert len(house.upstream.requests_of(KEYS[0])) - before == 1
    assert "" not in house.keypool.catalogue.benches(key_id)


def test_a_spent_projects_other_keys_are_not_even_tried(house: House) -> None:
    first, second, _ = house.add_keys(*KEYS[:3])
    spent = gemini_error(429, retry_delay="5s", quota_id=DAY_QUOTA)
    for key in KEYS[:2]:
        house.upstream.for_key(key, spent)
    for key_id in (first, second):
        key = house.keypool.catalogue.keys[key_id]
        house.keypool.catalogue.put_in_project(key, "projects/4711")
    assert statuses(house, 10) == {200: 10}
    assert len(house.upstream.requests_of(KEYS[0])) + len(house.upstream.requests_of(KEYS[1])) == 1


def test_a_request_waits_a_moment_for_a_key_where_it_may(house: House) -> None:
    house.add_keys(KEYS[0])
    house.keypool.catalogue.bench(1, "quota_minute", house.keypool.relay.clock() + 0.5, "gemini-2.5-flash")
    refused = house.chat()
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "all_keys_cooling")
    house.set(max_queue_s=2)
    assert house.chat().status_code == 200
    assert house.keypool.relay.waiting == 0
    house.keypool.catalogue.bench(1, "quota_minute", house.keypool.relay.clock() + 30, "gemini-2.5-flash")
    assert house.chat().status_code == 429


def test_every_attempt_says_why_this_key_and_why_not_the_others(house: House) -> None:
    house.add_keys(*KEYS[:6])
    house.upstream.for_key(KEYS[0], gemini_error(403, message="Your API key was reported as leaked."))
    house.upstream.for_key(KEYS[1], gemini_error(429, retry_delay="5s", quota_id=DAY_QUOTA))
    assert house.chat().status_code == 200
    (record,) = house.records()
    assert [attempt["skipped"] for attempt in record["tries"]] == [
        None, {"dead": 1, "tried": 1}, {"dead": 1, "quota_day": 1, "tried": 2},
    ]  # fmt: skip
    assert {attempt["why"] for attempt in record["tries"]} == {"round_robin"}


@pytest.mark.parametrize(("may_go_direct", "status"), [(False, 502), (True, 200)])
def test_a_proxy_that_is_away_is_gone_around_only_where_that_is_allowed(
    house: House, may_go_direct: bool, status: int
) -> None:
    (key_id,) = house.add_keys(KEYS[0])
    key = house.keypool.catalogue.keys[key_id]
    key.proxy_url, key.fallback_to_direct = "http://127.0.0.1:9", may_go_direct
    quick(house)
    assert house.chat().status_code == status
