"""Letting keys begin anew: C21, and the outbound proxy as a predecessor had it."""

import time

import pytest
from sqlalchemy import text

from pool.core.keys import FOREVER
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD, open_house
from tests.upstream import gemini_error
from tests.web.visitor import rows_of

ADMIN = {"X-Admin-Key": PASSWORD}
RESET, PROXY = "/admin/reset", "/admin/proxy-config"


@pytest.fixture
def call(house, passwords):
    client = house.app.test_client()

    def send(path=RESET, body=None, status=200, method="POST"):
        answer = client.open(path, method=method, json=body, headers=ADMIN)
        assert answer.status_code == status, answer.text
        return answer.json

    return send


def spend(house, key_id, window="none", times=3):
    """A key at its cap."""
    house.keypool.inventory.set_limits([key_id], max_requests=times, max_requests_window=window)
    for _ in range(times):
        assert house.chat().status_code == 200
    assert house.chat().status_code == 429


def restarted(house, template):
    return open_house(template, house.keypool.environment.instance)


def test_an_empty_body_lets_every_key_begin_anew(house, passwords):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    spend(house, key_id)
    answer = house.app.test_client().post(RESET, headers=ADMIN)
    assert (answer.status_code, answer.json["message"], answer.json["keys"]) == (200, "Usage reset successfully", 1)
    assert house.chat().status_code == 200
    entry = rows_of(house, "audit")[-1]
    assert (entry["action"], entry["object"]) == ("keys.reset", "keys")


@pytest.mark.parametrize("window", ["none", "day", "month"])
def test_what_was_asked_is_forgiven_and_stays_so_over_a_restart_and_figures_stay(
    house, call, window, instance_template
):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    spend(house, key_id, window)
    told = call(body={"provider": "gemini"})
    assert (told["success"], told["scope"]) == (True, "counters")
    status = house.app.test_client().get("/admin/status?provider=gemini", headers=ADMIN).json
    assert (status["keys"][0]["usage"], status["availableKeys"]) == ("0/3", 1)
    assert house.chat().status_code == 200
    assert rows_of(house, "keys")[0]["requests"] == 3
    house.keypool.stop()
    with restarted(house, instance_template) as again:
        assert [again.chat().status_code for _ in range(3)] == [200, 200, 429]
        assert rows_of(again, "keys")[0]["requests"] >= 4


def test_another_provider_is_left_alone(house, call):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    house.add_keys(OPENAI_KEYS[0])
    spend(house, key_id)
    assert call(body={"provider": "openai"})["keys"] == 1
    assert house.chat().status_code == 429
    assert call(body={"provider": "nobody"})["keys"] == 0
    assert call(body={"scope": "everything"}, status=400)["error"]["param"] == "scope"


def test_counters_alone_end_no_rest_and_rests_alone_no_death(house, call):
    first, second, third = house.add_keys(*GEMINI_KEYS[:3])
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(429, retry_delay="3600s"))
    house.chat()
    house.keypool.recorder.drain()
    house.keypool.inventory.set_disabled([second], FOREVER)
    benches = house.keypool.catalogue.benches
    call()
    assert benches(first)
    call(body={"scope": "cooldowns"})
    assert benches(first) == {}
    assert benches(second)[""].reason == "disabled"
    assert rows_of(house, "key_health") == []
    house.keypool.recorder.drain()
    assert rows_of(house, "key_health") == []
    house.upstream.for_key(GEMINI_KEYS[2], gemini_error(403, message="Your API key was reported as leaked."))
    for _ in range(3):
        house.chat()
    assert house.keypool.catalogue.keys[third].dead
    call(body={"scope": "all"})
    assert benches(third)[""].reason == "dead"


def test_a_rest_whose_line_is_still_in_the_journal_does_not_come_back(house, call, instance_template):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    house.upstream.script(gemini_error(429, retry_delay="3600s"))
    house.chat()
    call(body={"scope": "cooldowns"})
    house.keypool.stop()
    with restarted(house, instance_template) as again:
        assert again.keypool.catalogue.benches(key_id) == {}
        assert again.chat().status_code == 200


def test_errors_and_figures_are_forgotten_by_their_own_scopes(house, call):
    (key_id,) = house.add_keys(GEMINI_KEYS[0], max_requests=10)
    house.set(max_errors_threshold=2)
    house.upstream.script(gemini_error(429, retry_delay="0s"))
    house.chat()
    house.upstream.script(None)
    house.keypool.catalogue.release(key_id, None)
    house.keypool.recorder.drain()
    assert rows_of(house, "keys")[0]["errors"] == 1
    call(body={"scope": "errors"})
    key = rows_of(house, "keys")[0]
    assert (key["errors"], key["last_error"], key["requests"]) == (0, "", 1)
    assert house.keypool.relay.judge._streaks == {}
    call(body={"scope": "stats"})
    key = rows_of(house, "keys")[0]
    assert (key["requests"], key["tokens"]) == (0, 0)


def test_figures_that_begin_anew_forgive_nothing_of_a_cap(house, call, instance_template):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    spend(house, key_id)
    for _ in range(2):
        call(body={"scope": "stats"})
    house.keypool.stop()
    with restarted(house, instance_template) as again:
        assert again.chat().status_code == 429


@pytest.mark.alone
@pytest.mark.slow
def test_twenty_thousand_keys_begin_anew_within_seconds(house, call):
    house.add_keys(*(f"AIzaSyMany{n:06d}" + "x" * 23 for n in range(20_000)), max_requests=5)
    began = time.monotonic()
    assert call(body={"scope": "all"})["keys"] == 20_000
    assert time.monotonic() - began < 20


# -- the outbound proxy -----------------------------------------------------------------------------------------


def test_the_proxy_of_a_predecessor_is_the_proxy_of_every_provider(house, call):
    assert call(PROXY, method="GET") == {"config": {"enabled": False, "baseUrl": "", "fallbackToDirect": False}}
    body = {"enabled": True, "baseUrl": "http://ana:hidden@127.0.0.1:9", "fallbackToDirect": True}
    told = call(PROXY, body)
    config = {"enabled": True, "baseUrl": "http://ana:***@127.0.0.1:9", "fallbackToDirect": True}
    assert (told["success"], told["config"]) == (True, config)
    providers = house.keypool.catalogue.providers
    assert {each.proxy_url for each in providers.values()} == {body["baseUrl"]}
    house.add_keys(GEMINI_KEYS[0])
    assert house.chat().status_code == 200, "the proxy is away, and may be gone around"
    assert call(PROXY, config)["config"] == config
    assert providers["gemini"].proxy_url == body["baseUrl"]
    assert call(PROXY, {"fallbackToDirect": False})["config"]["fallbackToDirect"] is False
    assert house.chat().status_code == 502
    assert call(PROXY, {"enabled": False})["config"]["enabled"] is False
    assert house.chat().status_code == 200
    assert "hidden" not in str(rows_of(house, "audit"))


def test_a_provider_s_own_proxy_is_left_alone(house, call):
    house.keypool.inventory.create_provider(
        "relay", dialect="openai", base_url="https://r.test/v1", proxy_url="http://p:1"
    )
    house.keypool.inventory.create_provider("other", dialect="openai", base_url="https://o.test/v1")
    assert call(PROXY, {"enabled": False})["config"]["enabled"] is False
    call(PROXY, {"baseUrl": "http://127.0.0.1:9"})
    urls = {slug: each.proxy_url for slug, each in house.keypool.catalogue.providers.items()}
    shared = "http://127.0.0.1:9"
    assert urls == {"gemini": shared, "openai": shared, "other": shared, "relay": "http://p:1"}
    call(PROXY, {"enabled": False, "fallbackToDirect": True})
    relay = house.keypool.catalogue.providers["relay"]
    assert (relay.proxy_url, relay.fallback_to_direct) == ("http://p:1", False)
    assert call(PROXY, method="GET")["config"]["enabled"] is False


def test_a_proxy_must_be_one(house, call):
    for body, param in (
        ({"enabled": True}, "baseUrl"),
        ({"baseUrl": "https://relay.test/path"}, "baseUrl"),
        ({"baseUrl": "http://ana:***@relay.test"}, "baseUrl"),
        ({"relay": True}, "relay"),
    ):
        status = 409 if "***" in str(body) else 400
        assert call(PROXY, body, status)["error"]["param"] == param, body
    stored = house.keypool.database.read(lambda session: session.scalar(text("SELECT count(proxy_url) FROM providers")))
    assert stored == 0
