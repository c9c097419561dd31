from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.quota import (
    PACIFIC,
    Allowance,
    Quota,
    allowances,
    cap_window,
    comes_back,
    last_reset,
    longest,
    next_reset,
    said_by_openai,
    spent_allowances,
    violations,
)

QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"


def pacific(*when):
    return datetime(*when, tzinfo=PACIFIC).timestamp()


def utc(*when):
    return datetime(*when, tzinfo=UTC).timestamp()


def failure(*rows):
    return [{"@type": QUOTA_FAILURE, "violations": list(rows)}]


@pytest.mark.parametrize(
    ("quota_id", "window", "unit", "tier"),
    [
        ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "day", "requests", "free"),
        ("GenerateRequestsPerDayPerProjectPerModel", "day", "requests", "paid"),
        ("PredictRequestsPerDayPerProjectPerModelPaidTier1", "day", "requests", "paid"),
        ("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "minute", "requests", "free"),
        ("GenerateContentPaidTierInputTokensPerModelPerMinute", "minute", "tokens", "paid"),
        ("GenerateContentInputTokensPerModelPerDay-FreeTier", "day", "tokens", "free"),
        ("EmbedContentRequestsPerDayPerProjectPerModel-FreeTier", "day", "requests", "free"),
        ("CountTokensRequestsPerMinutePerProject", "minute", "requests", "paid"),
        ("OutputTokensPerMinute", "minute", "output_tokens", ""),
        ("ImagesPerMinute", "minute", "images", ""),
        ("generaterequestsperdayperprojectpermodel-freetier", "day", "requests", "free"),
        ("GENERATE_REQUESTS_PER_DAY_FREE_TIER", "day", "requests", "free"),
        ("generate_content_input_token_count_per_minute", "minute", "tokens", ""),
        ("input-tokens-per-hour", "hour", "tokens", ""),
        ("RequestsPerSecond", "second", "requests", ""),
        ("SearchesPerMonth", "month", "requests", ""),
        ("DailyRequests", "day", "requests", ""),
        ("RequestsPerMinuteOfTheBusiestPerDay", "day", "requests", ""),
        ("SomethingNobodyHasSeen", "unknown", "requests", ""),
        ("PermissionChecks", "unknown", "requests", ""),
    ],
)
def test_a_quota_id_is_read_by_its_parts(quota_id, window, unit, tier):
    (found,) = violations(failure({"quotaId": quota_id}))
    assert (found.window, found.unit, found.tier, found.quota_id) == (window, unit, tier, quota_id)
    assert found.free_tier == (tier == "free")
    assert found.entitled


def test_a_metric_tells_what_an_id_does_not():
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_input_token_count"
    (found,) = violations(failure({"quotaId": "SharedPerMinute", "quotaMetric": metric}))
    assert (found.window, found.unit, found.tier) == ("minute", "tokens", "free")
    (found,) = violations(failure({"quotaMetric": metric}))
    assert (found.window, found.unit, found.quota_id) == ("unknown", "tokens", metric)


def test_an_old_violation_is_read_in_its_description():
    (found,) = violations(failure({"subject": "project:123456", "description": "Requests per day are over."}))
    assert (found.window, found.unit, found.quota_id) == ("day", "requests", "")


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


@pytest.mark.parametrize("value", [None, "", "many", [], {}, True, 1e400, float("nan"), "9" * 5000, 10**30, -1, "-1"])
def test_a_limit_that_is_no_number_is_unknown(value):
    (found,) = violations(failure({"quotaId": "APerDay", "quotaValue": value}))
    assert (found.limit, found.entitled) == (None, True)


@pytest.mark.parametrize("value", [0, "0", 0.0])
def test_a_limit_of_nothing_entitles_to_nothing(value):
    (found,) = violations(failure({"quotaId": "APerDay", "quotaValue": value}))
    assert (found.limit, found.entitled) == (0, False)


def test_a_key_in_a_name_is_not_kept():
    key = "AIzaSyA-0123456789_abcdefghijklmnopqrst"
    row = {"quotaId": f"PerDay{key}", "quotaDimensions": {"model": key * 50}}
    (found,) = violations(failure(row))
    assert key not in repr(found)
    assert len(found.model) <= 200


METRIC = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
LINE = f"* Quota exceeded for metric: {METRIC}, limit: "


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"Over.\n{LINE}20, model: gemini-2.5-flash\nPlease retry in 58.8s.",
         Quota("unknown", "requests", 20, "free", "gemini-2.5-flash", quota_id=METRIC)),
        (f"{LINE}1,500, location: global, model: m.", Quota("unknown", "requests", 1500, "free", "m", quota_id=METRIC)),
        (f"{LINE}0, model: m", Quota("unknown", "requests", 0, "free", "m", False, METRIC)),
        (f"{LINE}0", Quota("unknown", "requests", 0, "free", "", False, METRIC)),
        (f"{LINE}20.", Quota("unknown", "requests", 20, "free", quota_id=METRIC)),
        (f"{LINE}0.5, model: m", Quota("unknown", "requests", None, "free", "m", quota_id=METRIC)),
        (f"{LINE}some, model: m", Quota("unknown", "requests", None, "free", "m", quota_id=METRIC)),
        ("QUOTA EXCEEDED FOR METRIC: g/PAID_TIER_INPUT_TOKENS_PER_DAY, LIMIT: 7",
         Quota("day", "tokens", None, "paid", quota_id="g/PAID_TIER_INPUT_TOKENS_PER_DAY")),
        ("Quota exceeded for quota metric 'Content API requests' and limit 'Request limit per minute for a region'"
         " of service 'g' for consumer 'project_number:1'.",
         Quota("minute", "requests", None, quota_id="Request limit per minute for a region")),
        ("Quota exceeded for x.googleapis.com/requests_per_minute_per_project with base model: gemini-pro. Ask.",
         Quota("minute", "requests", None, "", "gemini-pro", True, "x.googleapis.com/requests_per_minute_per_project")),
    ],
)  # fmt: skip
def test_a_quota_that_only_the_message_names_is_decoded(message, expected):
    assert violations((), message) == (expected,)


def test_every_line_of_a_message_is_a_quota():
    found = violations((), f"{LINE}20, model: m\n{LINE}0, model: n\nPlease retry in 5s.")
    assert [(quota.limit, quota.model) for quota in found] == [(20, "m"), (0, "n")]


def test_a_limit_left_out_of_the_details_is_found_in_the_message():
    rows = [{"quotaId": "APerDay", "quotaMetric": METRIC}, {"quotaId": "BPerMinute", "quotaMetric": METRIC}]
    found = violations(failure(*rows), f"{LINE}0, model: m\n{LINE}15, model: m")
    assert [(quota.quota_id, quota.limit, quota.entitled, quota.model) for quota in found] == [
        ("APerDay", 0, False, "m"),
        ("BPerMinute", 15, True, "m"),
    ]
    told = [{**row, "quotaValue": "7"} for row in rows]
    assert [quota.limit for quota in violations(failure(*told), f"{LINE}20\n{LINE}20")] == [7, 7]


def test_a_message_that_knows_of_no_entitlement_is_heard_beside_details():
    assert [quota.entitled for quota in violations(failure({"quotaId": "APerDay"}), f"{LINE}0, model: m")] == [
        True,
        False,
    ]
    assert len(violations(failure({"quotaId": "APerDay"}), f"{LINE}20, model: m")) == 1


def test_a_quota_is_found_in_error_info_where_there_is_no_failure():
    metadata = {"quota_metric": "g/requests", "quota_limit": "RequestsPerMinutePerRegion", "quota_limit_value": "60"}
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "metadata": metadata}
    assert violations([info]) == (Quota("minute", "requests", 60, quota_id="RequestsPerMinutePerRegion"),)
    assert violations([{**info, "metadata": {"service": "g"}}, {**info, "metadata": "odd"}]) == ()


@pytest.mark.parametrize("details", [[None], ["x"], [{"@type": QUOTA_FAILURE}], failure("x", 3), failure({})[:0]])
def test_details_of_a_strange_shape_name_no_quota(details):
    assert violations(details) == ()


@pytest.mark.parametrize(
    ("message", "kind", "expected"),
    [
        ("for gpt-4.1 in organization o on tokens per min (TPM): Limit 30000, Used 18928, Requested 11159. Please try",
         "tokens", ("minute", "tokens", 30_000, "gpt-4.1", 11_159)),
        ("for gpt-4o in organization o on requests per day (RPD): Limit 200, Used 200, Requested 1.",
         "requests", ("day", "requests", 200, "gpt-4o", 1)),
        ("for model `a/b` in organization `o` on tokens per minute (TPM): Limit 6,000, Used 5,900, Requested 400.",
         "", ("minute", "tokens", 6000, "a/b", 400)),
        ("for all in organization o on requests per min. Limit: 60.000000 / min. Current: 70.000000 / min.",
         "requests", ("minute", "requests", 60, "all", None)),
        ("for dall-e-3 in organization o on images per min: Limit: 5/1min.", "images",
         ("minute", "images", 5, "dall-e-3", None)),
        ("for RPM", "", ("minute", "requests", None, "", None)),
        ("for TPD", "", ("day", "tokens", None, "", None)),
        ("for nothing that is named", "tokens", ("minute", "tokens", None, "nothing", None)),
    ],
)  # fmt: skip
def test_openais_words_name_a_quota(message, kind, expected):
    (found,) = said_by_openai(f"Rate limit reached {message}", kind)
    assert (found.window, found.unit, found.limit, found.model, found.requested) == expected
    assert found.rolling
    assert found.quota_id == f"{found.unit} per {found.window}"


@pytest.mark.parametrize(
    ("message", "limit", "requested", "model"),
    [
        ("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000. Reduce it.",
         30_000, 40_000, "gpt-4o"),
        ("Request too large for gpt-4.1-2025 (for limit gpt-4.1) in organization o on tokens per min (TPM): "
         "Limit 30000, Requested 37313.", 30_000, 37_313, "gpt-4.1"),
        ("Request too large for gpt-4o: Limit 30000, Requested 33926", 30_000, 33_926, "gpt-4o"),
    ],
)  # fmt: skip
def test_a_request_too_large_says_so_itself(message, limit, requested, model):
    (found,) = said_by_openai(message)
    assert (found.unit, found.window) == ("tokens", "minute")
    assert (found.limit, found.requested, found.model) == (limit, requested, model)
    assert found.too_small_for(0)


def test_azures_words_name_a_quota():
    (found,) = said_by_openai(
        "Requests to X have exceeded token rate limit of your tier. Please retry after 26 seconds."
    )
    assert (found.window, found.unit, found.limit) == ("minute", "tokens", None)


def test_a_limit_of_nothing_is_no_entitlement_at_openai_too():
    (found,) = said_by_openai("Rate limit reached for m on requests per day (RPD): Limit 0, Used 0, Requested 1.")
    assert (found.limit, found.entitled) == (0, False)


@pytest.mark.parametrize(
    "message", ["", "Slow down.", "Too many requests", "Rate limit exceeded", "Per aspera ad astra"]
)
def test_words_without_a_quota_name_none(message):
    assert said_by_openai(message, "rate_limit_exceeded") == ()


def limit_headers(unit, limit, remaining, reset):
    named = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{name}-{unit}": value for name, value in named.items() if value is not None}


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "window"),
    [
        ("500", "499", "120ms", "minute"),
        ("30000", "29962", "76ms", "minute"),
        ("60", "0", "1m0s", "minute"),
        ("10000", "9999", "8.64s", "day"),
        ("10000", "9993", "1m0.198s", "day"),
        ("200", "0", "23h59m", "day"),
        ("500", "500", "0s", "minute"),
        ("500", "499", None, "minute"),
        ("500", "499", "soon", "minute"),
    ],
)
def test_headers_tell_a_limit_and_how_fast_it_fills_tells_its_window(limit, remaining, reset, window):
    (found,) = allowances(limit_headers("requests", limit, remaining, reset))
    assert (found.quota.window, found.quota.unit, found.quota.limit) == (window, "requests", int(limit))
    assert found.remaining == int(remaining)


def test_only_an_allowance_that_is_used_up_is_violated():
    headers = limit_headers("requests", "500", "499", "1s") | limit_headers("tokens", "900", "0", "7s")
    assert len(allowances(headers)) == 2
    quota = Quota("minute", "tokens", 900, quota_id="tokens per minute", rolling=True)
    assert spent_allowances(headers) == (quota,)
    assert allowances(headers)[1] == Allowance(quota, 0, 7.0)


@pytest.mark.parametrize("value", ["", "XXX", "-1", "1e5", "9" * 400])
def test_headers_that_are_no_numbers_tell_nothing(value):
    assert allowances(limit_headers("tokens", value, "0", "1s") | limit_headers("requests", "5", value, "1s")) == ()


@given(st.dictionaries(st.sampled_from(sorted(limit_headers("tokens", "", "", ""))), st.text(max_size=9)))
def test_no_header_raises(headers):
    assert len(allowances(headers)) <= 1


def test_a_flood_of_violations_is_cut():
    rows = [{"quotaId": f"Requests{n}PerDay", "quotaValue": n} for n in range(1000)]
    assert len(violations(failure(*rows))) == 20
    assert len(violations((), f"{LINE}5\n" * 1000)) == 20


def test_the_longest_window_decides():
    windows = ["second", "minute", "day", "unknown", "hour"]
    assert longest([Quota(window) for window in windows]).window == "day"
    assert longest([Quota("minute", "tokens"), Quota("minute", "requests")]).unit == "tokens"
    assert longest([]) is None


@pytest.mark.parametrize(
    ("quota", "told_s", "rests_s"),
    [
        (None, None, 60), (None, 17.0, 19), (Quota("minute"), 0.0, 3), (Quota("minute"), None, 60),
        (Quota("unknown"), 58.8, 60.8), (Quota("second"), 1.0, 3), (Quota("minute"), 1e12, 86_400),
        (Quota("hour"), None, 3600), (Quota("hour"), 600.0, 602),
        (Quota("day", rolling=True), 432.0, 434), (Quota("day", rolling=True), 8.64, 10.64),
    ],
)  # fmt: skip
def test_a_quota_comes_back_when_it_says_or_after_its_window(quota, told_s, rests_s):
    assert comes_back(quota, told_s, 1e9) == pytest.approx(1e9 + rests_s)


@pytest.mark.parametrize("window", ["day", "month"])
@pytest.mark.parametrize("told_s", [None, 0.0, 17.0, 1e6])
@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (pacific(2026, 7, 1), 24),
        (pacific(2026, 3, 8), 23),
        (pacific(2026, 3, 8, 1, 59, 59), 23 - 2 + 1 / 3600),
        (pacific(2026, 11, 1), 25),
        (pacific(2026, 11, 1, 12), 12),
    ],
)
def test_a_day_of_googles_rests_until_midnight_whatever_it_says(window, told_s, now, hours):
    assert comes_back(Quota(window), told_s, now) - now == pytest.approx(hours * 3600)
    assert comes_back(Quota(window), told_s, now, "07:00 UTC") == next_reset(now, "07:00 UTC")


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
