"""The admin credential of a program: what opens management, what does not, and what guessing costs."""

import re
import secrets
import time

import gevent
import pytest
from sqlalchemy import text

from pool.adapters import queries
from pool.core.state import take
from pool.web import guessing
from tests.house import GEMINI_KEYS, PASSWORD
from tests.web.visitor import Visitor, rows_of

EXPLAIN = "/admin/route/explain"
OPEN = {"api.post /admin/login", "api.post /api/login", "api.post /api/logout"}
"""Routes that answer anybody."""


def ask(house, path=EXPLAIN, client=None, **headers):
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return (client or house.app.test_client()).post(path, json={"model": "gemini-2.5-flash"}, headers=shown)


def guess_often(house, bucket="login:127.0.0.1", times=5):
    for _ in range(times):
        take(house.keypool.state, bucket, times, 60, time.time())


@pytest.mark.parametrize(
    "shown",
    [
        {"X-Admin-Key": PASSWORD},
        {"Authorization": PASSWORD},
        {"Authorization": f"Bearer {PASSWORD}"},
        {"Authorization": f"bearer  {PASSWORD}"},
        {"X-Admin-Key": "wrong", "Authorization": f"Bearer {PASSWORD}"},
    ],
)
def test_the_password_opens_it_in_either_header(house, passwords, shown):
    assert ask(house, **shown).status_code == 200


@pytest.mark.parametrize("header", ["X-Admin-Key", "Authorization"])
def test_a_password_in_another_alphabet_is_the_same_in_a_header(house, passwords, header):
    house.keypool.database.write(queries.set_password, passwords.encode("schlüssel 钥匙 pool"))
    sent = "schlüssel 钥匙 pool".encode().decode("latin-1")
    assert ask(house, **{header: sent}).status_code == 200


def test_a_live_sessions_token_opens_it_and_an_ended_one_does_not(house, passwords):
    visitor = Visitor(house)
    for shown in ({"X-Admin-Key": visitor.token}, {"Authorization": f"Bearer {visitor.token}"}):
        assert ask(house, **shown).status_code == 200
    assert passwords.verified == 0
    visitor.post("/logout")
    assert ask(house, **shown).status_code == 403


def test_the_cookie_of_a_signed_in_browser_opens_it_to_our_own_pages_only(house, passwords):
    client = Visitor(house).client
    for own in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}):
        assert ask(house, client=client, **own).status_code == 200, own
    for foreign in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = ask(house, client=client, **foreign)
        assert (answer.status_code, answer.json["error"]["code"]) == (403, "foreign_origin"), foreign
    # A page cannot make another site's visitor send this header.
    assert ask(house, client=client, **{"Sec-Fetch-Site": "cross-site", "X-Admin-Key": PASSWORD}).status_code == 200


def test_the_session_of_a_client_keys_holder_opens_nothing(house, passwords):
    client_id, _ = house.keypool.inventory.create_client("ana", house.default_pool_id)
    visitor = Visitor(house)
    house.keypool.database.write(
        lambda session: session.execute(text("UPDATE sessions SET client_key_id = :id"), {"id": client_id}) and None
    )
    assert ask(house, client=visitor.client).status_code == 401
    assert ask(house, **{"X-Admin-Key": visitor.token}).status_code == 401


@pytest.mark.parametrize("shows", ["nothing", "an auth key", "a user key", "a wrong password"])
def test_every_route_refuses_who_is_no_admin(house, passwords, shows):
    _, user_key = house.keypool.inventory.create_client("ana", house.default_pool_id)
    house.add_keys(GEMINI_KEYS[0])
    token = {"an auth key": house.auth_key, "a user key": user_key, "a wrong password": "wrong password"}.get(shows)
    shown = [{}] if token is None else [{"X-Admin-Key": token}, {"Authorization": token}]
    shown += [] if token is None else [{"Authorization": f"Bearer {token}"}]
    trail, seen = len(rows_of(house, "audit")), 0
    for rule in house.app.url_map.iter_rules():
        if not rule.endpoint.startswith("api.") or rule.endpoint in OPEN:
            continue
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in rule.methods:
            for headers in shown:
                seen += 1
                answer = house.app.test_client().open(path, method=method, headers=headers, json={})
                usual = 403 if "Authorization" in headers and path.startswith("/admin/") else 401
                assert answer.status_code in ((usual, 429) if shows == "a wrong password" else (usual,)), (method, path)
                assert "Access-Control-Allow-Origin" not in answer.headers
                if method != "HEAD":
                    assert answer.json["success"] is False, (method, path)
    assert seen
    assert len(rows_of(house, "audit")) == trail


def test_a_client_key_shown_by_mistake_is_no_guess(house, passwords):
    for _ in range(6):
        assert ask(house, Authorization=f"Bearer {house.auth_key}").status_code == 403
    assert passwords.verified == 0
    assert ask(house, **{"X-Admin-Key": PASSWORD}).status_code == 200


def test_guessing_is_throttled_by_the_buckets_of_the_login_page_before_a_hash_is_made(house, passwords):
    for n in range(guessing.PER_IP):
        assert ask(house, **{"X-Admin-Key": f"guess {n}"}).status_code == 401
    made = passwords.verified
    answer = ask(house, **{"X-Admin-Key": "guess 5"})
    assert (answer.status_code, answer.json["error"]["code"]) == (429, "too_many_attempts")
    assert 0 < int(answer.headers["Retry-After"]) <= 61
    assert ask(house, **{"X-Admin-Key": PASSWORD}).status_code == 429
    assert passwords.verified == made == guessing.PER_IP
    assert Visitor(house, signed_in=False).post("/login", password=PASSWORD).status_code == 429


def test_guessing_from_everywhere_is_throttled_too(house, passwords):
    guess_often(house, "login", guessing.GLOBAL)
    assert ask(house, **{"X-Admin-Key": PASSWORD}).status_code == 429
    assert passwords.verified == 0


def test_a_live_session_is_never_throttled(house, passwords):
    visitor = Visitor(house)
    guess_often(house)
    assert ask(house, **{"X-Admin-Key": visitor.token}).status_code == 200
    assert ask(house, client=visitor.client).status_code == 200


def test_a_password_that_was_right_is_hashed_once_and_not_throttled_after(house, passwords):
    assert ask(house, **{"X-Admin-Key": PASSWORD}).status_code == 200
    guess_often(house)
    for _ in range(10):
        assert ask(house, Authorization=f"Bearer {PASSWORD}").status_code == 200
    assert passwords.verified == 1


def test_it_is_remembered_for_ten_minutes(house, passwords, monkeypatch):
    assert ask(house, **{"X-Admin-Key": PASSWORD}).status_code == 200
    later = time.time() + guessing.REMEMBERED_S
    monkeypatch.setattr(guessing, "now", lambda: later - 1)
    assert ask(house, **{"X-Admin-Key": PASSWORD}).status_code == 200
    assert passwords.verified == 1
    monkeypatch.setattr(guessing, "now", lambda: later + 1)
    assert ask(house, **{"X-Admin-Key": PASSWORD}).status_code == 200
    assert passwords.verified == 2


def test_a_new_password_forgets_the_old_one_at_once(house, passwords):
    assert ask(house, **{"X-Admin-Key": PASSWORD}).status_code == 200
    house.keypool.database.write(queries.set_password, passwords.encode("another good one"))
    assert ask(house, **{"X-Admin-Key": PASSWORD}).status_code == 401
    assert ask(house, **{"X-Admin-Key": "another good one"}).status_code == 200


def test_a_wrong_password_is_remembered_for_nothing(house, passwords):
    for _ in range(3):
        assert ask(house, **{"X-Admin-Key": "wrong password"}).status_code == 401
    assert passwords.verified == 3


def test_ten_requests_at_once_are_one_attempt(house, passwords):
    passwords.pause_s = 0.02
    asks = [gevent.spawn(ask, house, **{"X-Admin-Key": PASSWORD}) for _ in range(10)]
    gevent.joinall(asks, raise_error=True)
    assert [each.value.status_code for each in asks] == [200] * 10
    assert passwords.verified == 1


def test_ten_wrong_ones_at_once_are_throttled_one_by_one(house, passwords):
    passwords.pause_s = 0.02
    asks = [gevent.spawn(ask, house, **{"X-Admin-Key": "wrong password"}) for _ in range(10)]
    gevent.joinall(asks, raise_error=True)
    assert sorted(each.value.status_code for each in asks) == [401] * 5 + [429] * 5


def test_what_is_remembered_is_bounded(house):
    memory, tokens = guessing.Remembered(), [secrets.token_hex(8) for _ in range(3 * guessing.MOST_REMEMBERED)]
    assert all(memory.admits(token, "stored", lambda: True) for token in tokens)
    assert len(memory._until) == guessing.MOST_REMEMBERED
    assert not any(token in repr(vars(memory)) for token in tokens)


def test_the_password_reaches_no_log(house, passwords, caplog):
    with caplog.at_level("DEBUG"):
        ask(house, **{"X-Admin-Key": "wrong password"})
        ask(house, **{"X-Admin-Key": PASSWORD})
    assert "from 127.0.0.1" in caplog.text
    assert "wrong password from" in caplog.text
    assert PASSWORD not in caplog.text


def test_who_is_refused_hears_it_from_the_predecessor_whose_way_in_was_tried(house, passwords):
    answer = ask(house, **{"X-Admin-Key": "wrong password"})
    assert (answer.status_code, answer.json["error"]) == (401, "Unauthorized")
    for shown in ("Bearer wrong password", "wrong password"):
        answer = ask(house, Authorization=shown)
        assert (answer.status_code, answer.json["error"]["message"]) == (403, "Admin access required")
        assert answer.json["error"]["code"] == "http_403"
    answer = ask(house)
    assert (answer.status_code, answer.json["success"], answer.json["error"]) == (401, False, "Unauthorized")
    for path in ("/api/pools", "/api/pools/1/stats", "/api/tokens", "/api/stats"):
        for headers in ({}, {"Authorization": "Bearer " + house.auth_key}, {"X-Admin-Key": house.auth_key}):
            answer = house.client.get(path, headers=headers)
            assert (answer.status_code, answer.json["success"]) == (401, False)
            assert answer.json["message"] == "未授权：请先登录"


def test_a_persons_browser_is_led_to_sign_in_and_a_program_never(house):
    person, program = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, {"Accept": "*/*"}
    answer = house.client.get("/admin/pools/1?a=b", headers=person)
    assert (answer.status_code, answer.location) == (302, "/login?next=/admin/pools/1?a%3Db")
    assert house.client.get("/admin/pools/1", headers=program).status_code == 401
    shown = {**person, "Authorization": f"Bearer {house.auth_key}"}
    assert house.client.get("/admin/pools/1", headers=shown).status_code == 403
    assert house.client.post("/admin/route/explain", headers=person, json={}).location == "/login"


def test_a_person_who_follows_a_link_from_elsewhere_sees_the_page_and_changes_nothing(house):
    client, elsewhere = Visitor(house).client, {"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}
    assert client.get("/admin/pools/1", headers=elsewhere).location == "/pools/1"
    assert ask(house, client=client, **elsewhere).status_code == 403
    assert client.get("/admin/pools/1", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_cookie_that_holds_a_sessions_token_opens_it_to_our_own_pages_only(house, passwords):
    visitor = Visitor(house)
    client = house.app.test_client()
    client.set_cookie("session", visitor.token)
    assert ask(house, client=client).status_code == 200
    assert ask(house, client=client, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    client.set_cookie("session", "of another app on this host")
    assert ask(house, client=client).status_code == 401
    assert passwords.verified == 0
