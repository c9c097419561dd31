"""The bin: what was deleted, brought back or forgotten for good."""

import pytest
from sqlalchemy import text

from pool.core.keys import BINNED_S
from tests.house import GEMINI_KEYS
from tests.web.visitor import Page, Visitor, rows_of

HOSTILE = "<i>\u202e'\"🦊"


@pytest.fixture
def binned(house):
    ids = house.add_keys(*GEMINI_KEYS[:4], name=HOSTILE)
    house.keypool.inventory.bin_keys(ids[:3])
    return ids[:3]


def secrets_of(house):
    return {row["id"]: row["secret"] for row in rows_of(house, "keys")}


def test_an_empty_bin_says_so(house):
    assert "The bin is empty." in Visitor(house).see("/bin").text


def test_a_key_comes_back_into_its_pools(house, binned):
    visitor = Visitor(house)
    answer = visitor.get("/bin")
    assert HOSTILE not in answer.text
    assert Page(answer.text).text.count("AIzaSyGe") == 6  # each with the name of its button
    visitor.post("/bin/restore", keys=binned[0], back="/bin?q=AIza")
    assert "1 key is back." in visitor.see("/bin").text
    assert binned[0] in house.keypool.catalogue.keys
    assert visitor.audit() == [("key.restore", f"key {binned[0]}")]


def test_all_that_a_search_finds_come_back_at_once(house, binned):
    visitor = Visitor(house)
    visitor.post("/bin/restore", all="yes", q="nobody")
    assert "Tick some keys first." in visitor.see("/bin").text
    visitor.post("/bin/restore", all="yes", q="AIza")
    assert "3 keys are back." in visitor.see("/bin").text


def test_purging_asks_first_and_nothing_brings_a_purged_key_back(house, binned):
    visitor = Visitor(house)
    answer = visitor.post("/bin/purge", key=binned[:2], back="/bin")
    assert "Delete 2 keys for good?" in Page(answer.text).text
    assert all(secrets_of(house).values())
    answer = visitor.press(Page(answer.text), "Delete for good")
    assert "2 keys are deleted for good." in answer.text
    assert [key_id for key_id, secret in secrets_of(house).items() if secret is None] == binned[:2]
    assert visitor.audit() == [("key.purge", "2 keys")]
    house.keypool.inventory.restore_keys(binned)
    assert [key_id in house.keypool.catalogue.keys for key_id in binned] == [False, False, True]
    house.keypool.inventory.bin_keys(binned[2:])
    assert Page(visitor.get("/bin").text).text.count("Restore AIzaSyGe") == 1


def test_a_purged_key_that_is_imported_again_is_used_again(house, binned):
    house.keypool.inventory.purge_keys(binned)
    assert house.add_keys(GEMINI_KEYS[0]) == [binned[0]]
    assert house.keypool.inventory.secrets(binned[:1]) == {binned[0]: GEMINI_KEYS[0]}


def test_a_key_in_use_is_never_purged(house):
    ids = house.add_keys(*GEMINI_KEYS[:2])
    visitor = Visitor(house)
    visitor.post("/bin/purge", keys=ids[0], sure="yes")
    assert house.keypool.inventory.purge_keys(ids) == 0
    assert all(secrets_of(house).values())


def test_after_seven_days_the_bin_forgets(house, binned):
    def age(session):
        session.execute(text("UPDATE keys SET deleted_at = deleted_at - :s WHERE id = :id"),
                        {"s": BINNED_S + 60, "id": binned[0]})  # fmt: skip

    house.keypool.database.write(age)
    house.keypool.inventory.empty_bin()
    assert [key_id for key_id, secret in secrets_of(house).items() if secret is None] == binned[:1]


def test_the_bin_is_paged_newest_first(house):
    ids = house.add_keys(*(f"AIzaSyMany{n:04d}" + "m" * 25 for n in range(60)))
    house.keypool.inventory.bin_keys(ids)
    visitor = Visitor(house)
    page = visitor.see("/bin")
    shown = [node.get("id") for node in page.all("tr") if node.get("id")]
    older = visitor.see(page.link("Next page"))
    shown += [node.get("id") for node in older.all("tr") if node.get("id")]
    assert sorted(shown) == sorted(f"key-{key_id}" for key_id in ids)
    assert len(set(shown)) == 60
    assert visitor.get("/bin?after=nonsense").status_code == 200
