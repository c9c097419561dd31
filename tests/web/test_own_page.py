"""The page of a client key's holder: signed in with the key itself, who sees their own use and nothing else."""

import time

import pytest

from pool.core.state import take
from tests.house import GEMINI_KEYS, PASSWORD
from tests.web.person import Person
from tests.web.visitor import Page, Visitor, rows_of

ODD = '<b>ana</b> "\'& \u202e🙂'


@pytest.fixture
def ana(house):
    house.add_keys(GEMINI_KEYS[0])
    return Person(house, "ana")


def enter(house, token, **environ):
    """A browser whose visitor typed `token` at the door; where that led to."""
    visitor = Visitor(house, signed_in=False)
    answer = visitor.client.post("/login", data={"password": token}, environ_base=environ)
    return visitor, answer


def chat(person, model="gemini-2.5-flash"):
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return person.ask("POST", "/v1/chat/completions", body)


def test_the_key_itself_opens_ones_own_page(house, ana):
    visitor, answer = enter(house, ana.token)
    assert (answer.status_code, answer.location) == (303, "/own")
    page = visitor.see("/own")
    assert page.all("h1")[0].text == "ana"
    assert ana.token not in visitor.get("/own").text
    assert "No request yet." in page.text
    assert visitor.audit() == [("session.begin", f"client {ana.id}")]
    assert rows_of(house, "audit")[0]["who"] == "ana"
    assert visitor.get("/login").location == "/own"


def test_it_tells_what_the_key_used_and_what_is_left(house):
    house.add_keys(GEMINI_KEYS[0])
    ana = Person(house, "ana", rpd_limit=5, rpm_limit=60, budget_usd_day=1.5)
    for _ in range(2):
        assert chat(ana).status_code == 200
    house.records()
    page = enter(house, ana.token)[0].see("/own")
    assert "Requests 2 100 % answered Tokens in 14 Tokens out 18" in page.text
    assert "Requests a minute 58 60 bit by bit" in page.text
    assert "Requests a day 3 5" in page.text
    assert "Cost a day" in page.text
    assert "gemini-2.5-flash 2 0 14 18" in page.text


def test_a_spent_limit_says_so(house):
    house.add_keys(GEMINI_KEYS[0])
    ana = Person(house, "ana", rpd_limit=1)
    chat(ana)
    assert chat(ana).status_code == 429
    assert "Requests a day spent 0 1" in enter(house, ana.token)[0].see("/own").text


def test_nobody_elses_figures_are_on_it(house, ana):
    ben = Person(house, "ben")
    chat(ben, "gemini-2.5-pro")
    house.chat("gemini-2.5-pro")
    house.records()
    said = enter(house, ana.token)[0].get("/own?window=90d").text
    assert "No request yet." in said
    # The live list has a model of that name; no figure has.
    for other in ("ben", GEMINI_KEYS[0][:8], house.auth_key[:8], ">default<"):
        assert other not in said


def test_the_operators_pages_stay_closed(house, ana):
    visitor, _ = enter(house, ana.token)
    for path in ("/dashboard", "/keys", "/clients", "/account", "/settings", "/requests", "/stat", "/playground"):
        answer = visitor.get(path)
        assert answer.status_code == 302
        assert answer.location.startswith("/login")
        assert visitor.get(answer.location).location == "/own"
    assert visitor.client.get("/admin/keys").status_code == 401
    assert visitor.post("/account/sessions/end").status_code == 302
    assert visitor.post("/playground", pool="1", model="m", text="t").status_code == 302


def test_a_key_that_is_refused_elsewhere_is_refused_here(house, ana):
    now = time.time()
    expired = Person(house, "expired", expires_at=now - 1)
    elsewhere = Person(house, "elsewhere", allowed_ips=["10.0.0.0/8"])
    gone = Person(house, "gone")
    house.keypool.inventory.revoke_client(gone.id)
    for token in (expired.token, elsewhere.token, gone.token, house.auth_key):
        assert enter(house, token)[1].status_code == 422
    assert enter(house, elsewhere.token, REMOTE_ADDR="10.1.2.3")[1].status_code == 303


@pytest.mark.parametrize("deed", ["revoke_client", "rotate_client", "delete_client"])
def test_the_page_closes_with_the_key(house, ana, deed):
    visitor, _ = enter(house, ana.token)
    getattr(house.keypool.inventory, deed)(ana.id)
    assert visitor.get("/own").location == "/login"
    assert visitor.get("/login").status_code == 200


def test_guesses_are_throttled_as_those_of_the_password_are(house, ana):
    for _ in range(5):
        take(house.keypool.state, "login:127.0.0.1", 5, 60, house.keypool.relay.clock())
    assert enter(house, ana.token)[1].status_code == 429


def test_the_admin_can_sign_in_afterwards_and_the_other_way_round(house, ana):
    visitor, _ = enter(house, ana.token)
    assert visitor.post("/login", password=PASSWORD).location == "/dashboard"
    assert visitor.get("/own").location == "/clients"
    assert len(rows_of(house, "sessions")) == 1


def test_signing_out_ends_the_session(house, ana):
    visitor, _ = enter(house, ana.token)
    visitor.press(visitor.see("/own"), "Sign out")
    assert rows_of(house, "sessions") == []
    assert visitor.get("/own").location == "/login"


def test_the_admins_new_password_leaves_holders_signed_in(house, ana):
    visitor, _ = enter(house, ana.token)
    admin = Visitor(house)
    admin.post("/account/password", current=PASSWORD, new="another horse entirely", again="another horse entirely")
    assert visitor.get("/own").status_code == 200
    assert "127.0.0.1" in admin.see("/account").text
    assert admin.see("/account").text.count("Signed in") == 1


def test_an_odd_name_shows_as_text(house):
    person = Person(house, ODD)
    answer = enter(house, person.token)[0].get("/own")
    assert "<b>ana" not in answer.text
    assert "<b>ana</b>" in Page(answer.text).all("h1")[0].text


def test_the_window_is_in_the_address(house, ana):
    visitor, _ = enter(house, ana.token)
    page = visitor.see("/own?window=30d")
    assert [node.text for node in page.all("a") if node.get("aria-current") == "page"] == ["30 days"]
    assert visitor.see("/own?window=forever").text == visitor.see("/own").text
