"""Pools: made, revealed, given a new auth key; and what is said of a mistake."""

import time

import pytest
from sqlalchemy import text

from pool.core.state import take
from tests.house import PASSWORD
from tests.web.visitor import Page, Visitor

HTMX = {"HX-Request": "true"}


def make(visitor, **fields):
    answer = visitor.press(visitor.see("/pools/new"), "Create pool", **{"name": "research", **fields})
    return int(answer.request.path.rsplit("/", 1)[1]), answer


def test_a_pool_is_made_and_its_page_shows_how_to_use_it(house):
    visitor = Visitor(house)
    pool_id, answer = make(visitor, policy="adaptive", models="gemini-2.5-*\ngemini-3-pro")
    pool = house.keypool.catalogue.pools[pool_id]
    assert (pool.name, pool.policy, pool.allowed_models) == ("research", "adaptive", ("gemini-2.5-*", "gemini-3-pro"))
    said = Page(answer.text).text
    for words in ("http://localhost/v1", "curl http://localhost/v1/chat", "from openai import", "from google import"):
        assert words in said
    assert house.keypool.inventory.auth_key(pool_id) not in answer.text
    assert visitor.audit() == [("pool.create", f"pool {pool_id}")]


def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(house):
    visitor = Visitor(house)
    make(visitor)
    page = visitor.see("/pools/new")
    for name, error in (("", "A pool needs a name."), ("research", "There is a pool of this name.")):
        answer = visitor.press(page, "Create pool", name=name, description="kept")
        assert answer.status_code == 422
        assert error in answer.text
        assert 'value="kept"' in answer.text
        assert answer.text.startswith("<!doctype html>")
    fragment = visitor.post("/pools/new", HTMX, name="")
    assert fragment.status_code == 422
    assert fragment.text.strip().startswith('<form id="new-pool"')


def test_the_list_says_what_each_pool_is_for_and_where_its_requests_go_on(house):
    words = "Paid keys of the laboratory, by weight; ask Ann before you add one"
    house.keypool.inventory.create_pool("research", description=words, fallback_pool_id=house.default_pool_id)
    visitor = Visitor(house)
    page = visitor.see("/pools")
    (row,) = (node for node in page.all("tr") if node.get("id") == "pool-2")
    (told,) = (node for node in row.walk() if node.text == words and node.tag == "span")
    assert "clip" not in told.get("class")
    fallback = next(node for node in row.walk() if node.get("data-label") == "Fallback pool")
    assert fallback.text == "default"
    assert page.link("default") == "/pools/1"
    assert "Fallback pool: default" in visitor.see("/pools/2").text
    assert "Fallback pool:" not in visitor.see("/pools/1").text


def test_the_default_pool_keeps_its_name_and_cannot_be_deleted(house):
    visitor = Visitor(house)
    page = visitor.see("/pools/1")
    assert visitor.press(page, "Save", name="mine").status_code == 422
    assert visitor.get("/pools/1/delete").status_code == 404
    assert visitor.post("/pools/1/delete", name="default").status_code == 404


def test_the_auth_key_is_shown_for_the_password_only_and_then_for_ten_minutes(house):
    visitor = Visitor(house)
    asked = visitor.press(visitor.see("/pools/1"), "Show and copy")
    assert asked.status_code == 403
    assert house.auth_key not in asked.text
    wrong = visitor.press(Page(asked.text), "Show the key", password="wrong")
    assert wrong.status_code == 403
    assert "not the password" in wrong.text
    shown = visitor.press(Page(wrong.text), "Show the key", password=PASSWORD)
    assert house.auth_key in shown.text
    assert house.auth_key not in visitor.get("/pools/1").text
    assert house.auth_key in visitor.press(visitor.see("/pools/1"), "Show and copy").text
    house.keypool.database.write(
        lambda session: (
            session.execute(text("UPDATE sessions SET elevated_until = :at"), {"at": time.time() - 1}) and None
        )
    )
    assert visitor.press(visitor.see("/pools/1"), "Show and copy").status_code == 403
    assert [action for action, _ in visitor.audit()] == ["pool.reveal", "pool.reveal"]


def test_guessing_the_password_in_a_session_is_throttled(house):
    visitor = Visitor(house)
    for _ in range(10):
        session_id = 1
        take(house.keypool.state, f"elevate:{session_id}", 10, 60, time.time())
    assert visitor.post("/pools/1/reveal", password=PASSWORD).status_code == 403


def test_a_wrong_password_in_a_session_is_in_the_log(house, caplog):
    Visitor(house).post("/pools/1/reveal", password="not the one")
    assert "a wrong password from 127.0.0.1" in caplog.text
    assert "not the one" not in caplog.text


def test_a_new_auth_key_ends_the_old_one_or_lets_it_go_on_for_a_while(house):
    visitor = Visitor(house)
    for grace, left in (("0", 0), ("day", 86_400)):
        old = house.keypool.inventory.auth_key(1)
        ask = visitor.see(visitor.see("/pools/1").link("Regenerate"))
        answer = visitor.press(ask, "Regenerate", grace=grace)
        new = house.keypool.inventory.auth_key(1)
        assert new != old
        assert new in answer.text
        known = house.keypool.catalogue.credentials.get(house.keypool.vault.digest(old))
        assert bool(known) == bool(left)
    assert [action for action, _ in visitor.audit()] == ["pool.regenerate"] * 2


@pytest.mark.parametrize(
    ("old", "new"),
    [("/admin", "/dashboard"), ("/admin/create-pool", "/pools/new"), ("/admin/pools/1", "/pools/1")],
)
def test_the_predecessors_addresses_lead_here(house, old, new):
    assert Visitor(house).get(old, headers={"Accept": "text/html"}).location == new


def test_a_hostile_name_is_a_name(house):
    name = "<b onmouseover=alert(1)>{{ 7*7 }}</b>"
    visitor = Visitor(house)
    _, answer = make(visitor, name=name, description="<script>alert(1)</script>")
    for html in (answer.text, visitor.get("/pools").text, visitor.get("/clients").text, visitor.get("/keys").text):
        assert "<b onmouseover" not in html
        assert "<script>alert" not in html
    assert name in Page(visitor.get("/pools").text).text
