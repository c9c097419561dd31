"""Errors, read from any upstream and written in each dialect."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from pool.core.calls import GEMINI, OPENAI
from pool.core.dialects import error_fields, render_fault, render_stream_fault, upstream_fault
from pool.core.faults import Fault

KEY = "AIzaSyA-0123456789_abcdefghijklmnopqrst"


def test_openai_gets_its_four_members_and_the_details() -> None:
    fault = Fault(429, "all_keys_cooling", "Wait.", retry_after_s=12.1, retryable=False, details={"cooling": 38})
    status, headers, body = render_fault(OPENAI, fault)
    assert status == 429
    assert dict(headers) == {"Content-Type": "application/json", "Retry-After": "13", "x-should-retry": "false"}
    assert json.loads(body)["error"] == {
        "message": "Wait.",
        "type": "rate_limit_error",
        "param": None,
        "code": "all_keys_cooling",
        "cooling": 38,
    }


def test_gemini_gets_a_status_word_a_reason_and_the_delay() -> None:
    fault = Fault(429, "all_keys_cooling", "Wait.", retry_after_s=12.1, details={"cooling": 38}, param="model")
    _, _, body = render_fault(GEMINI, fault)
    error = json.loads(body)["error"]
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    info, delay = error["details"]
    assert (info["reason"], info["domain"]) == ("ALL_KEYS_COOLING", "keypool")
    assert info["metadata"] == {"cooling": "38", "param": "model"}
    assert delay["retryDelay"] == "13s"


def test_an_unknown_client_key_is_googles_own_reason() -> None:
    error = json.loads(render_fault(GEMINI, Fault(401, "invalid_api_key", "No."))[2])["error"]
    assert (error["status"], error["details"][0]["reason"]) == ("UNAUTHENTICATED", "API_KEY_INVALID")


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (400, "invalid_request_error", "INVALID_ARGUMENT"),
        (403, "permission_error", "PERMISSION_DENIED"),
        (404, "not_found_error", "NOT_FOUND"),
        (418, "invalid_request_error", "INVALID_ARGUMENT"),
        (503, "server_error", "UNAVAILABLE"),
        (504, "server_error", "DEADLINE_EXCEEDED"),
        (599, "server_error", "INTERNAL"),
    ],
)
def test_every_status_has_a_word_in_both_dialects(status: int, kind: str, word: str) -> None:
    fault = Fault(status, "x", "y")
    assert json.loads(render_fault(OPENAI, fault)[2])["error"]["type"] == kind
    assert json.loads(render_fault(GEMINI, fault)[2])["error"]["status"] == word


def test_a_stream_ends_with_an_error_in_its_own_dialect() -> None:
    fault = Fault(503, "upstream_broken", "Cut.")
    for dialect, code in ((OPENAI, "upstream_broken"), (GEMINI, 503)):
        last = render_stream_fault(dialect, fault)
        assert last.startswith(b"data: {")
        assert last.endswith(b"}\n\n")
        assert json.loads(last[6:])["error"]["code"] == code
    begun = b'[{"a":1}' + render_stream_fault(GEMINI, fault, array=True)
    assert json.loads(begun)[1]["error"]["code"] == 503
    assert json.loads(render_stream_fault(GEMINI, fault, array=True, first=True))[0]["error"]["code"] == 503


def test_an_upstreams_own_details_come_through_to_its_own_clients() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17.5s"}]
    error = {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED", "details": details}
    fault = upstream_fault(GEMINI, 429, {}, orjson.dumps([{"error": error}]))
    assert json.loads(render_fault(GEMINI, fault)[2])["error"] == error
    assert fault.retry_after_s == 17.5
    told = json.loads(render_fault(OPENAI, fault)[2])["error"]
    assert told == {"message": "Quota.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}


def test_openais_own_words_come_through() -> None:
    error = {"message": "No.", "type": "insufficient_quota", "param": "x", "code": "insufficient_quota"}
    fault = upstream_fault(OPENAI, 429, {"retry-after": "7"}, orjson.dumps({"error": error}))
    assert json.loads(render_fault(OPENAI, fault)[2])["error"] == error
    assert fault.retry_after_s == 7
    assert json.loads(render_fault(GEMINI, fault)[2])["error"]["details"][0]["reason"] == "INSUFFICIENT_QUOTA"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<!DOCTYPE html><title>502</title>", "The upstream answered 502 with an HTML page."),
        (b"  <html><body>x", "The upstream answered 502 with an HTML page."),
        (b"", "The upstream answered 502."),
        (b"{}", "The upstream answered 502."),
        (b"null", "The upstream answered 502."),
        (b"upstream connect error", "upstream connect error"),
        (b'{"error":"plain"}', "plain"),
        (b'{"message":"flat"}', "flat"),
        (b'{"detail":"other frameworks"}', "other frameworks"),
        (b'data: {"error":{"message":"event"}}\n\n', "event"),
        (b'[{"error":{"message":"a"}},{"error":{"message":"b"}}]', "b"),
        (b'{"error":{"message":{"not":"text"}}}', "The upstream answered 502."),
        (b"\xff\xfe", "��"),
    ],
)
def test_any_body_gives_a_message(body: bytes, message: str) -> None:
    fault = upstream_fault(GEMINI, 502, {}, body)
    assert (fault.status, fault.message) == (502, message)
    assert fault.code == "server_error"


def test_a_status_in_place_of_a_code_is_no_code() -> None:
    body = b'{"error":{"message":"Slow down.","code":"429"}}'
    assert error_fields(body).number == 429
    assert upstream_fault(OPENAI, 429, {}, body).code == "rate_limit_exceeded"


@pytest.mark.parametrize(("status", "told"), [(301, 502), (400, 502), (403, 502), (404, 502), (413, 413), (503, 503)])
def test_a_page_for_people_is_a_bad_gateway_whatever_its_status(status: int, told: int) -> None:
    fault = upstream_fault(GEMINI, status, {}, b"<html><body>Blocked.</body></html>")
    assert (fault.status, fault.message) == (told, f"The upstream answered {status} with an HTML page.")


@pytest.mark.parametrize(
    ("body", "html"),
    [
        (b"<!doctype html>", True),
        (b"\n <HTML lang=en>", True),
        (b"<?xml version='1.0'?><Error/>", True),
        (b"<!-- x --><p>no</p>", True),
        (b"<title>x", True),
        (b"<b>x</b>", True),
        (b"\xef\xbb\xbf<html>", True),
        (b"< 5 tokens left", False),
        (b"<nothing", False),
        (b'"<html>"', False),
        (b'{"error":{"message":"<html>"}}', False),
    ],
)
def test_a_page_is_known_by_its_beginning(body: bytes, html: bool) -> None:
    assert error_fields(body).html is html


def google_said(message: str, *details: dict[str, Any], status: str = "PERMISSION_DENIED") -> str:
    error = {"code": 403, "message": message, "status": status, "details": list(details)}
    return error_fields(orjson.dumps({"error": error})).project


def info(consumer: Any) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "metadata": {"consumer": consumer}}


SWITCHED_OFF = "Generative Language API has not been used in project 123456 before or it is disabled. Enable it."
OVER_QUOTA = (
    "Quota exceeded for quota metric 'A b' and limit 'C d' of service 'g' for consumer 'project_number:123456'."
)


def test_the_project_is_read_where_google_says_it() -> None:
    assert google_said("", info("projects/123456")) == "projects/123456"
    assert google_said("", {"@type": "Help"}, info("projects/1"), info("projects/2")) == "projects/1"
    assert google_said(SWITCHED_OFF) == "projects/123456"
    assert google_said(OVER_QUOTA, status="RESOURCE_EXHAUSTED") == "projects/123456"
    assert google_said("Permission denied on resource project 123456.") == "projects/123456"
    failure = {"@type": "x.QuotaFailure", "violations": [{"subject": "project:123456"}]}
    assert google_said("", failure) == "projects/123456"


@pytest.mark.parametrize(
    "details",
    [
        [info("projects/default")],
        [info("projects/")],
        [info("folders/123456")],
        [info("projects/123456/x")],
        [info("api_key:123456")],
        [info(123456)],
        [info(None)],
        [{"@type": "x.ErrorInfo", "metadata": "projects/123456"}],
        [{"@type": "x.Help", "metadata": {"consumer": "projects/123456"}}],
        [{"@type": "x.QuotaFailure", "violations": "project:123456"}],
    ],
)
def test_what_is_no_number_of_a_project_is_none(details: list[dict[str, Any]]) -> None:
    assert google_said("", *details) == ""


@pytest.mark.parametrize(
    "message",
    [
        f"Unknown name: {SWITCHED_OFF}",
        "models/projects/123456 is not found",
        "Invalid value 'project 123456'",
        "The value 'x for consumer 'project_number:123456'' is bad",
        "API has not been used in project x123456 before or it is disabled",
    ],
)
def test_a_project_among_a_callers_words_is_not_believed(message: str) -> None:
    assert google_said(message) == ""


def test_only_google_tells_a_project() -> None:
    assert google_said(SWITCHED_OFF, status="") == ""
    assert error_fields(SWITCHED_OFF.encode()).project == ""


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "2500"}, 2.5),
        ({"retry-after": "Mon, 21 Sep 2026 14:14:10 GMT", "date": "Mon, 21 Sep 2026 14:14:00 GMT"}, 10.0),
        ({"retry-after": "Mon, 21 Sep 2026 14:14:10 GMT"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "x"}, None),
    ],
)
def test_how_long_an_upstream_asks_to_wait_goes_to_the_client(headers: dict[str, str], wait_s: float | None) -> None:
    fault = upstream_fault(OPENAI, 429, headers, b"{}")
    assert fault.retry_after_s == wait_s
    render_fault(OPENAI, fault)
    render_fault(GEMINI, fault)


def test_a_long_body_is_never_echoed_whole() -> None:
    fault = upstream_fault(OPENAI, 500, {}, b"x" * 100_000)
    assert len(render_fault(OPENAI, fault)[2]) < 2200


def test_fields_are_dug_out_of_googles_error() -> None:
    details = [{"@type": "ErrorInfo", "reason": "API_KEY_INVALID"}, {"@type": "Help"}, "junk"]
    said = error_fields(orjson.dumps({"error": {"code": 400, "message": "m", "status": "S", "details": details}}))
    assert (said.message, said.status, said.number, said.code) == ("m", "S", 400, "")
    assert said.reasons == ("API_KEY_INVALID",)
    assert len(said.details) == 2


def test_an_echoed_key_is_masked_wherever_it_stands() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "metadata": {"containerInfo": f"api_key:{KEY}"}}]
    body = orjson.dumps({"error": {"code": 403, "message": f"Consumer 'api_key:{KEY}' suspended.", "details": details}})
    fault = upstream_fault(GEMINI, 403, {}, body)
    for dialect in (OPENAI, GEMINI):
        assert KEY.encode() not in render_fault(dialect, fault)[2]
