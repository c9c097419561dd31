import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.dialects import error_fields
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
)
from pool.core.quota import next_reset

from . import corpus

NOW = 1_790_000_000.0
DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
TYPES = "type.googleapis.com/google.rpc."


def judged(status, body=b"", headers=None, **penalties):
    body = body if isinstance(body, bytes) else orjson.dumps(body)
    return classify(status, headers or {}, error_fields(body), NOW, Penalties(**penalties))


def google(status, message, *details, reason=None, word=""):
    if reason:
        details = ({"@type": TYPES + "ErrorInfo", "reason": reason}, *details)
    return {"error": {"code": status, "message": message, "status": word, "details": list(details)}}


def openai(message, code=None, kind="invalid_request_error"):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def quota(*ids, value=None):
    rows = [{"quotaId": quota_id, **({"quotaValue": value} if value is not None else {})} for quota_id in ids]
    return {"@type": TYPES + "QuotaFailure", "violations": rows}


def retry_info(delay):
    return {"@type": TYPES + "RetryInfo", "retryDelay": delay}


def spent(message="You exceeded your current quota", *details):
    return google(429, message, *details, word="RESOURCE_EXHAUSTED")


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


@given(
    status=st.integers(100, 999),
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "error",
                            "details",
                            "@type",
                            "violations",
                            "quotaValue",
                            "message",
                            "code",
                            "reason",
                            "retryDelay",
                        ]
                    ),
                    inner | st.sampled_from([TYPES + "QuotaFailure", TYPES + "RetryInfo", "9" * 400, "1e999", "0s"]),
                    max_size=4,
                )
            ),
            max_leaves=12,
        ).map(orjson.dumps),
    ),
    retry_after=st.text(max_size=12),
)
def test_whatever_an_upstream_answers_there_is_a_verdict(status, body, retry_after):
    outcome = judged(status, body, {"retry-after": retry_after})
    assert isinstance(outcome, Outcome)
    assert (outcome.scope == NOBODY) == (outcome.until is None)
    assert outcome.until is None or outcome.until == FOREVER or NOW < outcome.until <= NOW + WEEK_S
    assert not outcome.dead or 400 <= status <= 403


REACTIONS = {
    "return_to_client": lambda o: o.next == RETURN and o.scope == NOBODY,
    "disable_key": lambda o: o.next == OTHER_KEY and o.scope == KEY and o.blamed,
    "retry_other_key": lambda o: o.next == OTHER_KEY,
    "retry_same_later": lambda o: o.next == SAME_KEY and not o.blamed,
    "cool_down_key_model_until(retryDelay)": lambda o: (
        (o.kind, o.scope, o.next) == ("quota_minute", KEY_MODEL, OTHER_KEY)
    ),
    "cool_down_key_model_until(daily reset midnight Pacific)": lambda o: (
        (o.kind, o.scope, o.until) == ("quota_day", KEY_MODEL, next_reset(NOW))
    ),
}
"""The corpus's words for what a key pool should do."""

OTHERWISE = {
    # Shared capacity is treated as an overload: the same key once after a moment, then another.
    "gemini-429-resource-exhausted-shared-capacity": "overloaded",
}
"""Where SPEC §5 asks for something else, and the kind it leads to."""


@corpus.present
@pytest.mark.parametrize("path", corpus.files("errors"), ids=lambda path: path.stem)
def test_recorded_errors_get_the_right_reaction(path):
    exchange = corpus.load(path)
    outcome = judged(exchange["status"], exchange["body"], exchange["headers"] or {})
    if path.stem in OTHERWISE:
        assert outcome.kind == OTHERWISE[path.stem]
    else:
        assert REACTIONS[exchange["right_reaction_for_a_key_pool"]](outcome), outcome
