"""Limits of client keys, pools and keys, through the whole app: never overshot, told in headers, settled at the end."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.pool import Pool as Greenlets

from pool.core.quota import cap_window
from tests.house import GEMINI_KEYS, OPENAI_KEYS, House, open_house
from tests.upstream import answer, gemini_error, gemini_text, stall

KEYS = GEMINI_KEYS[:4]


_numbers = itertools.count(1)


class Holder:
    """A program with a client key of its own."""

    def __init__(self, house: House, **limits: Any) -> None:
        self.house = house
        name = f"program {next(_numbers)}"
        self.id, self.token = house.keypool.inventory.create_client(name, house.default_pool_id, **limits)

    def asks(self, **fields: Any) -> Any:
        body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}], **fields}
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.house.post("/v1/chat/completions", body, headers=headers, environ_base={"REMOTE_ADDR": "127.0.0.1"})

    def holds(self, what: str, period: str = "") -> int:
        state, now = self.house.keypool.state, self.house.keypool.relay.clock()
        return state.held(f"c{self.id}/{what}", now, period)

    def spent_today(self) -> int:
        return self.holds("usd/day", cap_window("day", self.house.keypool.relay.clock())[0])


def slowly(text: str = "Hello", seconds: float = 0.05) -> Any:
    def play(request: Any) -> Any:
        gevent.sleep(seconds)
        return answer(200, gemini_text(text))

    return play


def at_once(holder: Holder, number: int, **fields: Any) -> Counter[int]:
    return Counter(Greenlets(number).map(lambda _: holder.asks(**fields).status_code, range(number)))


@pytest.mark.parametrize(("limit", "most"), [("rpm_limit", 37), ("rpd_limit", 37)])
def test_requests_are_never_overshot_by_two_hundred_at_once(house: House, limit: str, most: int) -> None:
    house.add_keys(*KEYS)
    house.upstream.script(slowly())
    holder = Holder(house, **{limit: most})
    assert at_once(holder, 200) == {200: most, 429: 200 - most}
    assert len(house.upstream.requests) == most


def test_concurrency_is_never_overshot_and_is_given_back(house: House) -> None:
    house.add_keys(*KEYS)
    together, most = 0, 0

    def play(request: Any) -> Any:
        nonlocal together, most
        together += 1
        most = max(most, together)
        gevent.sleep(0.05)
        together -= 1
        return answer(200, gemini_text("Hello"))

    house.upstream.script(play)
    holder = Holder(house, concurrency_limit=5)
    assert at_once(holder, 50) == {200: 5, 429: 45}
    assert (most, holder.holds("now")) == (5, 0)
    assert holder.asks().headers.get("retry-after") is None


def test_a_budget_is_never_overshot_by_two_hundred_at_once(house: House) -> None:
    house.add_keys(*KEYS)
    house.upstream.script(slowly())
    # 5 tokens or so in and 1,000 out of gemini-2.5-flash at $0.30 and $2.50 a million: $0.0025 each at most.
    holder = Holder(house, budget_usd_day=0.0255)
    outcomes = at_once(holder, 200, max_tokens=1000)
    assert outcomes[200] == 10
    assert set(outcomes) == {200, 429}
    # They came to far less than that, so there is room for more.
    assert 0 < holder.spent_today() < 1_000_000
    assert holder.asks(max_tokens=1000).status_code == 200


def test_tokens_are_reserved_by_an_estimate_and_settled_by_usage(house: House) -> None:
    house.add_keys(*KEYS)
    house.upstream.script(slowly())
    holder = Holder(house, tpm_limit=5000)
    assert at_once(holder, 10, max_tokens=1500) == {200: 3, 429: 7}
    used = holder.asks(max_tokens=1500)
    usage = used.json["usage"]["total_tokens"]
    assert holder.holds("tpm") == 4 * usage
    assert used.headers["x-ratelimit-limit-tokens"] == "5000"


def test_what_a_request_may_use_at_most_must_fit_at_all(house: House) -> None:
    house.add_keys(*KEYS)
    holder = Holder(house, tpm_limit=1000)
    refused = holder.asks(max_tokens=5000)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
    assert "max_tokens" in refused.json["error"]["message"]
    assert house.upstream.requests == []


def test_headers_tell_what_is_left_also_beside_an_error(house: House) -> None:
    house.add_keys(*KEYS)
    holder = Holder(house, rpm_limit=3)
    assert holder.asks().headers["x-ratelimit-remaining-requests"] == "2"
    house.upstream.script(gemini_error(400, message="no"))
    refused = holder.asks()
    assert (refused.status_code, refused.headers["x-ratelimit-remaining-requests"]) == (400, "1")
    house.upstream.script(None)
    assert holder.asks(stream=True).headers["x-ratelimit-remaining-requests"] == "0"
    over = holder.asks()
    assert (over.status_code, over.json["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= float(over.headers["retry-after"]) <= 61
    assert over.headers["x-ratelimit-remaining-requests"] == "0"
    assert over.headers["x-ratelimit-limit-requests"] == "3"


def test_who_has_no_limits_is_told_of_none(house: House) -> None:
    house.add_keys(*KEYS)
    assert not [name for name, _ in house.chat().headers if name.lower().startswith("x-ratelimit")]


def test_a_spent_budget_says_so_and_that_a_retry_is_pointless(house: House) -> None:
    house.add_keys(*KEYS)
    refused = Holder(house, budget_usd_day=0.0001).asks()
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "budget_exceeded")
    assert refused.headers["x-should-retry"] == "false"
    assert "$0.00" in refused.json["error"]["message"]


@pytest.mark.parametrize("ending", ["refused", "broken", "left", "whole"])
def test_however_a_request_ends_what_it_reserved_is_given_back(house: House, ending: str) -> None:
    house.add_keys(KEYS[0])
    holder = Holder(house, tpm_limit=100_000, concurrency_limit=5, budget_usd_month=1)
    if ending == "refused":
        house.upstream.script(gemini_error(400, message="no"))
        holder.asks()
    elif ending == "broken":
        house.upstream.script(gemini_error(503, message="down"))
        holder.asks()
    elif ending == "left":
        house.upstream.script(stall())
        with gevent.Timeout(0.3, False):
            holder.asks()
        gevent.sleep(0.1)
    else:
        list(holder.asks(stream=True).iter_encoded())
    assert holder.holds("now") == 0
    assert holder.holds("tpm") < 200


def test_the_callers_stream_tells_usage_where_a_limit_needs_it_and_the_caller_sees_no_more(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    holder = Holder(house, tpm_limit=100_000)
    body = holder.asks(model="gpt-4o-mini", stream=True).data
    assert house.upstream.requests[-1].json["stream_options"] == {"include_usage": True}
    assert b'"usage":{' not in body.replace(b" ", b"")
    assert 0 < holder.holds("tpm") < 1000


def test_a_pools_limits_hold_for_all_who_use_it(house: House) -> None:
    house.add_keys(*KEYS)
    house.keypool.inventory.update_pool(house.default_pool_id, limits={"rpm_limit": 5})
    holder = Holder(house, rpm_limit=3)
    assert at_once(holder, 10) == {200: 3, 429: 7}
    assert [house.chat().status_code for _ in range(3)] == [200, 200, 429]
    assert "pool" in house.chat().json["error"]["message"]


def test_a_fallback_pool_serves_under_the_first_pools_limits(house: House) -> None:
    reserve, _ = house.keypool.inventory.create_pool("reserve")
    house.add_keys(KEYS[0], pool_id=reserve)
    house.keypool.inventory.update_pool(house.default_pool_id, limits={"rpm_limit": 2}, fallback_pool_id=reserve)
    assert [house.chat().status_code for _ in range(3)] == [200, 200, 429]


def test_a_client_key_is_good_only_from_its_addresses(house: House) -> None:
    house.add_keys(*KEYS)
    assert Holder(house, allowed_ips=["10.0.0.0/8", "127.0.0.1"]).asks().status_code == 200
    away = Holder(house, allowed_ips=["10.0.0.0/8", "2001:db8::/32", "nonsense"]).asks()
    assert (away.status_code, away.json["error"]["code"]) == (403, "ip_not_allowed")


# -- limits of keys ---------------------------------------------------------------------------------------------


def limit_key(house: House, key_id: int, **fields: Any) -> None:
    house.keypool.inventory.set_limits([key_id], **fields)


def test_a_keys_limit_for_a_model_is_never_overshot_and_the_next_key_serves(house: House) -> None:
    first, _ = house.add_keys(*KEYS[:2])
    house.upstream.script(slowly())
    limit_key(house, first, limits={"gemini-2.5-flash": {"rpm": 7}})
    answers = Greenlets(60).map(lambda _: house.chat().status_code, range(60))
    assert Counter(answers) == {200: 60}
    assert len(house.upstream.requests_of(KEYS[0])) == 7
    assert house.keypool.catalogue.benches(first)["gemini-2.5-flash"].reason == "limited"
    assert [house.chat("gemini-2.5-pro").status_code for _ in range(4)] == [200] * 4
    assert len(house.upstream.requests_of(KEYS[0])) == 9


def test_every_key_at_its_limit_is_a_429_with_the_moment_there_is_room(house: House) -> None:
    for key_id in house.add_keys(*KEYS[:2]):
        limit_key(house, key_id, limits={"*": {"rpm": 1}})
    assert [house.chat().status_code for _ in range(2)] == [200, 200]
    refused = house.chat()
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "all_keys_cooling")
    assert refused.json["error"]["keys"] == {"limited": 2}
    assert 50 <= float(refused.headers["retry-after"]) <= 61


def test_a_key_too_full_for_a_large_request_still_serves_a_small_one(house: House) -> None:
    (key_id,) = house.add_keys(KEYS[0])
    limit_key(house, key_id, limits={"*": {"tpm": 3000}})
    assert house.chat(max_tokens=100).status_code == 200
    large = house.chat(max_tokens=2990)
    assert (large.status_code, large.json["error"]["keys"]) == (429, {"limited": 1})
    assert house.chat(max_tokens=100).status_code == 200
    never = house.chat(max_tokens=5000)
    assert never.status_code == 429


def test_a_higher_limit_takes_effect_at_once(house: House) -> None:
    (key_id,) = house.add_keys(KEYS[0])
    limit_key(house, key_id, limits={"*": {"rpm": 1}})
    assert [house.chat().status_code for _ in range(2)] == [200, 429]
    limit_key(house, key_id, limits={"*": {"rpm": 5}})
    assert house.chat().status_code == 200
    limit_key(house, key_id, limits=None)
    assert [house.chat().status_code for _ in range(6)] == [200] * 6


def test_a_cap_counts_attempts_of_its_day(house: House) -> None:
    first, _ = house.add_keys(*KEYS[:2])
    limit_key(house, first, max_requests=3, max_requests_window="day")
    assert [house.chat().status_code for _ in range(10)] == [200] * 10
    assert len(house.upstream.requests_of(KEYS[0])) == 3
    bench = house.keypool.catalogue.benches(first)[""]
    assert (bench.reason, bench.until) == ("limited", cap_window("day", house.keypool.relay.clock())[1])


def test_two_hundred_at_once_never_pass_a_cap(house: House) -> None:
    first, _ = house.add_keys(*KEYS[:2])
    house.upstream.script(slowly())
    limit_key(house, first, max_requests=11)
    assert Counter(Greenlets(200).map(lambda _: house.chat().status_code, range(200))) == {200: 200}
    assert len(house.upstream.requests_of(KEYS[0])) == 11


def test_a_restart_forgives_nothing(instance_template: Path, tmp_path: Path) -> None:
    limits = {"rpm_limit": 9, "rpd_limit": 8, "tpm_limit": 90_000, "budget_usd_day": 1, "budget_usd_month": 2}
    with open_house(instance_template, tmp_path / "instance") as house:
        first, second = house.add_keys(*KEYS[:2])
        house.keypool.inventory.set_limits([first], limits={"*": {"rpm": 4, "rpd": 5, "tpm": 10_000}})
        house.keypool.inventory.set_limits([second], max_requests=50, max_requests_window="month")
        holder = Holder(house, **limits)
        for _ in range(6):
            assert holder.asks().status_code == 200
        before = held(house, holder.id, first, second)
        assert len(before) == 9
        assert all(before.values())
        token = holder.token
    with open_house(instance_template, tmp_path / "instance") as house:
        assert held(house, holder.id, first, second) == before
        holder.house, holder.token = house, token
        assert [holder.asks().status_code for _ in range(3)] == [200, 200, 429]


def held(house: House, client_id: int, first: int, second: int) -> dict[str, int]:
    now = house.keypool.relay.clock()
    day, month = cap_window("day", now)[0], cap_window("month", now)[0]
    counters = {
        f"c{client_id}/rpm": "",
        f"c{client_id}/tpm": "",
        f"c{client_id}/rpd": day,
        f"c{client_id}/usd/day": day,
    }
    counters |= {f"c{client_id}/usd/month": month, f"k{second}/cap": month}
    counters |= {f"k{first}/{what}/gemini-2.5-flash": day if what == "rpd" else "" for what in ("rpm", "rpd", "tpm")}
    return {counter: house.keypool.state.held(counter, now, period) for counter, period in counters.items()}
