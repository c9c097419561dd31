"""A session is nobody's choice but the server's: what a browser was given before it signs in opens nothing."""

import pytest

from tests.house import PASSWORD
from tests.web.visitor import Page, Visitor, rows_of

COOKIE = "keypool"


def token_of(visitor):
    with visitor.client.session_transaction() as cookie:
        return cookie.get("_user_id")


def planted(house, cookie):
    """A browser in which somebody else put a cookie."""
    victim = Visitor(house, signed_in=False)
    victim.client.set_cookie(COOKIE, cookie)
    return victim


def anonymous(house):
    """A cookie the server signed for somebody who never signed in."""
    visitor = Visitor(house, signed_in=False)
    visitor.post("/logout")
    return visitor.client.get_cookie(COOKIE).value


def of_an_unknown_token(house):
    """Signed by the server, but with a token it never gave out: as if its secret were known for that once."""
    visitor = Visitor(house, signed_in=False)
    with visitor.client.session_transaction() as cookie:
        cookie["_user_id"] = "chosen-by-somebody-else-" + "x" * 20
    return visitor.client.get_cookie(COOKIE).value


def of_a_holder(house):
    """The cookie of somebody who may sign in, and is no admin."""
    _, token = house.keypool.inventory.create_client("mallory", house.default_pool_id)
    return Visitor.holding(house, token).client.get_cookie(COOKIE).value


def of_an_admin(house):
    """The cookie of another admin's browser."""
    return Visitor(house).client.get_cookie(COOKIE).value


@pytest.mark.parametrize("plant", [anonymous, of_an_unknown_token, of_a_holder, lambda house: "unsigned"])
def test_a_planted_cookie_does_not_become_the_session_of_who_signs_in(house, plant):
    cookie = plant(house)
    before = {row["digest"] for row in rows_of(house, "sessions")}
    victim, thief = planted(house, cookie), planted(house, cookie)
    planted_token = token_of(victim)
    assert victim.post("/login", password=PASSWORD).status_code == 303
    assert victim.get("/keys").status_code == 200
    assert thief.get("/keys").status_code == 302
    assert token_of(victim) not in (None, planted_token)
    digest = house.keypool.vault.digest(token_of(victim))
    assert digest not in before
    assert digest in {row["digest"] for row in rows_of(house, "sessions")}


def test_who_signs_in_where_a_holders_cookie_lay_ends_that_session(house):
    cookie = of_a_holder(house)
    assert planted(house, cookie).get("/own").status_code == 200
    assert planted(house, cookie).post("/login", password=PASSWORD).status_code == 303
    assert planted(house, cookie).get("/own").status_code == 302


def test_who_signs_in_with_a_client_key_gives_up_an_admins_session(house):
    """And is not left with what the admin could do."""
    _, token = house.keypool.inventory.create_client("ana", house.default_pool_id)
    visitor = planted(house, of_an_admin(house))
    visitor.post("/logout")
    assert visitor.post("/login", password=token).location == "/own"
    assert visitor.get("/keys").status_code == 302


def test_a_token_from_a_form_or_an_address_is_none(house):
    token = Visitor(house).token
    stranger = Visitor(house, signed_in=False)
    for path in (
        f"/keys?_user_id={token}",
        f"/keys?session={token}",
        f"/keys;keypool={token}",
        f"/admin/keys?key={token}",
    ):
        assert stranger.get(path).status_code in (302, 401, 404), path
    assert stranger.post("/login", _user_id=token, session=token).status_code == 422


def test_another_password_is_another_token_also_for_who_changed_it(house):
    visitor = Visitor(house)
    stolen = visitor.client.get_cookie(COOKIE).value
    before = token_of(visitor)
    changed = visitor.press(
        visitor.see("/account"), "Change the password", current=PASSWORD, new="another horse", again="another horse"
    )
    assert "The password is changed." in Page(changed.text).text
    assert visitor.get("/keys").status_code == 200
    assert token_of(visitor) != before
    assert planted(house, stolen).get("/keys").status_code == 302
    assert house.app.test_client().get("/admin/keys", headers={"X-Admin-Key": before}).status_code == 401
