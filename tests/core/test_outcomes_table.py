"""The outcome table, row by row: what is seen, who is blamed, what comes next, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
import pytest

from pool.core.dialects import error_fields
from pool.core.faults import Broken, CannotConnect, TimedOut, UpstreamError
from pool.core.keys import FOREVER
from pool.core.outcomes import (
    EMPTY,
    GONE,
    KEY,
    KEY_MODEL,
    NOBODY,
    OK,
    OTHER_KEY,
    RETURN,
    SAME_KEY,
    Outcome,
    Penalties,
    classify,
    failed,
    overloaded,
)
from pool.core.quota import next_reset

from .refusals import DAY_S, NOW, WEEK_S, error_info, google, judged, limited, openai, quota, retry_info, spent

MIDNIGHT = next_reset(NOW)
HTML = b"<!DOCTYPE html><html><title>Sorry</title></html>"


class Verdict(NamedTuple):
    """What the table says of a row. `until` in Unix seconds, None where nobody rests."""

    kind: str
    next: str = RETURN
    scope: str = NOBODY
    until: float | None = None
    blamed: bool = False
    transient: bool = False
    storm: str = ""


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(*(getattr(outcome, name) for name in Verdict._fields))


def dead(storm: str = "") -> Verdict:
    return Verdict("dead", OTHER_KEY, KEY, FOREVER, blamed=True, storm=storm)


RETURNED = Verdict("rejected")
OVERLOADED = Verdict("overloaded", SAME_KEY, KEY_MODEL, NOW + 1, transient=True, storm="5xx")
SWITCHED_OFF = Verdict("service_disabled", OTHER_KEY, KEY, NOW + DAY_S, blamed=True, storm="403")
NOT_ENTITLED = Verdict("not_entitled", OTHER_KEY, KEY_MODEL, NOW + WEEK_S)
SPENT = Verdict("insufficient_quota", OTHER_KEY, KEY, NOW + DAY_S, blamed=True)
DAY = Verdict("quota_day", OTHER_KEY, KEY_MODEL, MIDNIGHT, blamed=True)


def minute(pause_s: float, storm: str = "") -> Verdict:
    return Verdict("quota_minute", OTHER_KEY, KEY_MODEL, NOW + pause_s, blamed=True, storm=storm)


def suspected(status: int) -> Verdict:
    return Verdict("suspected", OTHER_KEY, KEY, NOW + 60, blamed=True, storm=str(status))


Case = tuple[int, Any, dict[str, str], Verdict]


def case(status: int, body: Any, expected: Verdict, **headers: str) -> Case:
    return status, body, {name.replace("_", "-"): value for name, value in headers.items()}, expected


ROWS: dict[str, list[Case]] = {
    "2xx": [case(status, b"", Verdict("ok")) for status in (200, 201, 204, 299)],
    "400 404 405 413 415 422 about the request": [
        *(case(status, google(status, "That cannot be."), RETURNED) for status in (400, 404, 405, 413, 415, 422)),
        *(case(status, openai("That cannot be."), RETURNED) for status in (400, 404, 405, 413, 415, 422)),
        *(case(status, b"", RETURNED) for status in (400, 404, 405, 413, 415, 422)),
        case(400, openai("The prompt is too long.", "context_length_exceeded"), RETURNED),
        case(400, google(400, "Unknown name \"API key not valid\": Cannot find field."), RETURNED),
        case(400, openai("`x' API key expired \"y` is no role"), RETURNED),
        case(413, HTML, RETURNED, content_type="text/html"),
    ],
    "400 API_KEY_INVALID or expired": [
        case(400, google(400, "API key not valid. Please pass a valid one.", reason="API_KEY_INVALID"), dead()),
        case(400, google(400, "API key expired. Please renew the API key."), dead()),
        case(400, [google(400, "Whatever.", reason="API_KEY_INVALID")], dead()),
        case(400, b'data: {"error":{"code":400,"message":"API key not valid."}}\n\n', dead()),
    ],
    "401 invalid_api_key, account_deactivated…": [
        case(401, openai("Incorrect API key provided: sk-abc.", "invalid_api_key"), dead("401")),
        case(401, openai("Gone.", "account_deactivated"), dead("401")),
        case(401, openai("The account of this API key has been deactivated."), dead("401")),
        case(401, openai("This key belongs to a deactivated account."), dead("401")),
        case(401, openai("Authentication fails, your api key: ****1234 is invalid", None, "authentication_error"),
             dead("401")),
        case(401, openai("invalid x-api-key", None, "authentication_error"), dead("401")),
    ],
    "403 leaked, suspended": [
        case(403, google(403, "Your API key was reported as leaked."), dead("403")),
        case(403, google(403, "Consumer 'api_key:X' has been suspended.", reason="CONSUMER_SUSPENDED"), dead("403")),
        case(403, google(403, "Denied on resource project default.", reason="CONSUMER_INVALID"), dead("403")),
        case(403, google(403, "It has been disabled in this account for violation of Terms of\n\t\tService."),
             dead("403")),
    ],
    "403 SERVICE_DISABLED, API_KEY_SERVICE_BLOCKED": [
        case(403, google(403, "Off.", reason="SERVICE_DISABLED"), SWITCHED_OFF),
        case(403, google(403, "Off.", reason="API_KEY_SERVICE_BLOCKED"), SWITCHED_OFF),
        case(403, google(403, "Off.", reason="API_KEY_IP_ADDRESS_BLOCKED"), SWITCHED_OFF),
        # Google's OpenAI layer leaves the details out.
        case(403, google(403, "Generative Language API has not been used in project 123456 before or it is disabled."),
             SWITCHED_OFF),
        case(403, google(403, "Requests to this API x.googleapis.com method a.b.C are blocked."), SWITCHED_OFF),
    ],
    "403 about a file or cache of another key": [
        case(403, google(403, "CachedContent not found (or permission denied)"), RETURNED),
        case(403, google(403, "You do not have permission to access the File abc or it may not exist."), RETURNED),
    ],
    "403 that every key would get": [
        case(403, openai("It is not allowed to generate vectors from this model"), RETURNED),
        case(403, openai("Your input was flagged for violence.", "403"), RETURNED),
        case(403, openai("It breaks our content policy, and so our terms."), RETURNED),
    ],
    '404 "no longer available to new users"': [
        case(404, google(404, "This model models/x is no longer available to new users. Use another."), NOT_ENTITLED),
    ],
    "403 naming a model": [
        case(403, openai("Project `p` does not have access to model `m`", "model_not_found"), NOT_ENTITLED),
        case(403, openai("Not for you.", "model_not_found"), NOT_ENTITLED),
        case(403, openai("You have no access to the model m"), NOT_ENTITLED),
        case(403, openai("You are not allowed to sample from this model"), NOT_ENTITLED),
        case(403, openai("No access to model `your account has been suspended`", "model_not_found"), NOT_ENTITLED),
        case(403, openai("No access to model `a` has been suspended `b`"), NOT_ENTITLED),
    ],
    "429 with limit: 0": [
        case(429, spent("Over.", quota("RequestsPerDay", value="0"), retry_info("40s")), NOT_ENTITLED),
        case(429, spent("Over.", quota("RequestsPerDay", value=0)), NOT_ENTITLED),
        case(429, spent("* Quota exceeded for metric: g/requests, limit: 0, model: m\nPlease retry in 40s."),
             NOT_ENTITLED),
        # Google leaves a quotaValue of 0 out.
        case(429, spent("* Quota exceeded for metric: g/r, limit: 0, model: m", quota("RequestsPerDay", metric="g/r")),
             NOT_ENTITLED),
        case(429, spent("* Quota exceeded for metric: g/r, limit: 0, model: m", quota("RequestsPerDay")), NOT_ENTITLED),
        case(429, spent("", error_info("RATE_LIMIT_EXCEEDED", quota_limit="XPerMinute", quota_limit_value="0")),
             NOT_ENTITLED),
        case(429, spent("This key has a limit: 0 of them."), NOT_ENTITLED),
        case(429, spent("This key has a limit: 0.5 of them."), minute(60, "429")),
        case(429, limited("requests per day (RPD): Limit 0, Used 0, Requested 1."), NOT_ENTITLED),
    ],
    "any other 404 of a model": [
        case(404, google(404, "models/x is not found for API version v1beta, or is not supported for generateContent."),
             Verdict("model_missing")),
        case(404, google(404, "Publisher Model `projects/p/models/x` not found."), Verdict("model_missing")),
        case(404, openai("The model `x` does not exist or you do not have access to it.", "model_not_found"),
             Verdict("model_missing")),
        case(404, openai("The model 'x' has been deprecated, learn more"), Verdict("model_missing")),
        case(404, openai("No endpoints found for x/y."), Verdict("model_missing")),
        # A name that borrows the words of another row.
        case(404, google(404, "models/This model x is no longer available to new users is not found for API version 1"),
             Verdict("model_missing")),
        case(404, google(404, "models/limit: 0 is not found for API version v1beta"), Verdict("model_missing")),
        case(404, google(404, "Requested entity was not found."), RETURNED),
        case(404, openai("This is not a chat model. Did you mean to use v1/completions?"), RETURNED),
        case(404, openai("No such File object: file-abc"), RETURNED),
    ],
    "402": [
        case(402, openai("Payment required"), SPENT),
        case(402, b"", SPENT),
    ],
    "401 403 without a known key reason": [
        *(case(status, b"", suspected(status)) for status in (401, 403)),
        *(case(status, b"Forbidden", suspected(status)) for status in (401, 403)),
        *(case(status, google(status, "The caller does not have permission"), suspected(status))
          for status in (401, 403)),
        case(403, google(403, "Permission 'a.b' denied on resource 'x'.", reason="IAM_PERMISSION_DENIED"),
             suspected(403)),
    ],
    "3xx, HTML": [
        *(case(status, b"", OVERLOADED) for status in (300, 301, 302, 304, 307, 308, 399)),
        *(case(status, HTML, OVERLOADED) for status in (301, 400, 401, 403, 404, 429, 418, 500, 501, 502)),
        case(403, b"\n<html><h1>Forbidden</h1>", OVERLOADED),
        case(403, b"<!-- blocked --><p>No.</p>", OVERLOADED),
        case(403, b"", OVERLOADED, content_type="text/html"),
    ],
    "429 PerDay": [
        case(429, spent("Please retry in 17s.", quota("RequestsPerDay-FreeTier", value="20"), retry_info("17s")), DAY),
        case(429, spent("", quota("GenerateRequestsPerDayPerProjectPerModel"), retry_info("0s")), DAY),
        case(429, spent("", quota("TokensPerMinute", "RequestsPerDay", "RequestsPerMinute"), retry_info("1s")), DAY),
        case(429, [spent("", quota("SOMETHING_PER_DAY_NEW"))], DAY),
        case(429, spent("", quota("InputTokensPerDay")), DAY, retry_after="5"),
        case(429, spent("Quota exceeded for quota metric 'Calls' and limit 'Calls per day' of service 'g'."), DAY),
        case(429, spent("", error_info("RATE_LIMIT_EXCEEDED", quota_limit="RequestsPerDayPerProject")), DAY),
    ],
    "429 minute quota": [
        case(429, spent("", quota("RequestsPerMinute", value="15"), retry_info("38s")), minute(40)),
        case(429, spent("", quota("RequestsPerMinute"), retry_info("0s")), minute(3)),
        case(429, spent("", quota("RequestsPerMinute"), retry_info("10s")), minute(27), retry_after="25"),
        case(429, spent("", quota("RequestsPerMinute")), minute(60)),
        case(429, spent("", quota("RequestsPerHour")), minute(3600)),
        case(429, spent("", quota("NobodyKnowsThis")), minute(60)),
        case(429, spent("* Quota exceeded for metric: g/requests, limit: 20, model: m\nPlease retry in 58.5s."),
             minute(60.5)),
        case(429, spent("Resource has been exhausted (e.g. check quota)."), minute(60, "429")),
        case(429, b"", minute(60, "429")),
        case(429, b"Too Many Requests", minute(32, "429"), retry_after="30"),
    ],
    "OpenAI 429 insufficient_quota, prepay depleted, spending cap": [
        case(429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), SPENT),
        case(429, openai("You exceeded your current quota", None, "insufficient_quota"), SPENT),
        case(429, openai("Your account is not active, check your billing.", "billing_not_active"), SPENT),
        case(429, spent("Your prepayment credits are depleted."), SPENT),
        case(429, spent("Your project has exceeded its monthly spending cap."), SPENT),
        case(400, openai("Billing hard limit has been reached", "billing_hard_limit_reached"), SPENT),
        case(403, google(403, "This API method requires billing to be enabled.", reason="BILLING_DISABLED"), SPENT),
    ],
    "rate_limit_exceeded like a minute quota": [
        case(429, limited("tokens per min (TPM): Limit 30000, Used 29990, Requested 12. Please try again in 6ms."),
             minute(3)),
        case(429, limited("requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.",
                          kind="requests"), minute(22)),
        case(429, openai("Slow down.", "rate_limit_exceeded"), minute(60, "429")),
        case(429, openai("Slow down.", "rate_limit_exceeded", "tokens"), minute(60)),
        case(429, openai("Slow down.", "rate_limit_exceeded"), minute(12), x_ratelimit_limit_requests="500",
             x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="10s"),
        # Of the limit that is named, not of the one that has room.
        case(429, limited("tokens per min (TPM): Limit 9, Used 8, Requested 2."), minute(14),
             x_ratelimit_limit_tokens="9", x_ratelimit_remaining_tokens="1", x_ratelimit_reset_tokens="12s",
             x_ratelimit_limit_requests="99", x_ratelimit_remaining_requests="9", x_ratelimit_reset_requests="6h0m"),
        case(429, limited("tokens per min (TPM): Limit 5, Used 5."), minute(9), retry_after_ms="7000"),
    ],
    "an OpenAI day comes back when it says": [
        case(429, limited("requests per day (RPD): Limit 200, Used 200. Please try again in 7m12s.", kind="requests"),
             DAY._replace(until=NOW + 434)),
        case(429, limited("tokens per day (TPD): Limit 9, Used 9. Please try again in 12h30m."),
             DAY._replace(until=NOW + 45_002)),
        case(429, limited("requests per day (RPD): Limit 200. Please try again tomorrow."), DAY),
    ],
    "429 for shared capacity": [
        case(429, spent("No capacity for it.", error_info("MODEL_CAPACITY_EXHAUSTED")), OVERLOADED),
        case(429, spent("Resource exhausted. Please try again later. Please refer to a page."), OVERLOADED),
        case(429, spent("The model is overloaded."), OVERLOADED),
        case(429, spent("The model is overloaded.", quota("RequestsPerMinute")), minute(60)),
    ],
    "400 or 403 for location or country": [
        case(400, google(400, "User location is not supported.", word="FAILED_PRECONDITION"), Verdict("location")),
        case(400, google(400, "The free tier is not available in your country."), Verdict("location")),
        case(403, openai("Country, region, or territory not supported", "unsupported_country_region_territory"),
             Verdict("location")),
    ],
    "400 two credentials, 401 token type": [
        case(400, google(400, "Multiple authentication credentials received."), Verdict("misrouted")),
        case(401, google(401, "Expected OAuth 2", reason="ACCESS_TOKEN_TYPE_UNSUPPORTED"), Verdict("misrouted")),
        case(401, google(401, "No API keys here.", reason="CREDENTIALS_MISSING"), Verdict("misrouted")),
        case(403, google(403, "Method doesn't allow unregistered callers (no identity)."), Verdict("misrouted")),
    ],
    "500 502 503 504 529, overloaded": [
        *(case(status, google(status, "Busy."), OVERLOADED) for status in (500, 502, 503, 504, 529)),
        *(case(status, b"error code: 522", OVERLOADED) for status in (520, 522, 524)),
        case(503, openai("Busy.", "server_is_overloaded"), OVERLOADED, retry_after="30"),
    ],
    "anything else": [
        *(case(status, openai("Hm."), Verdict("other")) for status in (100, 402 + 16, 451, 501, 599, 999)),
    ],
}  # fmt: skip


def cases() -> Iterator[Any]:
    for row, rows in ROWS.items():
        for number, (status, *rest) in enumerate(rows):
            yield pytest.param(status, *rest, id=f"{row} ({status}, {number})")


@pytest.mark.parametrize(("status", "body", "headers", "expected"), list(cases()))
def test_a_row_of_the_outcome_table(status: int, body: Any, headers: dict[str, str], expected: Verdict) -> None:
    found = verdict(judged(status, body, headers))
    assert found._replace(until=None) == expected._replace(until=None)
    assert found.until == (expected.until if expected.until is None else pytest.approx(expected.until))


def event(**error: Any) -> bytes:
    return b"data: " + orjson.dumps({"error": error}) + b"\n\n"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (event(code=503, message="m", status="UNAVAILABLE"), 503),
        (event(code="429", message="m"), 429),
        (event(message="m", status="RESOURCE_EXHAUSTED"), 429),
        (event(message="m", status="UNAUTHENTICATED"), 401),
        (event(message="m", code="rate_limit_exceeded"), 429),
        (event(message="m", code="invalid_api_key", type="invalid_request_error"), 401),
        (event(message="m", code="server_is_overloaded", type="service_unavailable_error"), 503),
        (event(message="m", type="overloaded_error"), 529),
        (event(message="m", type="server_error", code=None), 500),
        (event(message="m", type="invalid_request_error", code=None), 400),
        (b"event: error\n" + event(code=503, message="m"), 503),
        (b": ping\n\n" + event(code=503, message="m"), 503),
        (b"\xef\xbb\xbf" + event(code=503, message="m")[6:], 503),
        (b'[{"error":{"code":403,"message":"m"}}]', 403),
        (b'{"type":"error","code":"rate_limit_exceeded","message":"m"}', 429),
        (b'{"type":"response.failed","response":{"error":{"code":"server_error","message":"m"}}}', 500),
        (b'{"error":{"message":"m"}}', None),
        (b'{"error":{"message":"m","code":true}}', None),
        (b'{"error":{"message":"m","code":8,"status":"RESOURCE_EXHAUSTED"}}', 429),
        (b'{"error":{"message":"m","code":8}}', None),
    ],
)
def test_an_error_event_of_a_stream_tells_the_status_it_stands_for(body: bytes, status: int | None) -> None:
    fields = error_fields(body)
    assert (fields.message, fields.number) == ("m", status)


def test_a_200_stream_whose_first_event_is_an_error_is_judged_as_that_status() -> None:
    first = event(message="Quota.", status="RESOURCE_EXHAUSTED", details=[quota("RequestsPerDay")])
    fields = error_fields(first)
    assert verdict(classify(fields.number or 0, {}, fields, NOW)) == DAY


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CannotConnect("refused"), Verdict("unreachable", OTHER_KEY, transient=True, storm="unreachable")),
        (TimedOut("first_byte"), Verdict("timeout", OTHER_KEY, transient=True)),
        (Broken("cut"), Verdict("broken", OTHER_KEY, transient=True)),
        (UpstreamError("?"), Verdict("failed", OTHER_KEY, transient=True)),
    ],
)
def test_no_answer_blames_no_key(error: UpstreamError, expected: Verdict) -> None:
    assert verdict(failed(error)) == expected
    kept = OTHER_KEY if isinstance(error, CannotConnect) else RETURN
    assert failed(error, Penalties(retry_unsure=False)).next == kept


def test_what_no_upstream_says_itself() -> None:
    assert verdict(overloaded("unreadable answer", NOW)) == OVERLOADED
    assert verdict(OK) == Verdict("ok")
    assert verdict(EMPTY) == Verdict("empty", OTHER_KEY)
    assert verdict(GONE) == Verdict("client_gone")


def test_a_2xx_is_always_the_same_outcome() -> None:
    assert judged(200, google(400, "API key not valid.")) is OK
