from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.pauses import duration_s, retry_delay_s, retry_prose_s
from pool.core.quota import (
    PACIFIC,
    Quota,
    cap_window,
    last_reset,
    next_reset,
    violations,
)

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"


def pacific(*when):
    return datetime(*when, tzinfo=PACIFIC).timestamp()


def utc(*when):
    return datetime(*when, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17s", 17), ("0s", 0), ("59.440629838s", 59.440629838), ("174ms", 0.174), ("1m2.5s", 62.5), ("6m0s", 360),
        ("1h2m3s", 3723), ("2h", 7200), ("20", 20), (" 20 ", 20), (20, 20), (1.5, 1.5), (-3, 0),
        ("", None), (" ", None), ("soon", None), ("1.2.3s", None), ("5x", None), ("-3s", None), (None, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None), ([17], None), ({"seconds": 17}, None),
    ],
)  # fmt: skip
def test_a_duration_is_read_or_left_alone(value, seconds):
    assert duration_s(value) == (seconds if seconds is None else pytest.approx(seconds))


@given(st.one_of(st.text(), st.none(), st.floats(allow_nan=False), st.integers(), st.lists(st.text())))
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
        ("", None),
    ],
)
def test_prose_tells_when_to_come_back(message, seconds):
    assert retry_prose_s(message) == (seconds if seconds is None else pytest.approx(seconds))


def test_retry_info_is_found_among_other_details():
    assert retry_delay_s([{"@type": QUOTA_FAILURE}, "odd", {"@type": RETRY_INFO, "retryDelay": "17s"}]) == 17
    assert retry_delay_s([{"@type": RETRY_INFO}]) is None
    assert retry_delay_s([{"retryDelay": "17s"}]) is None


def failure(*rows):
    return [{"@type": QUOTA_FAILURE, "violations": list(rows)}]


@pytest.mark.parametrize(
    ("quota_id", "window", "unit", "free"),
    [
        ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "day", "requests", True),
        ("GenerateRequestsPerDayPerProjectPerModel", "day", "requests", False),
        ("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "minute", "requests", True),
        ("GenerateContentPaidTierInputTokensPerModelPerMinute", "minute", "tokens", False),
        ("GenerateContentInputTokensPerModelPerDay-FreeTier", "day", "tokens", True),
        ("EmbedContentRequestsPerDayPerProjectPerModel-FreeTier", "day", "requests", True),
        ("SomethingNobodyHasSeen", "unknown", "requests", False),
    ],
)
def test_a_quota_id_is_read_by_its_parts(quota_id, window, unit, free):
    (found,) = violations(failure({"quotaId": quota_id}))
    assert (found.window, found.unit, found.free_tier) == (window, unit, free)


def test_a_violation_names_its_limit_and_model():
    row = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
        "quotaValue": "20",
    }
    quota = Quota("day", "requests", 20, "free", "gemini-2.5-flash", True, row["quotaId"])
    assert violations(failure(row)) == (quota,)


def test_every_violation_of_every_failure_is_found():
    details = failure({"quotaId": "APerMinute"}, {"quotaId": "BPerDay"}) + failure({"quotaId": "C"})
    assert [found.window for found in violations(details)] == ["minute", "day", "unknown"]


@pytest.mark.parametrize("value", [None, "", "many", [], 1e400, float("nan"), "9" * 5000])
def test_a_limit_that_is_no_number_is_unknown(value):
    assert violations(failure({"quotaId": "APerDay", "quotaValue": value}))[0].limit is None


@pytest.mark.parametrize("details", [[None], ["x"], [{"@type": QUOTA_FAILURE}], failure("x", 3), failure({})[:0]])
def test_details_of_a_strange_shape_name_no_quota(details):
    assert violations(details) == ()


@pytest.mark.parametrize(
    ("now", "reset"),
    [
        (pacific(2026, 7, 1, 12), pacific(2026, 7, 2)),
        (pacific(2026, 12, 31, 23, 59, 59), pacific(2027, 1, 1)),
        (pacific(2026, 7, 1), pacific(2026, 7, 2)),
        # 23 hours long: the clocks go forward at two in the morning.
        (pacific(2026, 3, 8), pacific(2026, 3, 8) + 23 * 3600),
        (pacific(2026, 3, 8, 12), utc(2026, 3, 9, 7)),
        # 25 hours long.
        (pacific(2026, 11, 1), pacific(2026, 11, 1) + 25 * 3600),
        (pacific(2026, 11, 1, 12), utc(2026, 11, 2, 8)),
    ],
)
def test_daily_quotas_come_back_at_midnight_in_los_angeles(now, reset):
    assert next_reset(now) == reset


def test_midnight_in_los_angeles_is_seven_in_summer_and_eight_in_winter():
    assert next_reset(utc(2026, 7, 10)) == utc(2026, 7, 10, 7)
    assert next_reset(utc(2026, 12, 10)) == utc(2026, 12, 10, 8)


@pytest.mark.parametrize(
    ("now", "reset"),
    [
        (utc(2026, 7, 10, 6, 59, 59), utc(2026, 7, 10, 7)),
        (utc(2026, 7, 10, 7), utc(2026, 7, 11, 7)),
        (utc(2026, 12, 31, 23), utc(2027, 1, 1, 7)),
    ],
)
def test_a_fixed_hour_may_be_set_instead(now, reset):
    assert next_reset(now, "07:00 UTC") == reset


@given(st.floats(1.6e9, 2.0e9), st.sampled_from(["pacific", "07:00 UTC", "00:00 UTC", "23:59 UTC"]))
def test_a_reset_is_ahead_by_no_more_than_a_day_of_twenty_five_hours(now, quota_reset):
    assert 0 < next_reset(now, quota_reset) - now <= 25 * 3600


@given(st.floats(1.6e9, 2.0e9), st.sampled_from(["pacific", "07:00 UTC", "00:00 UTC", "23:59 UTC"]))
def test_a_quota_day_runs_from_one_reset_to_the_next(now, quota_reset):
    began_at = last_reset(now, quota_reset)
    assert 0 <= now - began_at < 25 * 3600
    assert next_reset(began_at, quota_reset) == next_reset(now, quota_reset)


def test_a_quota_day_begins_at_midnight_in_los_angeles():
    assert last_reset(pacific(2026, 11, 1, 23, 59)) == pacific(2026, 11, 1)
    assert last_reset(pacific(2026, 3, 9)) == pacific(2026, 3, 9)


def test_a_cap_without_a_window_counts_for_ever():
    assert cap_window("none", 1e9) == ("", float("inf"))


@pytest.mark.parametrize(
    ("now", "name", "ends_at"),
    [
        (pacific(2026, 7, 31, 23, 59), "2026-07", pacific(2026, 8, 1)),
        (pacific(2026, 12, 31, 23, 59), "2026-12", pacific(2027, 1, 1)),
        (pacific(2027, 1, 1), "2027-01", pacific(2027, 2, 1)),
        (pacific(2026, 11, 30, 12), "2026-11", pacific(2026, 12, 1)),
    ],
)
def test_a_cap_by_the_month_ends_with_the_month(now, name, ends_at):
    assert cap_window("month", now) == (name, ends_at)


@pytest.mark.parametrize(
    ("now", "name"),
    [
        (pacific(2026, 7, 1), "2026-07-01"),
        (pacific(2026, 7, 1, 23, 59), "2026-07-01"),
        (pacific(2026, 12, 31, 23, 59), "2026-12-31"),
        (pacific(2026, 3, 8, 23, 59), "2026-03-08"),
        (pacific(2026, 11, 1, 0, 30), "2026-11-01"),
    ],
)
def test_a_cap_by_the_day_ends_with_the_day(now, name):
    assert cap_window("day", now) == (name, next_reset(now))


@pytest.mark.parametrize("quota_reset", ["pacific", "07:00 UTC", "08:30 UTC", "00:15 UTC", "23:45 UTC"])
def test_no_two_days_of_a_year_share_a_name(quota_reset):
    now, names = utc(2026, 1, 1, 3), []
    for _ in range(366):
        name, ends_at = cap_window("day", now, quota_reset)
        names.append(name)
        now = ends_at
    assert len(set(names)) == 366
    assert names == sorted(names)
