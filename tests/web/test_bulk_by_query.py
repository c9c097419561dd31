"""The bulk bar on all that match: by the filters of the page, now or as a job."""

import time

import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.web.test_keys_page import HTMX
from tests.web.visitor import Page, Visitor, rows_of

SELECTED = "/keys/selected/"


def usable(house):
    now = time.time()
    return {key.id for key in house.keypool.catalogue.keys.values() if key.available(now)}


@pytest.fixture
def ids(house):
    return house.add_keys(*GEMINI_KEYS[:4], tags=("free",)) + house.add_keys(OPENAI_KEYS[0])


def test_the_bar_offers_all_that_match_and_how_many_those_are(house, ids):
    visitor = Visitor(house)
    assert "all 5 that match" in visitor.see("/keys").text
    assert "all 4 that match" in visitor.see("/keys?tag=free").text
    assert 'data-every="4"' in visitor.get("/keys?tag=free", headers=HTMX).text


def test_all_that_match_are_disabled_and_no_other(house, ids):
    visitor = Visitor(house)
    page = visitor.see("/keys?tag=free&size=25")
    answer = visitor.press(page, "Until I enable them", all="yes")
    assert "4 keys are disabled." in answer.text
    assert answer.request.full_path == "/keys?tag=free&size=25"
    assert usable(house) == {ids[4]}
    visitor.press(Page(answer.text), "Undo")
    assert usable(house) == set(ids)


def test_all_without_a_page_of_keys_is_nobody(house, ids):
    visitor = Visitor(house)
    for back in ("", "/", "/stat?tag=free", "//elsewhere/keys", "/bin"):
        assert visitor.post(SELECTED + "disable", all="yes", back=back).status_code == 400, back
    assert usable(house) == set(ids)


def test_all_that_match_are_asked_about_before_they_are_deleted(house, ids):
    visitor = Visitor(house)
    answer = visitor.press(visitor.see("/keys?provider=gemini"), "Delete", "/selected/", all="yes")
    assert "Delete 4 keys?" in Page(answer.text).text
    answer = visitor.press(Page(answer.text), "Delete 4 keys")
    assert "4 keys are in the bin" in answer.text
    assert set(house.keypool.catalogue.keys) == {ids[4]}


def test_tags_weights_counters_and_cooldowns_of_many(house, ids):
    visitor = Visitor(house)
    ticked = [str(each) for each in ids[:2]]
    answer = visitor.press(visitor.see("/keys"), "Tag", "selected/tag", key=ticked, tags="a, b")
    assert "2 keys are tagged" in answer.text
    tags = {row.id: row.tags for row in house.keypool.database.read(_rows)}
    assert tags[ids[0]] == ("free", "a", "b")
    visitor.post(SELECTED + "untag", all="yes", back="/keys", tags="free,a")
    assert {row.tags for row in house.keypool.database.read(_rows)} == {("b",), ()}
    visitor.post(SELECTED + "weight", key=ids[:1], weight="7")
    assert [row["weight"] for row in rows_of(house, "memberships")] == [7, 1, 1, 1, 1]
    visitor.post(SELECTED + "weight", key=ids[:1], weight="700")
    assert "A weight is a whole number from 0 to 100." in visitor.see("/keys").text
    visitor.post(SELECTED + "tag", key=ids[:1], tags=" , ")
    assert "Type a tag" in visitor.see("/keys").text
    house.keypool.catalogue.bench(ids[0], "quota_day", time.time() + 500, "m")
    visitor.post(SELECTED + "clear", key=ids)
    assert house.keypool.catalogue.benches(ids[0]) == {}
    house.chat()
    house.records()
    visitor.post(SELECTED + "reset-counters", all="yes", back="/keys")
    assert sum(row["requests"] for row in rows_of(house, "keys")) == 0


def test_all_that_match_are_copied_and_downloaded_only_with_the_password(house, ids):
    visitor = Visitor(house)
    form = {"all": "yes", "back": "/keys?tag=free"}
    assert GEMINI_KEYS[0] not in visitor.post(SELECTED + "copy", file="csv", **form).text
    answer = visitor.post(SELECTED + "copy", file="csv", password=PASSWORD, **form)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="keys.csv"'
    assert answer.text.count("AIza") == 4
    assert OPENAI_KEYS[0] not in answer.text
    assert visitor.audit() == [("key.copy", "4 keys")]


def test_too_many_to_be_shown_are_offered_as_a_file(house):
    house.add_keys(*(f"AIzaSyMany{n:04d}" + "m" * 25 for n in range(505)))
    visitor = Visitor(house)
    answer = visitor.post(SELECTED + "copy", all="yes", back="/keys", password=PASSWORD)
    assert "These are too many to be shown" in answer.text
    assert "AIzaSyMany0001mmm" not in answer.text
    assert visitor.post(SELECTED + "copy", all="yes", back="/keys", file="lines").text.count("\n") == 505


def _rows(session):
    from pool.adapters.queries import Wanted, key_page

    return key_page(session, Wanted())
