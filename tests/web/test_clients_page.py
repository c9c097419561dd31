"""User keys: shown once, listed by their hint, revoked for good."""

from tests.web.visitor import Page, Visitor, rows_of


def test_a_user_key_is_shown_once_and_works(house):
    visitor = Visitor(house)
    answer = visitor.press(visitor.see("/clients"), "Create user key", name="Ann's laptop", life="day")
    token = next(word for word in Page(answer.text).text.split() if word.startswith("sk-") and "..." not in word)
    assert len(token) == 51
    assert house.keypool.vault.digest(token) in house.keypool.catalogue.credentials
    again = visitor.get("/clients").text
    assert token not in again
    assert f"{token[:8]}...{token[-4:]}" in again
    assert token not in str(rows_of(house, "audit"))
    assert [action for action, _ in visitor.audit()] == ["client.create"]


def test_a_name_is_needed_and_taken_once(house):
    visitor = Visitor(house)
    page = visitor.see("/clients")
    assert visitor.press(page, "Create user key", name="").status_code == 422
    assert visitor.press(page, "Create user key", name="one").status_code == 200
    twice = visitor.press(visitor.see("/clients"), "Create user key", name="one")
    assert twice.status_code == 422
    assert "There is a user key of this name." in twice.text


def test_revoking_asks_first_and_ends_the_key_at_once(house):
    client_id, token = house.keypool.inventory.create_client("old bot", 1)
    visitor = Visitor(house)
    ask = visitor.see(visitor.see("/clients").link("Revoke"))
    gone = visitor.press(ask, "Revoke")
    assert "Revoked" in gone.text
    answer = house.client.get("/v1/models", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert visitor.audit() == [("client.revoke", f"client {client_id}")]
