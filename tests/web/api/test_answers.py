"""How management answers: JSON, and one shape of error for every predecessor's client."""

import re
from dataclasses import replace

import pytest

from pool.core.masking import mask
from tests.house import GEMINI_KEYS, PASSWORD
from tests.web.visitor import Visitor

EXPLAIN = "/admin/route/explain"
ADMIN = {"X-Admin-Key": PASSWORD}


@pytest.fixture
def call(house, passwords):
    def send(path=EXPLAIN, method="POST", headers=ADMIN, **options):
        return house.app.test_client().open(path, method=method, headers=headers, **options)

    return send


def test_an_error_has_every_predecessors_members(call):
    answer = call("/admin/nothing")
    assert answer.status_code == 404
    assert answer.json == {
        "success": False,
        "message": answer.json["message"],
        "error": {"message": answer.json["message"], "type": "not_found_error", "code": "not_found"},
    }


def test_a_401_says_what_would_be_taken(call):
    answer = call(headers={})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "X-Admin-Key" in answer.json["message"]


def test_what_is_wrong_with_a_body_is_named(call):
    for body, code, param in (
        (b"", "missing_required_parameter", "model"),
        (b"{", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b'{"model": 7}', "invalid_type", "model"),
        (b'{"model": ""}', "missing_required_parameter", "model"),
        (b"{}", "missing_required_parameter", "model"),
        (b'{"model": "m", "dialect": "french"}', "invalid_value", "dialect"),
        (b'{"model": "m", "pool": true}', "invalid_type", "pool"),
        (b'{"model": "%s"}' % (b"x" * 501), "invalid_value", "model"),
    ):
        answer = call(data=body)
        error = answer.json["error"]
        assert (answer.status_code, error["code"], error.get("param")) == (400, code, param), body
        assert answer.json["success"] is False
        assert answer.json["message"] == error["message"]
        assert param is None or param in answer.json["message"]


def test_a_body_beyond_the_limit_is_413_and_one_that_ends_early_400(call):
    assert call(data=b'{"model": "' + b"x" * 1_000_000 + b'"}').status_code == 413
    chunked = call(data=b"x" * 1_000_001, headers={**ADMIN, "Transfer-Encoding": "chunked"},
                   environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""})  # fmt: skip
    assert chunked.status_code == 413
    short = call(data=b"{}", environ_overrides={"CONTENT_LENGTH": "10"})
    assert (short.status_code, short.json["error"]["code"]) == (400, "incomplete_body")


def test_a_body_is_read_only_after_its_sender_was_recognised(call):
    class Unread:
        def read(self, size=-1):
            raise AssertionError("read")

    answer = call(headers={}, environ_overrides={"wsgi.input": Unread(), "CONTENT_LENGTH": "10"})
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/admin/nothing", "/api/pools/7/nothing", "/admin/keys/7/nothing"])
def test_below_the_apis_prefixes_what_does_not_exist_is_json(call, path):
    for method in ("GET", "POST", "DELETE"):
        answer = call(path, method)
        assert (answer.status_code, answer.content_type) == (404, "application/json")
        assert answer.json["success"] is False
        assert answer.json["error"]["code"] == "not_found"


def test_a_wrong_method_is_told_the_right_one(call):
    answer = call(method="GET")
    assert (answer.status_code, answer.json["error"]["code"]) == (405, "method_not_allowed")
    assert set(answer.headers.get_all("Allow")) == {"OPTIONS, POST"}
    assert "use OPTIONS, POST" in answer.json["message"]


def test_what_breaks_is_a_500_in_json_that_tells_nothing(house, call, monkeypatch):
    monkeypatch.setattr(house.keypool.relay, "clock", lambda: 1 / 0)
    house.app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = call(json={"model": "m"})
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "internal_error")
    assert "division" not in answer.text


def test_with_debug_errors_an_admin_is_shown_where_it_broke_and_nobody_else(house, call, monkeypatch):
    def broken():
        raise RuntimeError(f"{PASSWORD} and {GEMINI_KEYS[0]} in words")

    house.app.config["PROPAGATE_EXCEPTIONS"] = False
    house.keypool.environment = replace(house.keypool.environment, debug_errors=True, admin_password=PASSWORD)
    visitor = Visitor(house)
    monkeypatch.setattr(house.keypool.relay, "clock", broken)
    monkeypatch.setattr("pool.web.admin.dashboard.now", broken)
    answer = call(json={"model": "m"})
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "internal_error")
    assert answer.json["error"]["trace"][0].startswith("Traceback")
    assert answer.json["error"]["trace"][-1] == f"RuntimeError: {mask(PASSWORD)} and {mask(GEMINI_KEYS[0])} in words"
    page = visitor.get("/dashboard")
    assert page.status_code == 500
    assert "RuntimeError" in page.text
    assert PASSWORD not in page.text + answer.text
    assert "trace" not in call(headers={}).text
    assert "trace" not in house.chat().text


def test_every_answer_has_its_headers_and_no_cors(call):
    answers = [call(json={"model": "m"}), call(headers={}), call("/admin/nothing"), call(method="GET")]
    answers += [call(method="OPTIONS", headers={"Origin": "https://evil.example"})]
    for answer in answers:
        assert re.fullmatch(r"req_[0-9a-f]{24}", answer.headers["X-Keypool-Request-Id"])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
