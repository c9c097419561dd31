"""What is said of a key, changed in its row or on its own page."""

import pytest

from tests.house import GEMINI_KEYS
from tests.web.test_keys_page import HTMX
from tests.web.visitor import Page, Visitor, rows_of


@pytest.fixture
def key_id(house):
    return house.add_keys(GEMINI_KEYS[0], name="one", tags=("free",))[0]


def test_a_key_is_changed_on_its_page_and_the_trail_says_how(house, key_id):
    visitor = Visitor(house)
    page = Page(visitor.press(visitor.see("/keys?size=25"), "Change AIza").text)
    said = {"name": "<b>two\u202e", "tags": "a, b", "note": "it's \"ours\" 🦊", "project": "p", "weight-1": "9"}
    answer = visitor.press(page, "Save", **said)
    assert answer.request.full_path == "/keys?size=25"
    assert "is changed." in answer.text
    assert "<b>two" not in answer.text
    row = rows_of(house, "keys")[0]
    assert (row["name"], row["note"], row["project"]) == ("<b>two\u202e", 'it\'s "ours" 🦊', "p")
    assert house.keypool.catalogue.keys[key_id].project == "p"
    assert rows_of(house, "memberships")[0]["weight"] == 9
    assert visitor.audit() == [("key.edit", f"key {key_id}")]


def test_in_the_row_htmx_gets_the_form_and_then_the_row(house, key_id):
    visitor = Visitor(house)
    html = visitor.get(f"/keys/{key_id}/edit?back=/keys", headers=HTMX).text
    assert html.startswith(f'<tr id="key-{key_id}"><td colspan="8">')
    html = visitor.post(f"/keys/{key_id}/edit", HTMX, name="two", tags="free", back="/keys").text
    assert html.strip().startswith(f'<tr id="key-{key_id}">')
    assert "two" in html


def test_what_does_not_fit_comes_back_beside_its_field_and_changes_nothing(house, key_id):
    visitor = Visitor(house)
    weights = ({"weight-1": text} for text in ("101", "-1", "much", "0" * 5_000))
    for wrong in (*weights, {"tier-1": "101"}, {"name": "n" * 5_000}):
        answer = visitor.post(f"/keys/{key_id}/edit", **{"name": "kept <i>", "tags": "free", **wrong})
        assert answer.status_code == 422
        assert "data-wrong" in answer.text
        assert "kept &lt;i&gt;" in answer.text or "name" in wrong
    assert visitor.audit() == []


def test_the_tier_of_a_place_and_whether_the_key_is_used_there_are_changed(house, key_id):
    visitor = Visitor(house)
    page = Page(visitor.get(f"/keys/{key_id}/edit").text)
    answer = visitor.press(page, "Save", **{"tier-1": "2", "on-1": []})
    (row,) = rows_of(house, "memberships")
    assert (row["tier"], bool(row["enabled"]), row["weight"]) == (2, False, 1)
    said = Page(answer.text).text
    assert "tier 2" in said
    assert "off here" in said
    # What sends no such field changes nothing of it.
    visitor.post(f"/keys/{key_id}/edit", name="two", tags="free")
    (row,) = rows_of(house, "memberships")
    assert (row["tier"], bool(row["enabled"])) == (2, False)


def test_nothing_new_is_no_change(house, key_id):
    visitor = Visitor(house)
    visitor.press(Page(visitor.get(f"/keys/{key_id}/edit").text), "Save")
    assert visitor.audit() == []
    assert visitor.get("/keys/99/edit").status_code == 404
    assert visitor.post("/keys/99/edit").status_code == 404
