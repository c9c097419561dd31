"""The imports there were: what they brought, and taking them back."""

from tests.house import GEMINI_KEYS
from tests.web.visitor import Page, Visitor, rows_of

HOSTILE = "<u>\u202e'\"🦊.csv"


def test_before_the_first_import_the_page_leads_to_one(house):
    page = Visitor(house).see("/imports")
    assert "Nothing was imported yet." in page.text
    assert page.link("Import keys") == "/keys/import"
    assert Visitor(house).get("/imports/9").status_code == 404


def test_an_import_is_listed_with_what_came_in_and_leads_to_its_keys(house):
    house.add_keys(GEMINI_KEYS[8])
    ids = house.add_keys(*GEMINI_KEYS[:3])
    visitor = Visitor(house)
    page = visitor.see("/imports")
    assert "pasted 3 new default done" in page.text
    one = visitor.see(page.link("Import 2") if "Import 2" in page.text else page.link("test"))
    assert "3 keys, 3 places in pools" in one.text
    keys = visitor.see(one.link("See the keys"))
    assert [node.get("id") for node in keys.all("tr") if node.get("id")] == [f"key-{key_id}" for key_id in ids]


def test_undo_takes_back_what_was_not_changed_since_and_the_rest_when_asked_to(house):
    ids = house.add_keys(*GEMINI_KEYS[:3])
    import_id = rows_of(house, "imports")[-1]["id"]
    house.keypool.inventory.edit_keys(ids[:1], note="ours")
    visitor = Visitor(house)
    page = visitor.see(f"/imports/{import_id}")
    assert "1 key was changed since, and is kept:" in page.text
    answer = visitor.press(page, "Undo this import")
    assert "Undone. 2 keys are in the bin, 0 left the pool, 1 are kept." in Page(answer.text).text
    assert set(house.keypool.catalogue.keys) & set(ids) == {ids[0]}
    assert answer.request.path == f"/imports/{import_id}"
    answer = visitor.press(Page(answer.text), "Undo this import", force="yes")
    assert "Undone. 1 keys are in the bin" in Page(answer.text).text
    assert not set(house.keypool.catalogue.keys) & set(ids)
    visitor.post(f"/imports/{import_id}/undo")
    assert "Nothing was taken back" in visitor.see("/imports").text


def test_a_hostile_name_shows_as_text(house):
    house.add_keys(GEMINI_KEYS[0])
    house.keypool.database.write(_rename)
    html = Visitor(house).get("/imports").text + Visitor(house).get("/imports/1").text
    assert "<u>" not in html
    assert "&lt;u&gt;" in html


def _rename(session):
    from sqlalchemy import text

    session.execute(text("UPDATE imports SET name = :name"), {"name": HOSTILE})
