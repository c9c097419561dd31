"""Signing in, staying signed in, and being kept out."""

import re
import time

import pytest
from sqlalchemy import text

from pool.core.state import take
from pool.web.guessing import network
from tests.house import PASSWORD, open_house
from tests.web.visitor import Page, Visitor, rows_of

HOSTILE_NEXT = [
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "https://evil.example/keys",
    "/%09/evil.example",
    "/\t/evil.example",
    "/keys\r\nX-Evil: 1",
    "/nowhere",
    "javascript:alert(1)",
    "keys",
    "",
]


def change(house, statement, **values):
    house.keypool.database.write(lambda session: session.execute(text(statement), values) and None)


def test_the_form_says_what_this_is_and_where_the_password_came_from(instance_template, tmp_path):
    for variables, said in (
        ({}, "The first start printed the password."),
        ({"ADMIN_PASSWORD": PASSWORD}, "ADMIN_PASSWORD in the environment says what the password is."),
        ({"ADMIN_PASSWORD": PASSWORD, "LOGIN_NOTE": "Ask <Ann>."}, "Ask <Ann>."),
    ):
        with open_house(instance_template, tmp_path / "instance", **variables) as house:
            page = Visitor(house, signed_in=False).see("/login").text
            assert "One address in front of many upstream keys." in page
            assert said in page


def test_the_right_password_leads_on_to_the_page_that_was_asked_for(house):
    visitor = Visitor(house, signed_in=False)
    asked = visitor.get("/keys?state=dead")
    assert asked.status_code == 302
    page = Page(visitor.get(asked.location).text)
    answer = visitor.press(page, "Sign in", password=PASSWORD)
    assert answer.request.full_path == "/keys?state=dead"
    assert answer.status_code == 200
    assert visitor.audit() == [("session.begin", "admin")]


def test_a_wrong_password_shows_the_form_again_and_signs_nobody_in(house):
    visitor = Visitor(house, signed_in=False)
    answer = visitor.post("/login", password="wrong")
    assert answer.status_code == 422
    assert "That is not the password" in answer.text
    (typed,) = [node for node in Page(answer.text).all("input") if node.get("type") == "password"]
    assert (typed.get("aria-invalid"), typed.get("aria-describedby")) == (
        "true", "field-password-error field-password-hint",
    )
    assert "autofocus" in typed.attrs
    assert rows_of(house, "sessions") == []
    assert visitor.get("/keys").status_code == 302


def test_the_token_is_stored_as_a_digest_only_and_is_new_at_every_login(house):
    tokens = []
    for _ in range(2):
        visitor = Visitor(house, signed_in=False)
        visitor.post("/login", password=PASSWORD)
        with visitor.client.session_transaction() as cookie:
            tokens.append(cookie["_user_id"])
    assert tokens[0] != tokens[1]
    assert all(len(token) >= 43 for token in tokens)
    assert [row["digest"] for row in rows_of(house, "sessions")] == [
        house.keypool.vault.digest(token) for token in tokens
    ]


def test_a_cookie_replayed_after_signing_out_is_worth_nothing(house):
    visitor = Visitor(house)
    stolen = visitor.client.get_cookie("keypool").value
    visitor.press(visitor.see("/dashboard"), "Sign out")
    thief = Visitor(house, signed_in=False)
    thief.client.set_cookie("keypool", stolen)
    assert thief.get("/dashboard").location == "/login?next=/dashboard"
    assert rows_of(house, "sessions") == []


@pytest.mark.parametrize("door", ["/logout", "/api/logout"])
def test_signing_out_is_in_the_trail_once(house, door):
    visitor = Visitor(house)
    assert visitor.get("/dashboard").status_code == 200
    visitor.post(door)
    visitor.post(door)
    assert [row["action"] for row in rows_of(house, "audit")].count("session.end") == 1


def test_the_api_has_a_way_out_too(house):
    visitor = Visitor(house)
    answer = visitor.post("/api/logout")
    assert (answer.status_code, answer.json) == (200, {"success": True})
    assert visitor.get("/dashboard").status_code == 302


@pytest.mark.parametrize("column", ["expires_at", "last_seen_at"])
def test_a_session_ends_by_itself(house, column):
    visitor = Visitor(house)
    assert visitor.get("/pools").status_code == 200
    a_week_ago = time.time() - 7 * 86_400 - 1
    change(house, f"UPDATE sessions SET {column} = :at", at=a_week_ago)
    assert visitor.get("/pools").status_code == 302


def test_the_cookie_is_bound_and_secure_over_https(house):
    visitor = Visitor(house, signed_in=False)
    plain = visitor.client.post("/login", data={"password": PASSWORD})
    secure = Visitor(house, signed_in=False).client.post(
        "/login", data={"password": PASSWORD}, base_url="https://pool.example"
    )
    plain_cookie, secure_cookie = (answer.headers["Set-Cookie"] for answer in (plain, secure))
    assert re.match(r"keypool=.*; HttpOnly; Path=/; SameSite=Lax$", plain_cookie)
    assert re.match(r"__Host-keypool=.*; Secure; HttpOnly; Path=/; SameSite=Lax$", secure_cookie)
    assert "remember_token" not in plain_cookie + secure_cookie


def test_two_apps_on_one_host_keep_their_cookies_apart(house):
    house.app.config["SESSION_COOKIE_NAME"] = "keypool-demo"
    visitor = Visitor(house, signed_in=False)
    visitor.client.set_cookie("keypool", "of-the-other-app")
    visitor.post("/login", password=PASSWORD)
    assert visitor.get("/keys").status_code == 200
    assert visitor.client.get_cookie("keypool").value == "of-the-other-app"
    secure = visitor.client.post("/login", data={"password": PASSWORD}, base_url="https://pool.example")
    assert secure.headers["Set-Cookie"].startswith("__Host-keypool-demo=")


def test_five_attempts_a_minute_from_one_address_then_not_even_the_right_password(house):
    visitor = Visitor(house, signed_in=False)
    now = time.time()
    for _ in range(5):
        take(house.keypool.state, "login:127.0.0.1", 5, 60, now)
    answer = visitor.post("/login", password=PASSWORD)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 61
    assert "<form" in answer.text
    elsewhere = visitor.client.post("/login", data={"password": PASSWORD}, environ_base={"REMOTE_ADDR": "10.1.2.3"})
    assert elsewhere.status_code == 303


def test_thirty_attempts_a_minute_from_everywhere(house):
    visitor = Visitor(house, signed_in=False)
    for _ in range(30):
        take(house.keypool.state, "login", 30, 60, time.time())
    assert visitor.post("/login", password=PASSWORD).status_code == 429


@pytest.mark.alone
def test_refused_attempts_take_no_time_of_the_hasher(house):
    for _ in range(30):
        take(house.keypool.state, "login", 30, 60, time.time())
    visitor, began = Visitor(house, signed_in=False), time.perf_counter()
    for _ in range(20):
        assert visitor.post("/login", password="guess").status_code == 429
    assert time.perf_counter() - began < 2


def test_a_live_session_is_never_throttled(house):
    visitor = Visitor(house)
    for _ in range(30):
        take(house.keypool.state, "login", 30, 60, time.time())
    assert visitor.get("/keys").status_code == 200
    assert visitor.post("/login", password="whatever").status_code == 303


def test_an_ipv6_visitor_is_known_by_the_network():
    assert network("2001:db8:1:2:3:4:5:6") == network("2001:db8:1:2::9") != network("2001:db8:1:3::9")
    assert network("192.0.2.7") == "192.0.2.7"


def test_nobody_is_led_away_after_signing_in(house):
    visitor = Visitor(house)  # signed in: the form leads on without a hash
    for target in HOSTILE_NEXT:
        assert visitor.post("/login", next=target).location == "/dashboard", target
        assert visitor.get("/login", query_string={"next": target}).location == "/dashboard", target


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Referer": "https://evil.example/page"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
]
OWN = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost"},
    {"Referer": "http://localhost/login"},
]


def test_another_sites_page_changes_nothing(house):
    visitor = Visitor(house)
    for path in ("/login", "/logout", "/api/logout", "/theme", "/pools/1/disable", "/clients"):
        for headers in FOREIGN:
            assert visitor.post(path, headers).status_code == 403, (path, headers)
    assert visitor.get("/dashboard").status_code == 200
    assert visitor.audit() == []


def test_our_own_pages_and_programs_may(house):
    visitor = Visitor(house)
    for headers in OWN:
        assert visitor.post("/theme", headers, theme="dark", back="/keys").status_code == 303, headers


PAGES = ["/login", "/dashboard", "/keys", "/pools", "/pools/new", "/pools/1", "/keys/import", "/clients", "/stat"]
PAGES += ["/settings", "/account", "/nowhere"]


def test_every_page_has_the_security_headers(house):
    visitor, stranger = Visitor(house), Visitor(house, signed_in=False)
    for path in PAGES:
        answer = (stranger if path == "/login" else visitor).get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=|<style", answer.text), path


def test_pages_let_browsers_name_their_own_origin(house):
    """With no-referrer in force a form on plain http says `Origin: null`, and no `Sec-Fetch-Site` there."""
    assert '<meta name="referrer" content="same-origin">' in Visitor(house, signed_in=False).get("/login").text


def test_the_start_leads_a_person_on_and_tells_a_program_what_there_is(house):
    html = {"Accept": "text/html"}
    assert Visitor(house).get("/", headers=html).location == "/dashboard"
    assert Visitor(house, signed_in=False).get("/", headers=html).location == "/login"
    assert Visitor(house, signed_in=False).get("/").json["name"] == "keypool"


def test_the_language_follows_the_browser(house):
    visitor = Visitor(house)
    assert 'lang="zh-CN"' in visitor.get("/pools", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}).text
    assert 'lang="en"' in visitor.get("/pools", headers={"Accept-Language": "de"}).text
    visitor.client.set_cookie("language", "zh_CN")
    assert "新建池" in visitor.get("/pools", headers={"Accept-Language": "de"}).text


def test_an_unknown_page_says_so(house):
    answer = Visitor(house, signed_in=False).get("/nowhere")
    assert answer.status_code == 404
    assert "nothing at this address" in answer.text
