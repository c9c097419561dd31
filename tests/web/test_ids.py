"""Numbers in addresses and forms that are larger than any id: nothing is there, and nothing breaks."""

import re
from pathlib import Path

import pytest

from pool.web.ids import row_id, row_ids
from tests.house import GEMINI_KEYS
from tests.web.visitor import Visitor

HUGE = ("9" * 25, "9" * 19, str(2**63), "9" * 5_000)
QUERIES = (
    "/keys?after={}", "/keys?pool={}", "/keys?size={}", "/stat?after={}", "/stat?pool={}", "/stat/keys.csv?pool={}",
    "/keys/import?pool={}", "/dashboard?before=1.0,{}",
)  # fmt: skip


@pytest.mark.parametrize("number", HUGE, ids=lambda number: f"{len(number)} digits")
def test_a_number_too_large_for_an_id_is_taken_for_none(house, number):
    house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    for query in QUERIES:
        assert visitor.get(query.format(number)).status_code == 200, query
    assert 'id="key-1"' in visitor.get(f"/keys?after={number}&pool={number}").text


@pytest.mark.parametrize("number", HUGE, ids=lambda number: f"{len(number)} digits")
def test_an_address_with_a_number_too_large_for_an_id_is_a_404(house, number):
    visitor, seen = Visitor(house), 0
    for rule in house.app.url_map.iter_rules():
        if "<int:" in rule.rule:
            seen += 1
            path = re.sub(r"<int:\w+>", number, rule.rule)
            for method in rule.methods - {"OPTIONS"}:
                assert visitor.client.open(path, method=method).status_code == 404, (method, rule.rule)
    assert seen > 20


@pytest.mark.parametrize("number", HUGE, ids=lambda number: f"{len(number)} digits")
def test_strangers_break_nothing_where_statistics_are_public(house, number):
    house.set(public_stats=True)
    stranger = Visitor(house, signed_in=False)
    for query in ("/stat?after={}", "/stat?pool={}", "/stat/keys.csv?after={}&pool={}"):
        assert stranger.get(query.format(number, number)).status_code == 200, query


@pytest.mark.parametrize("number", HUGE, ids=lambda number: f"{len(number)} digits")
def test_a_form_with_a_number_too_large_for_an_id_names_nothing(house, number):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    for path, form in (
        ("/keys/selected/enable", {"keys": number}),
        ("/keys/selected/enable", {"key": number}),
        ("/keys/selected/move", {"keys": str(key_id), "pool": number}),
    ):
        assert visitor.post(path, **form).status_code == 303, (path, form)
    assert visitor.post("/clients", name="one", pool=number).status_code == 422
    assert visitor.post("/keys/import", text=GEMINI_KEYS[1], pool=number).status_code == 422
    assert visitor.audit() == []


def test_a_moment_that_is_none_begins_no_page_of_requests(house):
    visitor = Visitor(house)
    for before in ("nan,1", "inf,1", "1e999,1", "1.0", ",", "1.0,-1"):
        assert visitor.get(f"/dashboard?before={before}").status_code == 200, before


def test_ids_are_digits_up_to_what_a_database_holds():
    assert row_id("9" * 18) < 2**63
    assert row_ids(["1", "02", "x", "", "-1", "1.0", "٣", "9" * 19]) == {1, 2}
    for text in ("", "-1", "+1", " 1", "1e3", "٣", "9" * 19):
        with pytest.raises(ValueError, match="no id"):
            row_id(text)


def test_no_view_reads_a_number_for_an_id_without_its_bounds():
    views = Path(__file__).parents[2].glob("pool/web/**/*.py")
    assert [path.name for path in views if "type=int" in path.read_text()] == []
