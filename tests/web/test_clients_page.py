"""User keys: shown once, listed by their hint, revoked for good."""

from tests.house import GEMINI_KEYS
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


def test_a_user_key_is_renamed_moved_and_given_another_end(house):
    client_id, _ = house.keypool.inventory.create_client("bot", 1)
    pool_id, _ = house.keypool.inventory.create_pool("research")
    house.keypool.inventory.create_client("other", 1)
    visitor = Visitor(house)
    page = visitor.see(f"/clients/{client_id}/edit")
    taken = visitor.press(page, "Save", name="other")
    assert taken.status_code == 422
    assert "There is a user key of this name." in taken.text
    answer = visitor.press(page, "Save", name="<b>bot</b>", pool=str(pool_id), life="day", raw="yes")
    assert "<b>bot" not in answer.text
    row = next(row for row in rows_of(house, "client_keys") if row["id"] == client_id)
    assert (row["name"], row["pool_id"], "raw" in row["permissions"]) == ("<b>bot</b>", pool_id, True)
    assert row["expires_at"] > 0
    again = visitor.press(visitor.see(f"/clients/{client_id}/edit"), "Save")
    assert again.status_code == 200
    assert [action for action, _ in visitor.audit()] == ["client.update"]


def test_a_user_key_is_rotated_once_and_the_old_one_goes_on_for_a_while(house):
    client_id, old = house.keypool.inventory.create_client("bot", 1)
    visitor = Visitor(house)
    page = visitor.see(visitor.see("/clients").link("Change"))
    answer = visitor.press(page, "Rotate", overlap="hour")
    twice = visitor.press(page, "Rotate", overlap="hour")
    token = next(word for word in Page(answer.text).text.split() if word.startswith("sk-") and "..." not in word)
    assert token in twice.text
    assert token != old
    for each in (token, old):
        assert house.client.get("/v1/models", headers={"Authorization": f"Bearer {each}"}).status_code != 401
    assert "the one before it works, too:" in visitor.get("/clients").text
    visitor.press(visitor.see(f"/clients/{client_id}/edit"), "Rotate", overlap="")
    assert house.client.get("/v1/models", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert [action for action, _ in visitor.audit()] == ["client.rotate"] * 2
    assert token not in str(rows_of(house, "audit"))


def test_user_keys_come_in_pages_and_are_found_by_their_names(house):
    for n in range(53):
        house.keypool.inventory.create_client(f"bot {n:02d}", 1)
    visitor = Visitor(house)
    page = visitor.get("/clients")
    assert page.text.count('<tr id="client-') == 50
    assert len(page.data) < 200_000
    assert visitor.get(Page(page.text).link("Next page")).text.count('<tr id="client-') == 3
    found = visitor.press(visitor.see("/clients"), "Search", q="bot 52")
    assert found.text.count('<tr id="client-') == 1
    assert "No user key matches." in visitor.press(visitor.see("/clients"), "Search", q="%").text


def test_revoking_asks_first_and_ends_the_key_at_once(house):
    client_id, token = house.keypool.inventory.create_client("old bot", 1)
    visitor = Visitor(house)
    ask = visitor.see(visitor.see("/clients").link("Revoke"))
    gone = visitor.press(ask, "Revoke")
    assert "Revoked" in gone.text
    answer = house.client.get("/v1/models", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert visitor.audit() == [("client.revoke", f"client {client_id}")]


def test_a_row_says_how_much_of_its_budget_is_spent(house):
    house.add_keys(GEMINI_KEYS[0])
    _, token = house.keypool.inventory.create_client("Ann", house.default_pool_id, budget_usd_day=2.5)
    house.keypool.inventory.create_client("Ben", house.default_pool_id)
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hi"}]}
    house.post("/v1/chat/completions", body, headers={"Authorization": f"Bearer {token}"})
    (row,) = house.records()
    html = Visitor(house).get("/clients").text
    shown = {name: html.partition(name)[2].partition("</tr>")[0] for name in ("Ann", "Ben")}
    assert "of $2.50" in shown["Ann"]
    assert f'max="2.5" value="{row["cost_nano"] / 1e9}"' in shown["Ann"]
    assert "progress" not in shown["Ben"]
