"""The badges of statistics, and the turn of the quota day they are of."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pool.core.keys import FOREVER
from pool.core.quota import next_reset
from pool.core.state import Word
from pool.web.stats import HUES, hue
from tests.house import GEMINI_KEYS
from tests.upstream import gemini_error
from tests.web.visitor import Page, Visitor

PRO, FLASH = "gemini-2.5-pro", "gemini-2.5-flash"
STYLE = (Path(__file__).parents[2] / "static" / "style.css").read_text()


def badges(visitor, key_id, query=""):
    """The badges of a key: their colour ("" where it has none) and their text."""
    page = visitor.see(f"/stat{query}")
    row = page.by_id[f"stat-{key_id}"]
    return [(node.get("data-hue"), node.text) for node in row.walk() if "badge" in node.get("class").split()]


def test_a_model_has_the_same_colour_whatever_else_is_served(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    house.chat(PRO)
    house.records()
    (alone,) = badges(visitor, key_id)
    for model in ("gemini-1", "gemini-0", "gemini-9", "a-model"):
        house.chat(model)
    house.records()
    among = {text.split()[0]: colour for colour, text in badges(visitor, key_id)}
    assert among[PRO] == alone[0] == str(hue(PRO)) == str(hue("models/" + PRO))
    assert len(among) == 5


def test_the_models_asked_most_are_told_apart():
    asked = ("gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro", "gemini-embedding-001", "gemini-2.0-flash")
    assert len({hue(model) for model in (*asked, "gpt-4o", "gpt-4o-mini", "gpt-5-mini")}) == HUES


def test_models_are_spread_over_all_colours():
    found = [hue(f"gemini-{major}.{minor}-{kind}") for major in range(4) for minor in range(6)
             for kind in ("pro", "flash", "flash-lite")]  # fmt: skip
    assert set(found) == set(range(HUES))
    assert max(found.count(each) for each in range(HUES)) < 2.5 * len(found) / HUES


def colour_of(name, theme):
    """A custom property's value in a theme."""
    light, dark = re.search(rf"{name}: light-dark\((#\w+), (#\w+)\)", STYLE).groups()
    return dark if theme == "dark" else light


def luminance(colour):
    """WCAG 2's relative luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("number", range(HUES))
def test_every_colour_of_a_model_is_seen_on_its_badge(theme, number):
    """3:1 is what WCAG 2 asks of marks."""
    rule = re.search(rf'\.badge\[data-hue="{number}"\] {{(.*?)}}', STYLE)[1]
    light, dark = re.search(r"light-dark\((#\w+), (#\w+)\)", rule).groups()
    mark, ground = luminance(dark if theme == "dark" else light), luminance(colour_of("--surface", theme))
    lighter, darker = max(mark, ground), min(mark, ground)
    assert (lighter + 0.05) / (darker + 0.05) >= 3


def test_a_misspelled_model_is_no_badge_on_every_key_it_was_tried_with(house):
    keys = house.add_keys(*GEMINI_KEYS[:3])
    missing = gemini_error(404, message="models/gemini-1.5-flsh is not found for API version v1beta")
    house.upstream.script(lambda request: missing if "flsh" in request.path else None)
    for _ in range(6):
        house.chat("gemini-1.5-flsh")
        house.chat(FLASH)
    house.records()
    visitor = Visitor(house)
    assert all("flsh" not in text for key_id in keys for _, text in badges(visitor, key_id))
    assert any(FLASH in text for key_id in keys for _, text in badges(visitor, key_id))
    # The table of models says how often it was asked for, and the file leaves nothing out.
    assert "gemini-1.5-flsh 6" in visitor.see("/stat").text
    assert "flsh" in visitor.get("/stat/keys.csv").text


def test_nor_on_a_key_that_serves_nothing_at_all(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    missing = gemini_error(404, message="models/typo is not found for API version v1beta")
    house.upstream.script(lambda request: missing if "typo" in request.path else None)
    for model in ("typo", FLASH):
        house.chat(model)
    house.records()
    house.keypool.inventory.set_disabled([key_id], FOREVER)
    assert [text.split()[0] for _, text in badges(Visitor(house), key_id)] == ["every", FLASH]


def test_a_model_that_rests_keeps_its_badge_without_any_answer(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    house.keypool.state.announce(Word(key_id, "limited", time.time() + 600, PRO))
    ((_, text),) = badges(Visitor(house), key_id)
    assert text.startswith(f"{PRO} 0 for ")
    assert "At its own limit" in text
    assert "The upstream gave no reason" not in text


def test_the_figures_are_the_new_days_from_its_first_second_on(house, monkeypatch):
    """What the page asks for as its countdown ends: the figures, and the way to the next reset."""
    house.add_keys(GEMINI_KEYS[0])
    house.chat(FLASH)
    house.records()
    visitor, reset = Visitor(house), next_reset(time.time())
    address = Page(visitor.get("/stat?show=used").text).by_id["figures"].get("hx-get")
    assert address == "/stat?show=used"
    for at, shown, until in ((reset - 1, True, reset), (reset, False, next_reset(reset + 1))):
        monkeypatch.setattr("pool.web.stats.now", lambda at=at: at)
        page = Page(visitor.get(address, headers={"HX-Request": "true"}).text)
        assert (FLASH in page.by_id["stat-keys"].text) == shown
        told = page.by_id["reset"]
        assert told.get("hx-swap-oob") == "true"
        (moment,) = (node for node in told.walk() if "data-countdown" in node.attrs)
        assert moment.get("datetime") == datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
    assert page.by_id["figures"].get("hx-trigger") == "newday from:body"


def test_a_whole_page_is_no_fragment_of_another(house):
    page = Page(Visitor(house).get("/stat").text)
    assert "hx-swap-oob" not in page.by_id["reset"].attrs
