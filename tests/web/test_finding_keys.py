"""Finding keys: by what a page shows of them, and chips that say how many keys they lead to."""

import re

import pytest
from sqlalchemy import text

from pool.core.keys import FOREVER
from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.web.test_keys_page import cool_down
from tests.web.visitor import Page, Visitor

KEY = "AIzaSyDe" + "q" * 27 + "9BgL"
ALIKE = "AIzaSyDe" + "q" * 27 + "7Cfm"


def found(visitor, **query):
    answer = visitor.get("/keys", query_string=query)
    return [int(number) for number in re.findall(r'<tr id="key-(\d+)">', answer.text)]


AS_SHOWN = ["AIzaSyDe...9BgL", "AIzaSyDe…9BgL", " AIzaSyDe...9BgL ", "...9BgL", "…9bgl", "SyDe...9B", "aizasyde … 9BGL"]


@pytest.mark.parametrize("asked", AS_SHOWN)
def test_a_key_is_found_by_its_mask_as_it_is_copied_from_a_page(house, asked):
    wanted, _alike, _other = house.add_keys(KEY, ALIKE, GEMINI_KEYS[0])
    assert found(Visitor(house), q=asked) == [wanted]


def test_a_mask_of_no_key_finds_none(house):
    house.add_keys(KEY, ALIKE, GEMINI_KEYS[0])
    visitor = Visitor(house)
    for asked in ("AIzaSyDe...xxxx", "zaSyDe9...9BgL", "AIzaSyDe....9BgL", "%...%"):
        assert found(visitor, q=asked) == [], asked
    assert found(visitor, q="AIzaSyDe...") == [1, 2]


def test_dots_in_a_note_are_found_as_they_are(house):
    (key_id,) = house.add_keys(KEY, note="Ann... or was it Ben?")
    house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    assert found(visitor, q="Ann... or") == [key_id]
    assert found(visitor, q="...") == [key_id]


def furnish(house):
    """Two pools: one key in both, one of each standing in the second."""
    other, _ = house.keypool.inventory.create_pool("other")
    house.add_keys(*OPENAI_KEYS[:3])
    _healthy, disabled = house.add_keys(*GEMINI_KEYS[:2], pool_id=other, name="Ann's")
    house.add_keys(GEMINI_KEYS[0])
    house.keypool.inventory.set_disabled([disabled], FOREVER)
    return other


def chips(page):
    (nav,) = (node for node in page.all("nav") if node.get("id") == "chips")
    told = ((*node.text.split(), node.get("href")) for node in nav.walk() if node.tag == "a")
    return {word: (int(number), href) for word, number, href in told}


@pytest.mark.parametrize("search", ["", "Ann"])
def test_a_chip_says_how_many_keys_it_leads_to(house, search):
    other = furnish(house)
    visitor = Visitor(house)
    for pool in (None, 1, other):
        address = "/keys?" + "&".join(f"{name}={value}" for name, value in (("pool", pool), ("q", search)) if value)
        for word, (number, href) in chips(visitor.see(address)).items():
            assert visitor.get(href).text.count('<tr id="key-') == number, (address, word)


def test_chips_count_the_pool_that_is_shown_for_htmx_too(house):
    other = furnish(house)
    visitor = Visitor(house)
    numbers = {"All": 2, "Healthy": 1, "Cooling": 0, "Limited": 0, "Disabled": 1, "Dead": 0, "Untested": 2}
    for headers in ({}, {"HX-Request": "true"}):
        page = Page(visitor.get(f"/keys?pool={other}", headers=headers).text)
        assert {word: number for word, (number, _) in chips(page).items()} == numbers


def test_a_filter_without_a_key_is_no_empty_keypool(house):
    empty, _ = house.keypool.inventory.create_pool("empty")
    visitor = Visitor(house)
    assert "No keys yet" in visitor.see("/keys").text
    house.add_keys(KEY)
    said = visitor.see(f"/keys?pool={empty}").text
    assert "No key matches." in said
    assert "No keys yet" not in said


def test_a_chip_finds_the_keys_that_rest_for_a_reason(house):
    resting, _ = house.add_keys(*GEMINI_KEYS[:2])
    visitor = Visitor(house)
    assert not any(said == "Day quota" for said, _ in visitor.see("/keys").links)
    cool_down(house, resting)
    page = visitor.see(visitor.see("/keys?size=25").link("Day quota"))
    assert shown(page) == [resting]
    assert "size=25" in page.link("Day quota")
    assert "code=" not in page.link("Day quota"), "pressed again, it lets go"


def test_keys_that_rest_for_a_model_are_found(house):
    pro, flash, whole, other = house.add_keys(*GEMINI_KEYS[:4])
    cool_down(house, pro, "gemini-2.5-pro")
    cool_down(house, flash, "gemini-2.5-flash")
    cool_down(house, whole, "")
    cool_down(house, other, "gemini-2.5-pro", for_s=-1)
    visitor = Visitor(house)
    found = visitor.press(visitor.see("/keys"), "Search", model="models/gemini-2.5-pro")
    assert shown(Page(found.text)) == [pro, whole]
    assert "rest for models/gemini-2.5-pro" in Page(found.text).text


def test_keys_added_since_a_moment_are_found_and_what_is_no_moment_narrows_nothing_down(house):
    old, new = house.add_keys(*GEMINI_KEYS[:2])
    house.keypool.database.write(
        lambda session: session.execute(text("UPDATE keys SET created_at = 1e9 WHERE id = :id"), {"id": old}) and None
    )
    visitor = Visitor(house)
    page = visitor.see("/keys?since=2020-01-31T18:00")
    assert shown(page) == [new]
    assert "added since 2020-01-31 18:00 UTC" in page.text
    assert shown(visitor.see("/keys?since=yesterday")) == [old, new]
    every = visitor.post("/keys/selected/disable", all="yes", back="/keys?since=2020-01-31T18:00")
    assert every.status_code == 303
    assert [key_id for key_id, key in house.keypool.catalogue.keys.items() if key.disabled_until] == [new]


def shown(page):
    return [int(node.get("id").removeprefix("key-")) for node in page.all("tr") if node.get("id")]
