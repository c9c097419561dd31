"""The audit trail as a page: what was done, what was there before, filters, pages, a file."""

import ast
import csv
import io
import time
from pathlib import Path

import pytest
from flask_babel import force_locale

from pool.adapters import queries
from pool.web.acts import ACTS
from pool.web.trail_words import ACTIONS
from tests.house import GEMINI_KEYS
from tests.web.visitor import Page, Visitor

ROOT = Path(__file__).parents[2]
HTMX = {"HX-Request": "true"}
HOSTILE = "<script>alert(1)</script>\"'=1 \u202eevil\u2067 🔑"


def remember(house, number=1, **fields):
    for n in range(number):
        row = {"at": time.time() + n / 100, "who": "admin", "via": "session", "ip": "::1", "action": "pool.update",
               "object": "pool 1", **fields}  # fmt: skip
        house.keypool.database.write(queries.add_to_trail, **row)


def shown(page):
    return [node.get("id") for node in page.all("tbody")]


def test_nothing_was_changed_yet(house):
    assert "Nothing was changed yet." in Visitor(house).see("/audit").text


def test_what_is_done_on_a_page_is_told_with_who_by_what_and_from_where(house):
    (key,) = house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    visitor.post(f"/keys/{key}/disable", **{"for": "hour"})
    said = visitor.see("/audit").text
    assert f"just now keys disabled key.disable key {key} admin web page 127.0.0.1" in said
    assert ("Audit trail", "/audit") in visitor.see("/settings").links


def test_a_change_unfolds_to_what_was_there_before(house):
    remember(house, before={"name": HOSTILE, "rpm": None}, after={"name": "new", "rpm": 5, "enabled": True})
    visitor = Visitor(house)
    answer = visitor.get("/audit/1?back=/audit", headers=HTMX)
    said = Page(answer.text).text
    assert 'id="change-1" data-open' in answer.text
    assert "<script>alert" not in answer.text
    assert "<script>alert(1)</script>" in said
    assert "rpm before: none → after: 5" in said
    assert "enabled before: – → after: yes" in said
    one = visitor.see("/audit/1?back=/audit?who=admin")
    assert one.link("Back to the list") == "/audit?who=admin"
    assert "data-open" not in visitor.get("/audit/1?folded=1", headers=HTMX).text
    assert visitor.get("/audit/77").status_code == 404


def test_a_huge_change_stays_a_small_page(house):
    remember(house, before={f"member {n}": ["x" * 1000] * 50 for n in range(500)})
    answer = Visitor(house).get("/audit/1")
    assert len(answer.data) < 200_000
    assert "and 440 more" in Page(answer.text).text


def test_moments_are_told_as_such(house):
    remember(house, after={"until": 1_700_000_000.5, "limit": 1_700_000_000})
    said = Visitor(house).see("/audit/1").text
    assert "until after: 2023-11-14 22:13 UTC" in said
    assert "limit after: 1700000000" in said


def test_filters_are_held_by_the_address(house):
    remember(house, 2)
    remember(house, action="pool.create", object="pool 2")
    remember(house, action="client.create", object="client 2", who="somebody")
    visitor = Visitor(house)

    def count(query):
        return len(shown(visitor.see(f"/audit?{query}")))

    assert count("action=pool.") == 3
    assert count("action=pool.create") == 1
    assert count("object=pool+1") == 2
    assert count("who=somebody") == 1
    assert count("until=2020-01-01T00:00") == 0
    assert count("since=2020-01-01T00:00") == 4
    page = visitor.see("/audit?since=yesterday")
    assert "A moment looks like" in page.text
    assert shown(page) == []


def test_pages_follow_each_other_without_a_gap(house):
    remember(house, 120)
    visitor, seen, address = Visitor(house), [], "/audit?action=pool.update"
    for _ in range(3):
        page = visitor.see(address)
        seen += shown(page)
        address = next((href for said, href in page.links if said == "Older"), "")
    assert seen == [f"change-{number}" for number in range(120, 0, -1)]


def test_the_file_holds_what_is_filtered(house):
    remember(house, before={"name": "=cmd()"}, object="=cmd()")
    remember(house, action="pool.create")
    rows = list(csv.DictReader(io.StringIO(Visitor(house).get("/audit.csv?action=pool.update").text)))
    assert [(row["action"], row["object"]) for row in rows] == [("pool.update", "'=cmd()")]
    assert rows[0]["before"] == '{"name":"=cmd()"}'


def audited():
    """Every action that is written down, as it stands in the code."""
    for path in (ROOT / "pool").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if name in ("audit", "note") and node.args:
                yield from (each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant))
    yield from (act.trail for act in ACTS.values())


def test_every_action_has_words(house):
    found = {action for action in audited() if isinstance(action, str) and "." in action}
    assert len(found) > 30
    assert found - set(ACTIONS) == set(), "give them words in pool/web/trail_words.py"
    with house.app.test_request_context(), force_locale("zh_CN"):
        from pool.web.trail_words import action_text

        assert [action for action in ACTIONS if action_text(action) == ACTIONS[action]] == []


@pytest.mark.parametrize("path", ["/audit", "/audit/1", "/audit.csv", "/requests", "/requests/1", "/requests.csv"])
def test_strangers_see_none_of_it(house, path):
    remember(house)
    answer = Visitor(house, signed_in=False).get(path)
    assert answer.status_code == 302
    assert answer.location.startswith("/login")
