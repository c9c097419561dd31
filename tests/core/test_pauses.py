"""How long an upstream asks us to wait, in each of the ways it has to say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.pauses import duration_s, retry_after_s, retry_delay_s, retry_prose_s, told_s

NOW = 1_790_000_000.0
"""Mon, 21 Sep 2026 14:13:20 GMT."""

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17s", 17), ("0s", 0), ("59.440629838s", 59.440629838), ("174ms", 0.174), ("1m2.5s", 62.5), ("6m0s", 360),
        ("1h2m3s", 3723), ("2h", 7200), ("20", 20), (" 20 ", 20), (20, 20), (1.5, 1.5), (-3, 0),
        ("", None), (" ", None), ("soon", None), ("1.2.3s", None), ("5x", None), ("1d", 86_400), (True, None),
        (10**400, None), (float("nan"), 0), ("-3s", None), (None, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None), ([17], None), ({"seconds": 17}, None),
    ],
)  # fmt: skip
def test_a_duration_is_read_or_left_alone(value, seconds):
    assert duration_s(value) == (seconds if seconds is None else pytest.approx(seconds))


@given(st.one_of(st.text(), st.none(), st.floats(), st.integers(), st.lists(st.text())))
def test_no_duration_is_negative_and_none_raises(value):
    found = duration_s(value)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 174ms. Visit https://platform.openai.com", 0.174),
        ("Limit 10000, Used 9348. Please try again in 26.604s. Visit", 26.604),
        ("Please try again in 1m2.5s.", 62.5),
        ("Please try again in 7h12m0s. Visit", 25_920),
        ("limit: 20, model: gemini-2.5-flash\nPlease retry in 17.984925417s.", 17.984925417),
        ("Please try again later.", None),
        ("Please retry in a while", None),
        ("Please retry after 26 seconds. Visit", 26),
        ("please try again in 5 minutes", 300),
        ("Please try again in 1d2h.", 93_600),
        ("Try again in 1 hour, 30 minutes and then rest", 5400),
        ("Please retry in 250 milliseconds", 0.25),
        ("Please try again in 20 steps", None),
        ("", None),
    ],
)
def test_prose_tells_when_to_come_back(message, seconds):
    assert retry_prose_s(message) == (seconds if seconds is None else pytest.approx(seconds))


def test_retry_info_is_found_among_other_details():
    assert retry_delay_s([{"@type": QUOTA_FAILURE}, "odd", {"@type": RETRY_INFO, "retryDelay": "17s"}]) == 17
    assert retry_delay_s([{"@type": RETRY_INFO}]) is None
    assert retry_delay_s([{"retryDelay": "17s"}]) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "30"}, 30),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "6"}, 0.006),
        ({"retry-after-ms": "6", "retry-after": "1"}, 0.006),
        ({"retry-after": "Mon, 21 Sep 2026 14:14:10 GMT"}, 50),
        ({"retry-after": "Monday, 21-Sep-26 14:14:10 GMT"}, 50),
        ({"retry-after": "Mon, 21 Sep 2026 14:14:10 -0000"}, 50),
        ({"retry-after": "Mon, 21 Sep 2026 14:00:00 GMT"}, 0),
        # Its clock is ten minutes fast, ours is not asked.
        ({"retry-after": "Mon, 21 Sep 2026 14:24:10 GMT", "date": "Mon, 21 Sep 2026 14:23:20 GMT"}, 50),
        ({"retry-after": "Mon, 99 Sep 2026 14:14:10 GMT"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers, seconds):
    assert retry_after_s(headers, NOW) == (seconds if seconds is None else pytest.approx(seconds))


def test_a_date_tells_nothing_without_a_clock():
    date = "Mon, 21 Sep 2026 14:14:10 GMT"
    assert retry_after_s({"retry-after": date}) is None
    assert retry_after_s({"retry-after": date, "date": "Mon, 21 Sep 2026 14:14:00 GMT"}) == 10


def test_the_longest_of_all_that_is_said_counts():
    details = [{"@type": RETRY_INFO, "retryDelay": "17s"}]
    assert told_s("Please retry in 17.98s.", details, {"retry-after": "5"}, NOW) == pytest.approx(17.98)
    assert told_s("Please retry in 17.98s.", details, {"retry-after": "25"}, NOW) == 25
    assert told_s("", details, {}, NOW) == 17
    assert told_s("", (), {}, NOW) is None


texts = st.text(max_size=40) | st.sampled_from(["Mon, 21 Sep 2026 14:14:10 GMT", "9" * 400, "1e999", "0 Jan 1 0:0:0"])


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), texts), texts)
def test_no_header_and_no_prose_raises(headers, message):
    told = told_s(f"Please retry in {message}", (), headers, NOW)
    assert told is None or told >= 0
