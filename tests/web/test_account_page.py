"""The account page: another password, and the browsers that are signed in."""

import pytest

from pool.core.state import take
from pool.web.admin.account import browser
from tests.house import PASSWORD, open_house
from tests.web.visitor import Page, Visitor, rows_of

NEW = "another horse entirely"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def change(visitor, current=PASSWORD, new=NEW, again=None):
    return visitor.press(visitor.see("/account"), "Change the password", current=current, new=new,
                         again=new if again is None else again)  # fmt: skip


def may_sign_in(house, password):
    stranger = Visitor(house, signed_in=False)
    return stranger.post("/login", password=password).status_code == 303


def test_a_new_password_counts_at_once_and_signs_out_everybody_else(house):
    visitor, other = Visitor(house), Visitor(house)
    answer = change(visitor)
    assert "The password is changed. 1 other browser is signed out." in Page(answer.text).text
    assert visitor.get("/account").status_code == 200
    assert other.get("/account").status_code == 302
    assert may_sign_in(house, NEW)
    assert not may_sign_in(house, PASSWORD)
    assert ("password.change", "password") in visitor.audit()
    assert NEW not in str(rows_of(house, "audit") + rows_of(house, "meta"))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"current": "wrong horse"}, "That is not the password"),
        ({"new": "short"}, "At least 8 characters, and none of the passwords everybody knows."),
        ({"new": "12345678"}, "none of the passwords everybody knows"),
        ({"again": "another house entirely"}, "The two are not the same."),
        ({"new": PASSWORD}, "That is the password already."),
        ({"new": "x" * 2_000}, "At least 8 characters"),
    ],
)
def test_what_cannot_be_is_said_beside_its_field(house, typed, said):
    visitor = Visitor(house)
    answer = change(visitor, **typed)
    assert answer.status_code == 422
    assert said in Page(answer.text).text
    assert all(text not in answer.text for text in typed.values())
    assert visitor.audit() == []


def test_guessing_the_current_password_is_throttled(house):
    visitor = Visitor(house)
    session_id = rows_of(house, "sessions")[0]["id"]
    for _ in range(10):
        take(house.keypool.state, f"elevate:{session_id}", 10, 60, house.keypool.relay.clock())
    assert change(visitor).status_code == 422
    assert not may_sign_in(house, NEW)


def test_a_password_of_the_environment_is_changed_there(instance_template, tmp_path):
    with open_house(instance_template, tmp_path / "instance", ADMIN_PASSWORD=PASSWORD) as house:
        visitor = Visitor(house)
        page = visitor.see("/account")
        assert "ADMIN_PASSWORD in the environment says what the password is." in page.text
        assert "password" not in [name for form in page.forms for name, _ in form.fields]
        answer = visitor.post("/account/password", current=PASSWORD, new=NEW, again=NEW)
        assert answer.status_code == 422
        assert may_sign_in(house, PASSWORD)


def test_another_password_in_the_environment_signs_everybody_out(instance_template, tmp_path):
    folder = tmp_path / "instance"
    with open_house(instance_template, folder, ADMIN_PASSWORD=PASSWORD) as house:
        stolen = Visitor(house)
        stolen.see("/account")
        cookie = stolen.client.get_cookie("keypool").value
    for password, status in ((PASSWORD, 200), (NEW, 302)):
        with open_house(instance_template, folder, ADMIN_PASSWORD=password) as house:
            thief = Visitor(house, signed_in=False)
            thief.client.set_cookie("keypool", cookie)
            assert thief.get("/account").status_code == status
            told = [(row["via"], row["after"]) for row in rows_of(house, "audit") if row["action"] == "password.change"]
            assert told == ([] if status == 200 else [("environment", '{"sessions ended":1}')])


def test_signed_in_browsers_are_listed_and_one_can_be_signed_out(house):
    visitor, other = Visitor(house), Visitor(house, signed_in=False)
    other.client.post("/login", data={"password": PASSWORD}, headers={"User-Agent": FIREFOX},
                      environ_base={"REMOTE_ADDR": "192.0.2.7"})  # fmt: skip
    page = visitor.see("/account")
    assert "Firefox, Linux 192.0.2.7" in page.text
    assert page.text.count("this one") == 1
    answer = visitor.press(page, "Sign out Firefox, Linux 192.0.2.7")
    assert "That browser is signed out." in answer.text
    assert other.get("/account").status_code == 302
    assert visitor.audit()[-1][0] == "session.end"


def test_ones_own_session_ends_by_signing_out_only(house):
    visitor = Visitor(house)
    session_id = rows_of(house, "sessions")[0]["id"]
    assert visitor.post(f"/account/sessions/{session_id}/end").status_code == 404
    assert visitor.post("/account/sessions/999/end").status_code == 404
    assert visitor.get("/account").status_code == 200


def test_no_token_is_on_the_page(house):
    visitor = Visitor(house)
    assert visitor.token not in visitor.get("/account").text


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (FIREFOX, "Firefox, Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36 Edg/142",
         "Edge, Windows"),
        ("Mozilla/5.0 (X11; Linux) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0 Safari/537.36",
         "Chrome, Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) AppleWebKit/605 Version/18 Safari/604.1", "Safari, iOS"),
        ("<script>alert(1)</script>", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_browser_is_named_by_what_it_says_of_itself(agent, said):
    assert browser(agent) == said
