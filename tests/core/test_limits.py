"""Limits as values: what is reserved, what is told, what is settled."""

import pytest

from pool.core.keys import Key
from pool.core.limits import (
    Spending,
    duration,
    holder_bounds,
    key_bounds,
    limit_headers,
    measure,
    over_limit,
    settlement,
)
from pool.core.quota import next_reset

NOW = 1_763_700_000.0
MIDNIGHT = next_reset(NOW)
ALL = {
    "rpm_limit": 60, "tpm_limit": 1000, "rpd_limit": 500, "concurrency_limit": 3, "budget_usd_day": 0.5,
    "budget_usd_month": 10,
}  # fmt: skip
EXPECTED = Spending(150, 2_000_000)


def bounds_of(limits, expected=EXPECTED):
    return {bound.counter: bound for bound in holder_bounds("c5", limits, expected, NOW, "pacific")}


def test_every_limit_of_a_holder_is_reserved_in_its_own_measure_and_window():
    bounds = bounds_of(ALL)
    told = {name: (bound.most, bound.amount, bound.kind) for name, bound in bounds.items()}
    assert told == {
        "c5/rpm": (60, 1, "sliding"),
        "c5/tpm": (1000, 150, "sliding"),
        "c5/rpd": (500, 1, "period"),
        "c5/now": (3, 1, "level"),
        "c5/usd/day": (500_000_000, 2_000_000, "period"),
        "c5/usd/month": (10_000_000_000, 2_000_000, "period"),
    }
    assert bounds["c5/rpd"].ends_at == bounds["c5/usd/day"].ends_at == MIDNIGHT
    assert bounds["c5/usd/month"].ends_at > MIDNIGHT


def test_what_is_not_set_is_no_limit_and_nought_is_one():
    assert bounds_of({"rpm_limit": None}) == {}
    assert bounds_of({"rpm_limit": 0})["c5/rpm"].most == 0


def test_a_keys_limits_are_those_of_the_model_or_else_of_every_other_one():
    limits = {"m": {"rpm": 5, "tpm": 900, "rpd": 20}, "*": {"rpm": 1}}
    key = Key(7, "gemini", "", b"", max_requests=9, max_requests_window="month", limits=limits)
    told = {bound.counter: (bound.most, bound.amount) for bound in key_bounds(key, "m", 150, NOW, "pacific")}
    assert told == {"k7/cap": (9, 1), "k7/rpm/m": (5, 1), "k7/tpm/m": (900, 150), "k7/rpd/m": (20, 1)}
    other = {bound.counter for bound in key_bounds(key, "other/model", 150, NOW, "pacific")}
    assert other == {"k7/cap", "k7/rpm/other/model"}
    assert [measure(bound) for bound in key_bounds(key, "a/b", 1, NOW, "pacific")] == ["cap", "rpm"]
    assert key_bounds(Key(8, "gemini", "", b""), "m", 1, NOW, "pacific") == []


def test_tokens_and_cost_become_what_they_came_to_and_requests_stay():
    changes = {c.counter: (c.amount, c.at) for c in settlement(list(bounds_of(ALL).values()), 77, Spending(40, 5))}
    assert changes == {
        "c5/tpm": (-110, 77), "c5/usd/day": (5 - 2_000_000, 77), "c5/usd/month": (5 - 2_000_000, 77),
        "c5/now": (-1, 0),
    }  # fmt: skip
    assert settlement([bounds_of(ALL)["c5/tpm"]], 77, EXPECTED) == []


def test_headers_tell_the_tighter_of_two_limits_on_requests():
    bounds = list(bounds_of({"rpm_limit": 60, "rpd_limit": 500, "tpm_limit": 1000}).values())
    headers = dict(limit_headers(bounds, (59, 850, 3), NOW))
    assert headers == {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": duration(MIDNIGHT - NOW),
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "850",
        "x-ratelimit-reset-tokens": "1m0s",
    }
    assert dict(limit_headers(bounds, (1, 850, 400), NOW))["x-ratelimit-limit-requests"] == "60"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0s"), (1, "1s"), (61, "1m1s"), (360, "6m0s"), (35_940, "9h59m0s"), (-5, "0s")]
)
def test_durations_are_written_as_openai_does(seconds, text):
    assert duration(seconds) == text


def test_a_refusal_names_the_limit_and_when_to_come_back():
    bounds = bounds_of(ALL)
    rpm = over_limit(bounds["c5/rpm"], 0, NOW + 12, NOW)
    assert (rpm.status, rpm.code, rpm.retry_after_s, rpm.retryable) == (429, "rate_limit_exceeded", 12, None)
    assert "60 requests per minute" in rpm.message
    assert over_limit(bounds["c5/now"], 0, float("inf"), NOW).retry_after_s == 1
    budget = over_limit(bounds["c5/usd/day"], 1_000_000, MIDNIGHT, NOW)
    assert (budget.code, budget.retryable) == ("budget_exceeded", False)
    assert "$0.50" in budget.message
    assert budget.retry_after_s == MIDNIGHT - NOW
    big = over_limit(bounds_of(ALL, Spending(5000))["c5/tpm"], 1000, float("inf"), NOW)
    assert (big.status, big.retryable) == (429, False)
    assert "5000 tokens" in big.message
    assert (
        "this pool"
        in over_limit(holder_bounds("p1", ALL, EXPECTED, NOW, "pacific")[0], 0, NOW + 1, NOW).message.lower()
    )
