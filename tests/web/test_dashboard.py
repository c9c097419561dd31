"""The dashboard: what to do first, and figures that are true."""

from tests.house import GEMINI_KEYS
from tests.web.visitor import Page, Visitor

HOSTILE = "gemini-<script>alert(1)</script>"


def test_without_keys_it_says_what_to_do_first(house):
    page = Visitor(house).see("/dashboard")
    assert "No keys yet" in page.text
    assert page.link("Import keys") == "/keys/import"


def test_it_counts_requests_and_keys(house):
    house.add_keys(*GEMINI_KEYS[:3])
    house.keypool.inventory.set_disabled([1], float("inf"))
    for _ in range(2):
        house.chat()
    house.records()
    said = Visitor(house).see("/dashboard").text
    assert "Requests today 2" in said
    assert "Healthy 2 Cooling 0 Disabled 1 Dead 0" in said
    assert "gemini-2.5-flash" in said


def test_recent_requests_page_back_without_script(house):
    house.add_keys(GEMINI_KEYS[0])
    for _ in range(25):
        house.chat()
    house.records()
    visitor = Visitor(house)
    first = visitor.see("/dashboard")
    older = visitor.see(first.link("Older"))
    assert first.tags.count("tr") == 21
    assert older.tags.count("tr") == 6
    assert older.link("Newest") == "/dashboard"


def test_a_model_with_a_hostile_name_is_a_name(house):
    house.add_keys(GEMINI_KEYS[0])
    house.chat(model=HOSTILE)
    house.records()
    visitor = Visitor(house)
    assert "<script>alert" not in visitor.get("/dashboard").text
    assert HOSTILE in Page(visitor.get("/dashboard").text).text
