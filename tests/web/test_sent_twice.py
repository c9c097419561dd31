"""Forms that are sent twice, by a double click or by F5: one deed, and the same answer each time."""

import time

import gevent
import pytest
from sqlalchemy import text

from pool.adapters import queries
from tests.house import GEMINI_KEYS
from tests.web.visitor import Page, Visitor, rows_of


def token_on(answer):
    """A user key that is shown in full."""
    return next((word for word in Page(answer.text).text.split() if word.startswith("sk-") and "..." not in word), None)


def age(house, by_s):
    """Let what is kept for a while have been kept so much longer."""
    statement = text("UPDATE meta SET number = number - :by WHERE name LIKE '%:%'")
    house.keypool.database.write(lambda session: session.execute(statement, {"by": by_s}) and None)


def kept(house):
    return [row["name"].split(":")[0] for row in rows_of(house, "meta") if ":" in row["name"]]


def deeds(visitor):
    return [action for action, _ in visitor.audit()]


def test_a_user_key_is_made_once_and_shown_both_times(house):
    visitor = Visitor(house)
    form, button = visitor.see("/clients").form_of("Create user key")
    first, second = (visitor.submit(form, button, {"name": "Ann's laptop"}) for _ in range(2))
    assert token_on(first) == token_on(second) is not None
    assert first.request.path == second.request.path != "/clients"
    assert len(rows_of(house, "client_keys")) == 1
    assert deeds(visitor) == ["client.create"]


def test_a_form_filled_in_anew_asks_for_something_else(house):
    """The browser's way back may bring the same form again."""
    visitor = Visitor(house)
    form, button = visitor.see("/clients").form_of("Create user key")
    tokens = {token_on(visitor.submit(form, button, {"name": name})) for name in ("one", "two")}
    assert len(tokens) == 2
    assert [row["name"] for row in rows_of(house, "client_keys")] == ["one", "two"]


def test_the_page_of_a_new_user_key_can_be_loaded_again_for_ten_minutes(house):
    visitor = Visitor(house)
    answer = visitor.press(visitor.see("/clients"), "Create user key", name="one")
    token = token_on(answer)
    assert token not in str(rows_of(house, "meta")) + answer.request.path
    assert token_on(visitor.get(answer.request.path)) == token
    age(house, by_s=601)
    late = visitor.get(answer.request.path, follow_redirects=True)
    assert late.request.path == "/clients"
    assert token_on(late) is None
    assert "is not shown any more" in late.text


def test_no_other_session_sees_a_new_key(house):
    visitor, other = Visitor(house), Visitor(house)
    answer = visitor.press(visitor.see("/clients"), "Create user key", name="one")
    assert token_on(other.get(answer.request.path, follow_redirects=True)) is None
    assert token_on(visitor.get("/clients/made/" + "x" * 100, follow_redirects=True)) is None


def test_what_is_shown_no_more_is_not_kept_either(house):
    visitor = Visitor(house)
    visitor.press(visitor.see("/clients"), "Create user key", name="one")
    visitor.press(visitor.see("/keys/import"), "Preview", text="AIza" + "x" * 35)
    tidy = next(chore for chore in house.keypool.chores._chores if chore.name == "forget answers and drafts")
    for aged_s, left in ((0, ["answer", "draft"]), (601, ["draft"]), (3_000, [])):
        age(house, aged_s)
        tidy.do()
        assert sorted(kept(house)) == left


def test_of_many_who_ask_for_one_name_at_once_one_gets_it(house):
    visitors = [Visitor(house) for _ in range(4)]
    for path, table in (("/clients", "client_keys"), ("/pools/new", "pools")):
        before = len(rows_of(house, table))
        asking = [gevent.spawn(visitor.post, path, name="one", pool="1") for visitor in visitors]
        assert sorted(each.get().status_code for each in asking) == [303, 422, 422, 422]
        assert len(rows_of(house, table)) == before + 1


def test_a_revoked_user_keys_name_is_free_again(house):
    client_id, _ = house.keypool.inventory.create_client("one", 1)
    house.keypool.inventory.revoke_client(client_id)
    assert Visitor(house).post("/clients", name="one", pool="1").status_code == 303


def test_an_auth_key_is_regenerated_once_and_shown_each_time(house):
    visitor, old = Visitor(house), house.keypool.inventory.auth_key(1)
    form, button = visitor.see("/pools/1/regenerate").form_of("Regenerate")
    answers = [visitor.submit(form, button, {"grace": "day"}) for _ in range(3)]
    new = house.keypool.inventory.auth_key(1)
    assert all(new in answer.text and answer.request.method == "GET" for answer in answers)
    assert works(house, old)
    assert works(house, new)
    assert deeds(visitor) == ["pool.regenerate"]


def test_every_auth_key_works_as_long_as_it_was_promised(house, later):
    visitor, keys = Visitor(house), [house.keypool.inventory.auth_key(1)]
    for grace in ("week", "hour", "day"):
        regenerate(visitor, grace)
        keys.append(house.keypool.inventory.auth_key(1))
    assert [works(house, key) for key in keys] == [True, True, True, True]
    assert visitor.see("/pools/1").text.count("An older one works until") == 3
    later(2 * 3_600)
    assert [works(house, key) for key in keys] == [True, False, True, True]
    later(2 * 86_400)
    assert [works(house, key) for key in keys] == [True, False, False, True]
    regenerate(visitor, "0")
    assert [works(house, key) for key in keys] == [False, False, False, False]


def test_the_page_of_a_new_auth_key_says_what_became_of_the_old_one(house):
    visitor = Visitor(house)
    assert "The old one is refused from now on." in Page(regenerate(visitor, "0").text).text
    answer = regenerate(visitor, "day")
    assert "The old one works until 20" in Page(answer.text).text
    assert "is refused" not in Page(answer.text).text
    age(house, by_s=601)
    late = visitor.get(answer.request.path, follow_redirects=True)
    assert house.keypool.inventory.auth_key(1) not in late.text


def regenerate(visitor, grace):
    return visitor.press(visitor.see("/pools/1/regenerate"), "Regenerate", grace=grace)


@pytest.fixture
def later(house, monkeypatch):
    """Let time pass for who is asked for a credential."""
    began, access = time.time(), house.keypool.proxy._access
    return lambda by_s: monkeypatch.setattr(access, "_clock", lambda: began + by_s)


def works(house, key):
    return house.client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code != 401


def test_a_pool_is_made_once(house):
    visitor = Visitor(house)
    form, button = visitor.see("/pools/new").form_of("Create pool")
    first, second = (visitor.submit(form, button, {"name": "research"}) for _ in range(2))
    assert first.request.path == second.request.path == "/pools/2"
    assert deeds(visitor) == ["pool.create"]


def test_a_pool_takes_no_other_pools_name(house):
    visitor = Visitor(house)
    for name in ("research", "other"):
        house.keypool.inventory.create_pool(name)
    wrong = visitor.press(visitor.see("/pools/2"), "Save", name="other")
    assert wrong.status_code == 422
    assert "There is a pool of this name." in wrong.text
    assert house.keypool.catalogue.pools[2].name == "research"


def preview(visitor, pasted, **fields):
    return visitor.press(visitor.see("/keys/import"), "Preview", text=pasted, **fields)


def test_the_result_of_an_import_can_be_loaded_again_and_the_way_back_leads_there(house):
    visitor = Visitor(house)
    asked = preview(visitor, f"{GEMINI_KEYS[0]}\nya29.{'a' * 40}")
    form, button = Page(asked.text).form_of("Import 1 key")
    answers = [visitor.submit(form, button, {}) for _ in range(2)]
    answers += [visitor.get(path, follow_redirects=True) for path in (answers[0].request.path, asked.request.path)]
    for answer in answers:
        assert answer.request.method == "GET"
        assert answer.request.path == asked.request.path + "/result"
        assert "1 key imported" in Page(answer.text).text
        assert "Line 2: an access token of Google" in Page(answer.text).text
    assert deeds(visitor) == ["key.import"]
    assert "draft" not in kept(house)


def test_who_confirms_while_keys_are_being_taken_in_waits_for_the_result(house):
    visitor = Visitor(house)
    asked = preview(visitor, "\n".join(f"AIzaSy{n:08d}" + "k" * 25 for n in range(300)))
    form, button = Page(asked.text).form_of("Import 300 keys")
    house.keypool.database.write(queries.begin_import, asked.request.path.rsplit("/", 1)[1], time.time())
    waiting = visitor.submit(form, button, {})
    assert waiting.headers["Refresh"] == "2"
    assert "Taking the keys in" in waiting.text
    assert deeds(visitor) == []
    # Whoever was taking them in is gone since long.
    age(house, by_s=301)
    assert "300 keys imported" in visitor.submit(form, button, {}).text


def test_two_who_confirm_at_once_import_once(house):
    visitor = Visitor(house)
    asked = preview(visitor, "\n".join(GEMINI_KEYS))
    ticks = [str(n) for n in range(len(GEMINI_KEYS))]
    confirming = [gevent.spawn(visitor.twin().post, asked.request.path, take=ticks) for _ in range(2)]
    assert {each.get().location for each in confirming} == {asked.request.path + "/result"}
    assert deeds(visitor) == ["key.import"]
    assert "9 keys imported" in visitor.see(asked.request.path + "/result").text


def test_a_paste_outlives_its_pool(house):
    pool_id, _ = house.keypool.inventory.create_pool("doomed")
    visitor = Visitor(house)
    asked = preview(visitor, GEMINI_KEYS[0], pool=str(pool_id))
    house.keypool.inventory.delete_pool(pool_id)
    again = visitor.press(Page(asked.text), "Import 1 key")
    assert again.status_code == 200
    assert again.request.path == asked.request.path
    assert "The pool these keys were for was deleted meanwhile. They would go into default." in Page(again.text).text
    assert house.keypool.catalogue.keys == {}
    assert "1 key imported" in visitor.press(Page(again.text), "Import 1 key into default").text
    assert len(house.keypool.catalogue.keys) == 1


def test_an_import_that_breaks_can_be_confirmed_again(house, monkeypatch):
    visitor = Visitor(house)
    asked = preview(visitor, GEMINI_KEYS[0])
    with monkeypatch.context() as broken:
        broken.setattr(house.keypool.importer, "take_in", lambda *_: 1 / 0)
        assert visitor.press(Page(asked.text), "Import 1 key").status_code == 500
    assert "1 key imported" in visitor.press(Page(asked.text), "Import 1 key").text
