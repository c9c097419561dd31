"""Many keys at once: ticked, changed by one POST, and brought back by Undo."""

import time

from tests.house import GEMINI_KEYS
from tests.upstream import refuse_key
from tests.web.test_keys_page import HTMX
from tests.web.visitor import Page, Visitor, rows_of

SELECTED = "/keys/selected/"


def usable(house):
    now = time.time()
    return [key.id for key in house.keypool.catalogue.keys.values() if key.available(now)]


def pools_of(house, key_id):
    return sorted(house.keypool.catalogue.pools_of_key[key_id])


def undo(visitor, answer):
    return visitor.press(Page(answer.text), "Undo")


def test_ticked_keys_are_disabled_for_a_while_and_undo_brings_back_what_was(house):
    ids = house.add_keys(*GEMINI_KEYS[:4])
    house.keypool.inventory.set_disabled([ids[0]], float("inf"))
    visitor = Visitor(house)
    answer = visitor.post(SELECTED + "disable", key=ids[:3], back="/keys?state=healthy", **{"for": "week"})
    assert answer.location == "/keys?state=healthy"
    assert usable(house) == ids[3:]
    answer = visitor.get("/keys")
    assert "3 keys are disabled." in answer.text
    answer = undo(visitor, answer)
    assert "Undone." in answer.text
    assert usable(house) == ids[1:]
    assert house.keypool.catalogue.keys[ids[0]].disabled_until == float("inf")
    assert visitor.audit() == [("key.disable", "3 keys"), ("key.undo", "audit 1")]


def test_keys_moved_out_of_several_pools_come_back_to_each(house):
    ids = house.add_keys(*GEMINI_KEYS[:3])
    pool_id, _ = house.keypool.inventory.create_pool("research")
    house.add_keys(*GEMINI_KEYS[:2], pool_id=pool_id)
    visitor = Visitor(house)
    visitor.post(SELECTED + "move", key=ids, pool=pool_id)
    assert [pools_of(house, key_id) for key_id in ids] == [[pool_id]] * 3
    undo(visitor, visitor.get("/keys"))
    assert [pools_of(house, key_id) for key_id in ids] == [[1, pool_id], [1, pool_id], [1]]
    assert len(house.keypool.catalogue.rotations[1]["gemini"]) == 3


def test_keys_are_taken_out_of_one_pool_and_come_back(house):
    ids = house.add_keys(*GEMINI_KEYS[:2])
    pool_id, _ = house.keypool.inventory.create_pool("research")
    house.add_keys(*GEMINI_KEYS[:2], pool_id=pool_id)
    visitor = Visitor(house)
    visitor.post(SELECTED + "unlink", key=ids, pool=1)
    assert [pools_of(house, key_id) for key_id in ids] == [[pool_id]] * 2
    undo(visitor, visitor.get("/keys"))
    assert [pools_of(house, key_id) for key_id in ids] == [[1, pool_id]] * 2


def test_the_project_and_the_tier_of_many_keys_are_set_and_undone(house):
    ids = house.add_keys(*GEMINI_KEYS[:2])
    visitor = Visitor(house)
    visitor.post(SELECTED + "project", key=ids, project="  ours <b>  ")
    page = visitor.get("/keys")
    assert "ours <b>" not in page.text
    assert [row["project"] for row in rows_of(house, "keys")] == ["ours <b>"] * 2
    undo(visitor, page)
    assert [row["project"] for row in rows_of(house, "keys")] == [""] * 2
    visitor.post(SELECTED + "tier", key=ids, tier="101")
    assert "from 0 to 100" in visitor.get("/keys").text
    visitor.post(SELECTED + "tier", key=ids, tier="4")
    assert [row["tier"] for row in rows_of(house, "memberships")] == [4, 4]
    undo(visitor, visitor.get("/keys"))
    assert [row["tier"] for row in rows_of(house, "memberships")] == [0, 0]


def test_a_pool_that_is_gone_takes_no_keys(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    visitor.post(SELECTED + "move", key=key_id, pool=99)
    assert "Choose a pool." in visitor.get("/keys").text
    assert pools_of(house, key_id) == [1]


def test_a_key_moved_away_and_back_keeps_its_weight(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0], weight=7)
    pool_id, _ = house.keypool.inventory.create_pool("research")
    visitor = Visitor(house)
    visitor.post(SELECTED + "move", key=key_id, pool=pool_id)
    undo(visitor, visitor.get("/keys"))
    assert {row["pool_id"]: row["weight"] for row in rows_of(house, "memberships")} == {1: 7, pool_id: 7}


def test_a_selection_is_tested_together_and_more_than_fifty_by_a_job(house):
    ids = house.add_keys(*GEMINI_KEYS[:4])
    house.upstream.for_key(GEMINI_KEYS[2], refuse_key)
    visitor = Visitor(house)
    html = visitor.post(SELECTED + "test", HTMX, key=ids, back="/keys").text
    assert "4 keys tested: 3 alive, 1 refused." in html
    assert html.count('data-check="alive"') == 3
    assert 'data-check="dead">refused: API key not valid.' in html
    assert len(house.upstream.requests) == 4
    more = house.add_keys(*(f"AIzaSyMany{n:04d}" + "m" * 25 for n in range(51)))
    html = visitor.post(SELECTED + "test", HTMX, key=more, back="/keys").text
    assert "51 keys tested." in html
    assert len(house.upstream.requests) == 55
    assert "keys.test" in [row["kind"] for row in rows_of(house, "jobs")]


def test_htmx_gets_the_filtered_table_the_chips_and_the_message_with_its_undo(house):
    ids = house.add_keys(*GEMINI_KEYS[:3])
    visitor = Visitor(house)
    back = "/keys?state=disabled"
    html = visitor.post(SELECTED + "disable", HTMX, key=ids[:2], back=back).text
    assert html.strip().startswith('<section id="keys"')
    assert html.count('<tr id="key-') == 2
    assert 'id="chips" class="chips" hx-swap-oob="true"' in html
    assert '<div id="flash" class="flashes" role="status" hx-swap-oob="innerHTML">' in html
    assert f'hx-post="{SELECTED}undo/1" hx-target="#keys"' in html
    undone = visitor.post(SELECTED + "undo/1", HTMX, back=back).text
    assert undone.count('<tr id="key-') == 0
    assert "Undone." in undone


def test_nothing_ticked_is_said_so(house):
    house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    for deed in ("enable", "disable", "test", "delete", "copy", "link", "move"):
        assert visitor.post(SELECTED + deed, pool=1).status_code == 303, deed
        assert "Tick some keys first." in visitor.get("/keys").text, deed
    assert visitor.audit() == []


def test_a_selection_names_no_key_that_is_not_there_and_none_twice(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    visitor.post(SELECTED + "disable", key=[key_id, key_id, 999, "x"], keys=f"{key_id},,-1,abc,99999")
    assert visitor.audit() == [("key.disable", f"key {key_id}")]
    assert visitor.post(SELECTED + "disable", keys=",".join(map(str, range(1, 502)))).status_code == 413


def test_only_our_own_page_and_a_signed_in_person_change_anything(house):
    ids = house.add_keys(*GEMINI_KEYS[:2])
    visitor, stranger = Visitor(house), Visitor(house, signed_in=False)
    visitor.post(SELECTED + "disable", key=ids)
    for deed in ("enable", "disable", "test", "delete", "copy", "link", "move", "undo/1"):
        assert visitor.post(SELECTED + deed, {"Origin": "https://evil.example"}, key=ids).status_code == 403
        assert stranger.post(SELECTED + deed, key=ids).status_code == 302
        assert visitor.get(SELECTED + deed).status_code == 405
    assert usable(house) == []


def test_an_undo_that_names_no_change_of_keys_is_a_404(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    visitor.post(f"/keys/{key_id}/disable")
    for entry in (1, 77):
        assert visitor.post(f"{SELECTED}undo/{entry}").status_code == 404
