"""Single rules of the outcome table, and the properties that hold for any answer."""

import json
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pool.core.dialects.errors import ErrorFields
from pool.core.faults import Broken, CannotConnect, TimedOut, UpstreamError
from pool.core.keys import FOREVER
from pool.core.outcomes import (
    KEY,
    KEY_MODEL,
    NOBODY,
    OTHER_KEY,
    RETURN,
    SAME_KEY,
    Outcome,
    Penalties,
    classify,
    failed,
    same_token_limit,
    too_large,
)
from pool.core.quota import PACIFIC, next_reset

from .refusals import (
    DAY_S,
    NOW,
    TYPES,
    WEEK_S,
    error_info,
    google,
    judged,
    limited,
    openai,
    quota,
    retry_info,
    spent,
)


def verdict(outcome):
    return outcome.next, outcome.scope, outcome.blamed


RETURNED = (RETURN, NOBODY, False)


@pytest.mark.parametrize("status", [200, 201, 204, 206])
def test_a_2xx_teaches_nothing_bad(status):
    outcome = judged(status)
    assert (outcome.kind, *verdict(outcome)) == ("ok", *RETURNED)


@pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 422])
def test_the_callers_own_mistake_blames_no_key(status):
    assert verdict(judged(status, google(status, "Request contains an invalid argument."))) == RETURNED


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, google(400, "API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID")),
        (400, google(400, "API key not valid. Please pass a valid API key.")),
        (400, google(400, "API key expired. Please renew the API key.", reason="API_KEY_INVALID")),
        (400, google(400, "API Key not found. Please pass a valid API key.")),
        (401, openai("Incorrect API key provided: sk-abc.", "invalid_api_key")),
        (401, openai("Authentication error, invalid API key given.")),
        (401, openai("The account has been deactivated.", "account_deactivated")),
        (403, google(403, "Your API key was reported as leaked. Please use another API key.")),
        (403, google(403, "Consumer 'api_key:X' has been suspended.", reason="CONSUMER_SUSPENDED")),
        (403, google(403, "Permission denied: Consumer 'api_key:X' has been suspended.")),
        (403, google(403, "Permission denied on resource project default.", reason="CONSUMER_INVALID")),
        (403, google(403, "This service has been disabled in this account for violation of Terms of\n\t\tService.")),
    ],
)
def test_a_key_refused_for_good_is_dead_with_the_reason(status, body):
    outcome = judged(status, body)
    assert verdict(outcome) == (OTHER_KEY, KEY, True)
    assert outcome.until == FOREVER
    assert outcome.dead
    assert outcome.reason == body["error"]["message"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, 'Invalid JSON payload received. Unknown name "API key not valid": Cannot find field.'),
        (400, "Invalid value at 'contents': api key expired"),
        (400, "Unsupported parameter: 'invalid api key' is not supported with this model."),
        (403, "You do not have access to 'your account has been suspended'"),
        (403, "The file `reported as leaked` is not yours"),
    ],
)
def test_what_a_caller_wrote_and_an_upstream_quotes_kills_no_key(status, message):
    assert not judged(status, google(status, message)).dead


@pytest.mark.parametrize("reason", ["SERVICE_DISABLED", "API_KEY_SERVICE_BLOCKED"])
def test_a_switched_off_service_rests_the_key(reason):
    outcome = judged(403, google(403, "It is disabled.", reason=reason), cooldown_s=7200.0)
    assert (*verdict(outcome), outcome.until) == (OTHER_KEY, KEY, True, NOW + 7200)


@pytest.mark.parametrize(
    "message",
    [
        "CachedContent not found (or permission denied)",
        "You do not have permission to access the File abc or it may not exist.",
    ],
)
def test_a_file_or_cache_of_another_key_blames_nobody(message):
    assert verdict(judged(403, google(403, message))) == RETURNED


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, google(404, "This model models/x is no longer available to new users. Please update your code")),
        (403, openai("Project `p` does not have access to model `gpt-5`", "model_not_found")),
        (403, openai("You have no access to the model gpt-5")),
        (429, spent("Quota exceeded", quota("RequestsPerDay", value="0"))),
        (429, spent("* Quota exceeded for metric: x, limit: 0, model: gemini-2.5-pro\nPlease retry in 40s.")),
        # Google leaves a quotaValue of 0 out.
        (429, spent("* Quota exceeded for metric: x, limit: 0, model: y", quota("RequestsPerDay-FreeTier"))),
    ],
)
def test_a_model_a_key_is_not_entitled_to_is_probed_again_in_a_week(status, body):
    outcome = judged(status, body)
    assert (outcome.kind, *verdict(outcome)) == ("not_entitled", OTHER_KEY, KEY_MODEL, False)
    assert outcome.until == NOW + WEEK_S


@pytest.mark.parametrize(
    "body",
    [
        google(404, "models/x is not found for API version v1beta, or is not supported for generateContent."),
        openai("The model `x` does not exist or you do not have access to it.", "model_not_found"),
    ],
)
def test_any_other_404_of_a_model_goes_back(body):
    assert verdict(judged(404, body)) == RETURNED


def test_a_402_rests_the_key_like_spent_credit():
    outcome = judged(402, openai("Payment required"), cooldown_s=DAY_S)
    assert (outcome.kind, *verdict(outcome)) == ("insufficient_quota", OTHER_KEY, KEY, True)
    assert outcome.until == NOW + DAY_S


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"", b"Forbidden", google(403, "The caller does not have permission")])
def test_a_refusal_without_a_known_reason_is_a_suspicion(status, body):
    outcome = judged(status, body)
    assert (outcome.kind, *verdict(outcome)) == ("suspected", OTHER_KEY, KEY, True)
    assert outcome.until == NOW + 60


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_counts_as_a_bad_gateway(status):
    outcome = judged(status)
    assert (outcome.kind, outcome.blamed, outcome.transient) == ("overloaded", False, True)


@pytest.mark.parametrize(
    "details",
    [
        (quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", value="20"), retry_info("17s")),
        (quota("GenerateRequestsPerDayPerProjectPerModel"),),
        (quota("TokensPerMinute", "RequestsPerMinute", "RequestsPerDay"), retry_info("1s")),
    ],
)
def test_a_days_quota_rests_until_midnight_whatever_retry_info_says(details):
    outcome = judged(429, spent("Please retry in 17.98s.", *details), {"retry-after": "17"})
    assert (outcome.kind, *verdict(outcome)) == ("quota_day", OTHER_KEY, KEY_MODEL, True)
    assert outcome.until == next_reset(NOW)
    assert outcome.quota.window == "day"


def test_a_days_quota_may_come_back_at_a_set_hour():
    outcome = judged(429, spent("", quota("RequestsPerDay")), quota_reset="07:00 UTC")
    assert outcome.until == next_reset(NOW, "07:00 UTC")


@pytest.mark.parametrize(
    ("message", "details", "headers", "pause_s"),
    [
        ("", (quota("RequestsPerMinute"), retry_info("38s")), {}, 40),
        ("", (quota("RequestsPerMinute"), retry_info("0s")), {}, 3),
        ("", (quota("RequestsPerMinute"), retry_info("10s")), {"retry-after": "25"}, 27),
        ("Please retry in 59.5s.", (quota("RequestsPerMinute"), retry_info("59s")), {}, 61.5),
        ("", (quota("RequestsPerMinute"),), {}, 60),
        ("Resource has been exhausted (e.g. check quota).", (), {}, 60),
        ("", (retry_info("999999999s"),), {}, DAY_S),
        ("", (retry_info("9" * 400 + "s"),), {}, DAY_S),
        ("", (), {"retry-after": "Mon, 21 Sep 2026 14:14:10 GMT"}, 52),
        ("", (), {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, DAY_S),
        ("", (), {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 3),
        ("", (), {"retry-after": "Wed, 21 Oct"}, 60),
    ],
)
def test_a_minutes_quota_rests_as_long_as_told_and_a_little_longer(message, details, headers, pause_s):
    outcome = judged(429, spent(message, *details), headers)
    assert (outcome.kind, *verdict(outcome)) == ("quota_minute", OTHER_KEY, KEY_MODEL, True)
    assert outcome.until == pytest.approx(NOW + pause_s)


def test_openais_rate_limit_is_a_minutes_quota():
    message = "Rate limit reached for gpt-4.1 on tokens per min (TPM): Limit 30000. Please try again in 174ms."
    outcome = judged(429, openai(message, "rate_limit_exceeded", "tokens"))
    assert (outcome.kind, outcome.scope, outcome.until) == ("quota_minute", KEY_MODEL, NOW + 3)


@pytest.mark.parametrize(
    "body",
    [
        openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
        openai(
            "You exceeded your current quota, please check your plan and billing details. For more information on "
            "this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
        ),
        openai("Your account is not active, please check your billing details.", "billing_not_active"),
        spent("Your prepayment credits are depleted. Please go to AI Studio."),
        spent("Your project has exceeded its monthly spending cap."),
    ],
)
def test_spent_money_rests_the_whole_key(body):
    outcome = judged(429, body, cooldown_s=3600.0)
    assert (outcome.kind, *verdict(outcome)) == ("insufficient_quota", OTHER_KEY, KEY, True)
    assert outcome.until == NOW + 3600


def test_a_day_that_google_names_in_free_words_rests_until_midnight_too():
    outcome = judged(429, spent("All requests per day are used. Please retry in 17s."))
    assert (outcome.kind, outcome.until) == ("quota_day", next_reset(NOW))


def test_googles_words_for_a_quota_without_details_are_not_taken_for_spent_money():
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.\nPlease retry in 48.9s."
    )
    outcome = judged(429, spent(message))
    assert (outcome.kind, outcome.until) == ("quota_minute", pytest.approx(NOW + 50.9))


@pytest.mark.parametrize(
    "body",
    [
        spent("No capacity available for model x on the server", {"@type": TYPES + "ErrorInfo",
              "reason": "MODEL_CAPACITY_EXHAUSTED"}),
        spent("Resource exhausted. Please try again later. Please refer to https://cloud.google.com/x for details."),
    ],
)  # fmt: skip
def test_shared_capacity_is_the_upstreams_own_trouble(body):
    outcome = judged(429, body)
    assert (outcome.kind, outcome.next, outcome.blamed, outcome.transient) == ("overloaded", SAME_KEY, False, True)


def test_a_named_quota_beside_a_word_of_overload_is_still_a_quota():
    outcome = judged(429, spent("The model is overloaded", quota("RequestsPerMinute")))
    assert (outcome.kind, outcome.blamed) == ("quota_minute", True)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, google(400, "User location is not supported for the API use.", word="FAILED_PRECONDITION")),
        (400, google(400, "Gemini API free tier is not available in your country. Please enable billing.")),
        (403, openai("Country, region, or territory not supported", "unsupported_country_region_territory")),
    ],
)
def test_a_refused_country_goes_to_the_client(status, body):
    outcome = judged(status, body)
    assert (outcome.kind, *verdict(outcome)) == ("location", *RETURNED)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, google(400, "Multiple authentication credentials received. Please pass only one.")),
        (401, google(401, "Expected OAuth 2 access token", reason="ACCESS_TOKEN_TYPE_UNSUPPORTED")),
        (401, google(401, "API keys are not supported by this API.", reason="CREDENTIALS_MISSING")),
        (403, google(403, "Method doesn't allow unregistered callers (callers without established identity).")),
    ],
)
def test_a_credential_we_sent_wrongly_is_our_own_fault(status, body):
    outcome = judged(status, body)
    assert (outcome.kind, *verdict(outcome)) == ("misrouted", *RETURNED)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
def test_an_overload_blames_nobody_and_tries_the_same_key_once_more(status):
    outcome = judged(status, google(status, "The model is overloaded."))
    assert (outcome.kind, outcome.next, outcome.scope) == ("overloaded", SAME_KEY, KEY_MODEL)
    assert (outcome.blamed, outcome.transient) == (False, True)
    assert "The model is overloaded." in outcome.reason


def test_an_upstream_that_cannot_be_reached_blames_no_key_and_any_retry_is_safe():
    outcome = failed(CannotConnect("refused"), Penalties(retry_unsure=False))
    assert (outcome.kind, *verdict(outcome), outcome.transient) == ("unreachable", OTHER_KEY, NOBODY, False, True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(TimedOut("first_byte"), "timeout"), (Broken("cut"), "broken"), (UpstreamError("?"), "failed")],
)
def test_what_broke_after_sending_is_tried_elsewhere_if_that_is_wanted(error, kind):
    outcome = failed(error)
    assert (outcome.kind, *verdict(outcome), outcome.transient) == (kind, OTHER_KEY, NOBODY, False, True)
    assert failed(error, Penalties(retry_unsure=False)).next == RETURN


@pytest.mark.parametrize("status", [100, 402 + 16, 431, 501, 599, 999])
def test_anything_else_goes_back(status):
    assert verdict(judged(status, openai("I'm a teapot"))) == RETURNED


# -- what the decoder hands on ---------------------------------------------------------------------------------


def test_limits_are_kept_to_be_learned_and_the_longest_decides():
    minute, day = quota("TokensPerMinute", value="250000"), quota("RequestsPerDay-FreeTier", "APerHour", value="20")
    outcome = judged(429, spent("", minute, quota("BPerDay"), day))
    assert (outcome.quota.window, outcome.until) == ("day", next_reset(NOW))
    assert [(each.window, each.limit) for each in outcome.limits] == [("minute", 250_000), ("day", 20), ("hour", 20)]


def test_the_quota_that_entitles_to_nothing_decides():
    outcome = judged(429, spent("", quota("RequestsPerDay", value="0"), quota("TokensPerMinute", value="9")))
    assert (outcome.kind, outcome.quota.limit, outcome.quota.entitled) == ("not_entitled", 0, False)
    assert [each.limit for each in outcome.limits] == [9]


def test_an_answer_without_a_quota_hands_none_on():
    for outcome in (judged(429), judged(403), judged(503), judged(404), judged(200), failed(Broken("cut"))):
        assert (outcome.quota, outcome.limits, outcome.project) == (None, (), "")


def test_headers_name_the_quota_where_the_words_do_not():
    headers = {
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "12s",
    }
    outcome = judged(429, openai("Slow down.", "rate_limit_exceeded"), headers)
    assert (outcome.quota.unit, outcome.quota.limit, outcome.until) == ("tokens", 30_000, NOW + 14)
    told = judged(429, openai("Please try again in 3s.", "rate_limit_exceeded"), headers)
    assert told.until == NOW + 5


@pytest.mark.parametrize("status", [400, 403, 404, 429, 503])
def test_a_project_is_learned_from_any_error_that_tells_it(status):
    body = google(status, "No.", error_info("WHATEVER", consumer="projects/123456"))
    assert judged(status, body).project == "projects/123456"


@pytest.mark.parametrize(
    ("when", "until"),
    [
        (datetime(2026, 3, 8, 0, 30, tzinfo=PACIFIC), datetime(2026, 3, 9, tzinfo=PACIFIC)),
        (datetime(2026, 3, 7, 23, 30, tzinfo=PACIFIC), datetime(2026, 3, 8, tzinfo=PACIFIC)),
        (datetime(2026, 11, 1, 0, 30, tzinfo=PACIFIC), datetime(2026, 11, 2, tzinfo=PACIFIC)),
        (datetime(2026, 11, 1, 1, 30, fold=1, tzinfo=PACIFIC), datetime(2026, 11, 2, tzinfo=PACIFIC)),
    ],
)
def test_a_days_quota_rests_until_midnight_also_when_the_clocks_change(when, until):
    outcome = judged(429, spent("", quota("RequestsPerDay"), retry_info("9s")), now=when.timestamp())
    assert outcome.until == until.timestamp()


# -- requests that no minute has room for -----------------------------------------------------------------------

TOKENS = quota("GenerateContentInputTokensPerModelPerMinute-FreeTier", value="250000")


@pytest.mark.parametrize(("estimate", "refused"), [(249_999, False), (250_000, True), (10**9, True), (0, False)])
def test_a_prompt_as_large_as_a_minutes_tokens_is_too_large(estimate, refused):
    found = too_large(judged(429, spent("", TOKENS, retry_info("30s"))), estimate)
    assert (found is not None) == refused
    assert found is None or (found.limit, found.unit, found.window) == (250_000, "tokens", "minute")


@pytest.mark.parametrize(
    "details",
    [
        [],
        [quota("RequestsPerMinute", value="5")],
        [quota("CountTokensRequestsPerMinute", value="5")],
        [quota("InputTokensPerDay", value="5")],
        [quota("OutputTokensPerMinute", value="5")],
        [quota("InputTokensPerMinute")],
        [quota("InputTokensPerMinute", value="0")],
        [quota("InputTokensPerMinute", value="5"), quota("RequestsPerDay", value="0")],
    ],
)
def test_no_other_refusal_is_about_the_size_of_the_prompt(details):
    assert too_large(judged(429, spent("", *details)), 10**9) is None


def test_too_large_is_told_beside_a_day_too_and_the_smallest_limit_is_named():
    body = spent("", TOKENS, quota("TokensPerMinute", value="9000"), quota("RequestsPerDay", value="20"))
    assert too_large(judged(429, body), 300_000).limit == 9000


def test_a_token_quota_of_the_message_alone_counts_too():
    line = "* Quota exceeded for metric: g/generate_content_paid_tier_input_token_count, limit: 1000000, model: m"
    assert too_large(judged(429, spent(line)), 1_000_001).limit == 1_000_000


def test_openai_knows_itself_what_is_too_large():
    large = judged(429, limited("tokens per min (TPM): Limit 30000, Requested 40000. Make it shorter."))
    busy = judged(
        429, limited("tokens per min (TPM): Limit 30000, Used 20000, Requested 11000. Please try again in 2s.")
    )
    assert too_large(large, 10).requested == 40_000
    assert too_large(busy, 50_000) is None
    assert same_token_limit(large, large).limit == 30_000
    assert same_token_limit(busy, busy) is None


def test_only_a_429_can_be_about_a_minutes_tokens():
    for outcome in (judged(400), judged(503), judged(402), judged(429), failed(Broken("cut"))):
        assert too_large(outcome, 10**9) is None
        assert same_token_limit(outcome, outcome) is None


def test_two_keys_that_refuse_on_the_same_token_limit():
    one = judged(429, spent("", TOKENS, retry_info("30s")))
    other = judged(429, spent("", quota("RequestsPerMinute", value="5"), TOKENS))
    more = judged(429, spent("", quota("InputTokensPerMinute", value="1000000")))
    of_a_day = judged(429, spent("", quota("InputTokensPerDay", value="250000")))
    requests = judged(429, spent("", quota("RequestsPerMinute", value="250000")))
    assert same_token_limit(one, other).limit == 250_000
    assert [same_token_limit(one, each) for each in (more, of_a_day, requests, judged(429))] == [None] * 4


# -- whatever comes ---------------------------------------------------------------------------------------------

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

WORDS = [
    TYPES + "QuotaFailure", TYPES + "RetryInfo", TYPES + "ErrorInfo", "9" * 400, "1e999", "0s", "-5s",
    "projects/123456", "RequestsPerDay", "InputTokensPerMinute", "API_KEY_INVALID", "insufficient_quota", "tokens",
    "limit: 0", "Please try again in 9s", "Rate limit reached for m on tokens per min (TPM): Limit 5, Requested 9",
]  # fmt: skip
NAMES = [
    "error", "details", "@type", "violations", "quotaId", "quotaMetric", "quotaValue", "quotaDimensions", "model",
    "message", "code", "status", "type", "reason", "metadata", "consumer", "quota_limit", "quota_limit_value",
    "subject", "retryDelay", "response",
]  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(10**40), 10**40)
    | st.text(max_size=20)
    | st.sampled_from(WORDS)
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date", "content-type"])
    | st.builds(
        "x-ratelimit-{}-{}".format, st.sampled_from(["limit", "remaining", "reset"]), st.sampled_from(["tokens"])
    ),
    st.text(max_size=12)
    | st.sampled_from(["0", "60", "9" * 400, "1m2s", "text/html", "Mon, 21 Sep 2026 14:14:10 GMT"]),
)
KEYS = st.one_of(
    st.from_regex(r"AIza[0-9A-Za-z_-]{35}", fullmatch=True),
    st.from_regex(r"AQ\.[0-9A-Za-z_-]{30}", fullmatch=True),
    st.from_regex(r"sk-(proj-)?[0-9A-Za-z]{40}", fullmatch=True),
)


def a_verdict(outcome, status):
    assert isinstance(outcome, Outcome)
    assert (outcome.scope == NOBODY) == (outcome.until is None)
    assert outcome.until is None or outcome.until == FOREVER or NOW < outcome.until <= NOW + WEEK_S
    assert not outcome.dead or 400 <= status <= 403
    assert outcome.storm in ("", "401", "403", "429", "5xx")
    assert outcome.project == "" or outcome.project.removeprefix("projects/").isdigit()
    assert all(0 < each.limit <= 2**53 for each in outcome.limits)
    too_large(outcome, 1000)
    same_token_limit(outcome, outcome)


@PATIENT
@given(st.integers(-1, 1000), st.binary(max_size=300) | DOCUMENTS.map(json.dumps).map(str.encode), HEADERS)
def test_whatever_an_upstream_answers_there_is_a_verdict(status, body, headers):
    a_verdict(judged(status, body, headers), status)


@PATIENT
@given(st.sampled_from([400, 401, 402, 403, 404, 429, 503]), st.lists(DOCUMENTS, max_size=4), st.text(max_size=60))
def test_details_of_any_shape_give_a_verdict(status, details, message):
    fields = ErrorFields(message, "RESOURCE_EXHAUSTED", details=tuple(details))
    a_verdict(classify(status, {}, fields, NOW), status)


@PATIENT
@given(st.sampled_from([400, 429, 503]), st.sampled_from(["details", "error", "a"]), st.integers(1, 3000))
def test_a_body_nested_ever_so_deeply_gives_a_verdict(status, name, depth):
    for opened, closed in ((b'{"' + name.encode() + b'":', b"}"), (b"[", b"]")):
        a_verdict(judged(status, opened * depth + b"1" + closed * depth), status)


ECHOES = [
    "{}",
    "({})",
    "no_{}",
    "?key={}&a=b",
    "Incorrect API key provided: {}.",
    "Consumer 'api_key:{}' has been suspended.",
    "A model {} is not found",
    "Rate limit reached for {} on tokens per min (TPM): Limit 5",
    "Quota exceeded for metric: g/{}, limit: 5, model: {}",
]


@PATIENT
@given(
    st.sampled_from([301, 400, 401, 402, 403, 404, 418, 429, 500, 503]),
    KEYS,
    st.sampled_from(ECHOES),
    st.booleans(),
)
def test_no_verdict_holds_a_key(status, key, words, as_json):
    said = words.replace("{}", key)
    failure = quota(f"PerDay-{key}", value="5", model=key)
    body = google(status, said, failure, error_info(key, consumer=key)) if as_json else said.encode()
    outcome = judged(status, body)
    assert key not in repr((outcome, outcome.quota, outcome.limits))
    assert key[10:-4] not in outcome.reason


@PATIENT
@given(st.text(max_size=30), st.sampled_from("`\"'"), st.sampled_from([400, 403]))
def test_words_within_quotation_marks_decide_over_no_key(words, mark, status):
    said = f"The value {mark}{words} api key not valid {words} has been suspended{mark} cannot be read."
    assert not judged(status, google(status, said)).dead
