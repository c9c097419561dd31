"""Signing in by JSON, as the clients of three predecessors do: one session, whichever address they know."""

import time

import pytest

from pool.core.state import take
from tests.house import PASSWORD
from tests.web.visitor import Visitor, rows_of

WAYS = ["/admin/login", "/api/login", "/login"]
WRONG = {"/admin/login": "Invalid password", "/api/login": "密码错误", "/login": "密码错误"}
EMPTY = {"/admin/login": "Password is required", "/api/login": "密码不能为空", "/login": "密码不能为空"}

each_way = pytest.mark.parametrize("path", WAYS)


def sign_in(house, path, client=None, headers=None, **body):
    return (client or house.app.test_client()).post(path, json=body, headers=headers or {})


@each_way
def test_the_answer_serves_every_predecessors_clients(house, passwords, path):
    answer = sign_in(house, path, password=PASSWORD)
    told = answer.json
    assert (answer.status_code, told["success"]) == (200, True)
    assert told["token"] == told["sessionToken"] == told["data"]["token"]
    assert told["data"]["success"] is True
    assert told["data"]["message"] == "Login successful"
    assert told["message"]
    assert told["expiresAt"] == pytest.approx((time.time() + 30 * 86_400) * 1000, abs=60_000)


@each_way
def test_the_token_opens_management_as_it_is_and_by_either_cookie(house, passwords, path):
    client = house.app.test_client()
    token = sign_in(house, path, client, password=PASSWORD).json["token"]
    made = passwords.verified
    for headers in ({"X-Admin-Key": token}, {"Authorization": f"Bearer {token}"}, {"Authorization": token}):
        assert house.client.post("/admin/route/explain", json={"model": "m"}, headers=headers).status_code == 200
    assert client.get("/keys").status_code == 200
    assert client.get_cookie("session").value == token
    assert client.post("/admin/route/explain", json={"model": "m"}).status_code == 200
    assert passwords.verified == made
    assert Visitor(house, signed_in=False).audit() == [("session.begin", "admin")]


@each_way
def test_the_cookie_is_no_scripts_and_secure_where_it_can_be(house, passwords, path):
    for base, secure in (("http://localhost", False), ("https://pool.example", True)):
        answer = house.app.test_client().post(path, json={"password": PASSWORD}, base_url=base)
        cookie = next(each for each in answer.headers.getlist("Set-Cookie") if each.startswith("session="))
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert ("Secure" in cookie) is secure
        assert "Max-Age=2592000" in cookie


@each_way
def test_without_a_password_it_is_400_and_with_a_wrong_one_401(house, passwords, path):
    for body in ({}, {"password": ""}, {"password": None}, {"password": 7}):
        answer = house.client.post(path, json=body)
        assert (answer.status_code, answer.json["message"]) == (400, EMPTY[path]), body
    assert passwords.verified == 0
    answer = sign_in(house, path, password="wrong password")
    assert (answer.status_code, answer.json["success"], answer.json["message"]) == (401, False, WRONG[path])
    assert answer.json["error"]["message"] == WRONG[path]
    assert rows_of(house, "sessions") == []
    assert house.client.post(path, data=b"{", content_type="application/json").status_code == 400


def test_the_first_predecessors_errors_have_its_codes(house, passwords):
    for body, status in (({}, 400), ({"password": "wrong password"}, 401)):
        error = sign_in(house, "/admin/login", **body).json["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", f"http_{status}")


@each_way
def test_it_is_throttled_as_the_page_is_before_a_hash_is_made(house, passwords, path):
    for _ in range(5):
        take(house.keypool.state, "login:127.0.0.1", 5, 60, time.time())
    answer = sign_in(house, path, password=PASSWORD)
    assert (answer.status_code, answer.json["error"]["code"]) == (429, "too_many_attempts")
    assert 0 < int(answer.headers["Retry-After"]) <= 61
    assert passwords.verified == 0


def test_guesses_here_count_for_the_page(house, passwords):
    for n in range(5):
        assert sign_in(house, WAYS[n % 3], password=f"guess {n}").status_code == 401
    assert Visitor(house, signed_in=False).post("/login", password=PASSWORD).status_code == 429


@each_way
def test_another_sites_page_signs_nobody_in(house, passwords, path):
    answer = sign_in(house, path, headers={"Sec-Fetch-Site": "cross-site"}, password=PASSWORD)
    assert answer.status_code == 403
    assert rows_of(house, "sessions") == []


def test_the_page_takes_its_form_as_ever(house, passwords):
    assert Visitor(house, signed_in=False).post("/login", password=PASSWORD).status_code == 303


@pytest.mark.parametrize("shown", ["bearer", "raw", "x-admin-key", "cookie", "the cookie called session"])
def test_a_session_is_ended_by_whatever_shows_it(house, passwords, shown):
    client = house.app.test_client()
    token = sign_in(house, "/api/login", client, password=PASSWORD).json["token"]
    headers = {"bearer": {"Authorization": f"Bearer {token}"}, "raw": {"Authorization": token},
               "x-admin-key": {"X-Admin-Key": token}}.get(shown, {})  # fmt: skip
    leaving = client if shown == "cookie" else house.app.test_client()
    if shown == "the cookie called session":
        leaving.set_cookie("session", token)
    answer = leaving.post("/api/logout", headers=headers)
    assert (answer.status_code, answer.json) == (200, {"success": True})
    assert rows_of(house, "sessions") == []
    assert client.get("/keys").status_code == 302
    assert leaving.get_cookie("session") is None
    assert leaving.post("/api/logout", headers=headers).status_code == 200


def test_the_password_and_the_token_reach_no_log(house, passwords, caplog):
    with caplog.at_level("DEBUG"):
        token = sign_in(house, "/api/login", password=PASSWORD).json["token"]
        sign_in(house, "/api/login", password="wrong password")
    assert "a wrong password from 127.0.0.1" in caplog.text
    assert PASSWORD not in caplog.text
    assert token not in caplog.text


def test_programs_that_sign_in_at_every_run_are_not_throttled(house, passwords):
    for n in range(12):
        assert sign_in(house, WAYS[n % 2], password=PASSWORD).status_code == 200
    assert passwords.verified == 1
