"""Copying keys in full: with the password, audited, in four formats, and never by the way."""

import csv
import html
import io
import json

import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.web.test_keys_page import HTMX
from tests.web.visitor import Page, Visitor, rows_of

COPY = "/keys/selected/copy"


def whole(answer):
    """What is in the text area."""
    form = next(form for form in Page(answer.text).forms if any(name == "keys" for name, _ in form.fields))
    assert form.action == COPY
    return html.unescape(answer.text.split("data-secret>")[1].split("</textarea>")[0]).strip()


@pytest.fixture
def unlocked(house):
    """A visitor who typed the password a moment ago."""
    visitor = Visitor(house)
    house.keypool.database.write(_elevate)
    return visitor


def _elevate(session):
    from sqlalchemy import text

    session.execute(text("UPDATE sessions SET elevated_until = 9e9"))


def test_without_the_password_a_copy_is_refused_asks_for_it_and_goes_on(house):
    ids = house.add_keys(*GEMINI_KEYS[:3])
    visitor = Visitor(house)
    answer = visitor.post(COPY, key=ids[:2], back="/keys?state=healthy")
    assert answer.status_code == 403
    assert not any(secret in answer.text for secret in GEMINI_KEYS)
    wrong = visitor.press(Page(answer.text), "Show the keys", password="not it")
    assert wrong.status_code == 403
    assert "That is not the password" in wrong.text
    assert visitor.audit() == []
    right = visitor.press(Page(wrong.text), "Show the keys", password=PASSWORD)
    assert right.status_code == 200
    assert whole(right) == "\n".join(GEMINI_KEYS[:2])
    assert right.headers["Cache-Control"] == "no-store"
    assert Page(right.text).link("Close") == "/keys?state=healthy"
    again = visitor.post(COPY, key=ids[2])
    assert whole(again) == GEMINI_KEYS[2]
    assert visitor.audit() == [("key.copy", "2 keys"), ("key.copy", f"key {ids[2]}")]


def test_what_is_copied_is_audited_without_the_keys(house, unlocked):
    ids = house.add_keys(*GEMINI_KEYS[:2])
    unlocked.post(COPY, key=ids)
    kept = str(rows_of(house, "audit"))
    assert "AIzaSyGe...xxxx" in kept
    assert not any(secret in kept for secret in GEMINI_KEYS)


def test_htmx_gets_the_panel_alone(house, unlocked):
    ids = house.add_keys(GEMINI_KEYS[0])
    answer = unlocked.post(COPY, HTMX, key=ids)
    assert answer.text.strip().startswith('<section id="copying"')
    assert "<html" not in answer.text
    assert 'data-fleeting="' in answer.text
    refused = Visitor(house)
    assert refused.post(COPY, HTMX, key=ids).status_code == 403


def test_a_selection_is_copied_as_json_and_as_environment(house, unlocked):
    ids = house.add_keys(*GEMINI_KEYS[:2], OPENAI_KEYS[0], name="Ann's")
    rows = json.loads(whole(unlocked.post(COPY, key=ids, format="json")))
    assert [row["key"] for row in rows] == [*GEMINI_KEYS[:2], OPENAI_KEYS[0]]
    assert rows[2] == {"key": OPENAI_KEYS[0], "provider": "openai", "name": "Ann's", "email": "", "note": "",
                       "pools": ["default"]}  # fmt: skip
    env = whole(unlocked.post(COPY, key=ids, format="env"))
    assert env == f"API_KEYS={','.join(GEMINI_KEYS[:2])}\nOPENAI_API_KEYS={OPENAI_KEYS[0]}"


def test_a_spreadsheet_runs_nothing_of_a_copied_csv(house, unlocked):
    ids = house.add_keys(GEMINI_KEYS[0], name='=HYPERLINK("http://evil")', note="@SUM(1)", email="+1")
    rows = list(csv.DictReader(io.StringIO(whole(unlocked.post(COPY, key=ids, format="csv")))))
    assert rows[0]["key"] == GEMINI_KEYS[0]
    assert rows[0]["name"] == "'=HYPERLINK(\"http://evil\")"
    assert (rows[0]["note"], rows[0]["email"]) == ("'@SUM(1)", "'+1")


def test_an_unknown_format_is_lines_and_hostile_words_stay_words(house, unlocked):
    ids = house.add_keys(GEMINI_KEYS[0], name="</textarea><script>alert(1)</script>")
    assert whole(unlocked.post(COPY, key=ids, format="exe")) == GEMINI_KEYS[0]
    for name in ("csv", "json"):
        assert "<script>alert" not in unlocked.post(COPY, key=ids, format=name).text


def test_a_key_in_the_bin_is_not_copied(house, unlocked):
    ids = house.add_keys(*GEMINI_KEYS[:2])
    house.keypool.inventory.bin_keys(ids[:1])
    assert whole(unlocked.post(COPY, key=ids)) == GEMINI_KEYS[1]
