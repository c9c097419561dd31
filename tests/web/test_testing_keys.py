"""Testing keys: what a provider's list of models says of them, told in words, and acted on."""

import time

from pool.core.state import Word
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.upstream import answer, close_before_head, gemini_error, openai_error, refuse_key
from tests.web.test_keys_page import HTMX
from tests.web.visitor import Page, Visitor, rows_of

SHARED = "The request is blocked for a reason nobody knows."


def press_test(house, action=""):
    visitor = Visitor(house)
    return Page(visitor.press(visitor.see("/keys"), "Test", action or "/keys/1/test").text).text


def test_a_living_key_is_called_alive_and_its_test_spends_no_quota(house):
    house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0])
    assert "AIzaSyGe...xxxx: alive, " in press_test(house)
    assert "sk-proj-...yyyy: alive, " in press_test(house, "/keys/2/test")
    asked = [(request.method, request.path, request.key) for request in house.upstream.requests]
    assert asked == [("GET", "/v1beta/models?pageSize=1", GEMINI_KEYS[0]), ("GET", "/v1/models", OPENAI_KEYS[0])]
    assert all(time.time() - row["checked_at"] < 60 for row in rows_of(house, "keys"))
    assert "tested just now" in Visitor(house).see("/keys").text


def test_a_refused_key_is_dead_with_the_providers_reason(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    house.upstream.for_key(GEMINI_KEYS[0], refuse_key)
    said = press_test(house)
    assert "refused: API key not valid." in said
    assert "Dead" in said
    assert house.keypool.catalogue.keys[key_id].dead
    house.records()
    assert rows_of(house, "keys")[0]["dead_reason"].startswith("API key not valid")


def test_a_dead_or_suspected_key_that_answers_is_used_again(house):
    dead, suspected = house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.for_key(GEMINI_KEYS[0], refuse_key)
    house.upstream.for_key(GEMINI_KEYS[1], gemini_error(403, message=SHARED))
    assert "refused" in press_test(house)
    assert "it is not clear why: " + SHARED in press_test(house, "/keys/2/test")
    house.upstream.for_key(GEMINI_KEYS[0], lambda request: answer(200, {"models": []}))
    house.upstream.for_key(GEMINI_KEYS[1], lambda request: answer(200, {"models": []}))
    for key_id in (dead, suspected):
        assert "alive, " in press_test(house, f"/keys/{key_id}/test")
        assert house.keypool.catalogue.keys[key_id].dead is None
        assert house.keypool.catalogue.benches(key_id) == {}


def test_a_day_quota_of_one_model_is_not_forgotten_by_a_test(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    house.keypool.state.announce(Word(key_id, "quota_day", time.time() + 3600, "gemini-2.5-pro"))
    assert "alive, " in press_test(house)
    assert list(house.keypool.catalogue.benches(key_id)) == ["gemini-2.5-pro"]


def test_a_quota_refusal_sets_the_key_aside_as_any_other(house):
    (key_id,) = house.add_keys(OPENAI_KEYS[0])
    house.upstream.for_key(OPENAI_KEYS[0], openai_error(429, "insufficient_quota", "You are out of credit."))
    assert "alive, but has to rest (credit spent): You are out of credit." in press_test(house)
    assert house.keypool.catalogue.benches(key_id)[""].reason == "insufficient_quota"


def test_an_upstream_that_does_not_answer_blames_no_key(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    troubles = (close_before_head(), gemini_error(503), answer(200, b"<html>Log in to the hotel</html>"))
    for trouble, word in zip(troubles, ("no answer", "undecided", "undecided"), strict=True):
        house.upstream.for_key(GEMINI_KEYS[0], trouble)
        assert f"AIzaSyGe...xxxx: {word}" in press_test(house)
    assert house.keypool.catalogue.keys[key_id].dead is None
    assert house.keypool.catalogue.benches(key_id) == {}


def test_htmx_gets_the_row_with_the_result_in_words(house):
    house.add_keys(GEMINI_KEYS[0])
    html = Visitor(house).post("/keys/1/test", HTMX).text
    assert html.strip().startswith('<tr id="key-1">')
    assert 'data-check="alive">alive, ' in html
    assert '<p id="said" hx-swap-oob="innerHTML">AIzaSyGe...xxxx: alive, ' in html


def test_an_upstreams_words_are_words_and_a_key_they_echo_is_masked(house):
    house.add_keys(GEMINI_KEYS[0])
    said = f"API key not valid: {GEMINI_KEYS[0]} <script>alert(1)</script>"
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(400, message=said, reason="API_KEY_INVALID"))
    for headers in (HTMX, {}):
        html = Visitor(house).post("/keys/1/test", headers).text
        assert "<script>alert" not in html
        assert GEMINI_KEYS[0] not in html
    assert "<script>alert" not in Visitor(house).get("/keys").text


def test_a_test_takes_a_signed_in_person_on_our_own_page(house):
    house.add_keys(GEMINI_KEYS[0])
    assert Visitor(house).post("/keys/1/test", {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert Visitor(house, signed_in=False).post("/keys/1/test").status_code == 302
    assert Visitor(house).post("/keys/99/test").status_code == 404
    assert Visitor(house).get("/keys/1/test").status_code == 405
    assert house.upstream.requests == []
    assert PASSWORD
