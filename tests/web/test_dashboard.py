"""The dashboard: what to do first, and figures that are true."""

import csv
import io
import time

from sqlalchemy import text

from pool.core.quota import last_reset
from pool.core.records import RequestRecord
from tests.house import GEMINI_KEYS
from tests.upstream import gemini_error
from tests.web.test_keys_page import HTMX
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


def test_it_says_how_often_another_key_answered(house):
    house.add_keys(*GEMINI_KEYS[:2])
    house.chat()
    house.records()
    visitor = Visitor(house)
    assert "Every answer of today came from the first key that was asked." in visitor.see("/dashboard").text
    house.upstream.for_key(GEMINI_KEYS[1], gemini_error(429, retry_delay="5s"))
    assert house.chat().status_code == 200
    house.records()
    said = visitor.see("/dashboard").text
    assert "1 request of today was answered by another key after the first one failed." in said


def recent_rows(page):
    """Those of the list of recent requests, its head included."""
    return [row for row in page.all("tr") if any(node.get("id") == "recent" for node in row.around())]


def test_recent_requests_page_back_without_script(house):
    house.add_keys(GEMINI_KEYS[0])
    for _ in range(25):
        house.chat()
    house.records()
    visitor = Visitor(house)
    first = visitor.see("/dashboard")
    older = visitor.see(first.link("Older"))
    assert len(recent_rows(first)) == 21
    assert len(recent_rows(older)) == 6
    assert older.link("Newest") == "/dashboard"


def test_a_model_with_a_hostile_name_is_a_name(house):
    house.add_keys(GEMINI_KEYS[0])
    house.chat(model=HOSTILE)
    house.records()
    visitor = Visitor(house)
    assert "<script>alert" not in visitor.get("/dashboard").text
    assert HOSTILE in Page(visitor.get("/dashboard").text).text


def move_back(house, by_s):
    """Let what was counted have happened so much earlier."""
    house.keypool.database.write(
        lambda session: session.execute(text("UPDATE traffic_hourly SET hour = hour - :by"), {"by": by_s})
        and session.execute(text("UPDATE requests SET at = at - :by"), {"by": by_s})
        and None
    )


def test_requests_and_tokens_are_counted_by_the_minute_and_by_the_quota_day(house):
    house.add_keys(GEMINI_KEYS[0])
    for _ in range(3):
        house.chat()
    tokens = sum(row["tokens_in"] + row["tokens_out"] for row in house.records())
    said = Visitor(house).see("/dashboard").text
    assert "Requests a minute 3 RPM, last 60 s" in said
    assert f"Tokens a minute {tokens} TPM, last 60 s" in said
    assert "Requests today 3" in said
    assert f"Tokens today {tokens}" in said
    assert "Success today 100 %" in said


def test_a_minute_ago_is_no_longer_this_minute(house):
    house.add_keys(GEMINI_KEYS[0])
    house.chat()
    house.records()
    house.keypool.database.write(lambda session: session.execute(text("UPDATE requests SET at = at - 61")) and None)
    said = Visitor(house).see("/dashboard").text
    assert "Requests a minute 0" in said
    assert "Requests today 1" in said


def test_the_day_before_counts_nothing_of_today(house):
    house.add_keys(GEMINI_KEYS[0])
    for _ in range(2):
        house.chat()
    house.records()
    assert "RPD, 0 the day before" in Visitor(house).see("/dashboard").text
    since_reset_s = time.time() - last_reset(time.time())
    move_back(house, int(since_reset_s // 3600 + 1) * 3600)
    said = Visitor(house).see("/dashboard").text
    assert "Requests today 0 RPD, 2 the day before" in said
    assert "Tokens today 0" in said


def test_figures_lead_to_what_they_count(house):
    house.add_keys(GEMINI_KEYS[0])
    page = Visitor(house).see("/dashboard")
    for word in ("healthy", "cooling", "disabled", "dead"):
        assert page.link(word.capitalize()) == f"/keys?state={word}"
    assert ("0", "/stat") in page.links


def test_its_figures_and_its_list_are_asked_for_again_alone(house):
    house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    page = visitor.get("/dashboard").text
    for url in ("/dashboard/figures", "/dashboard"):
        assert f'hx-get="{url}" hx-trigger="look from:body"' in page
        fragment = visitor.get(url, headers=HTMX)
        assert "<html" not in fragment.text
        assert f'hx-get="{url}" hx-trigger="look from:body"' in fragment.text
        assert fragment.headers["Cache-Control"] == "no-store"
    assert visitor.get("/dashboard/figures").location == "/dashboard"
    signed_out = Visitor(house, signed_in=False).get("/dashboard/figures", headers=HTMX)
    assert signed_out.status_code == 401


def test_older_requests_stay_where_somebody_reads_them(house):
    house.add_keys(GEMINI_KEYS[0])
    for _ in range(21):
        house.chat()
    house.records()
    visitor = Visitor(house)
    older = visitor.see("/dashboard").link("Older")
    assert "look from:body" not in visitor.get(older, headers=HTMX).text


def test_success_is_about_what_could_be_answered(house):
    """Two answered, two the caller got wrong, one it left, one no upstream could answer."""
    house.add_keys(GEMINI_KEYS[0])
    for _ in range(2):
        house.chat()
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(400, message="Invalid value at temperature."))
    for _ in range(2):
        assert house.chat().status_code == 400
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(503))
    assert house.chat().status_code == 503
    record = RequestRecord("left", time.time(), house.default_pool_id, None, "openai", "chat", "gemini-2.5-flash")
    record.status, record.outcome = 499, "client_gone"
    house.keypool.spool.write(record.line())
    house.records()
    visitor = Visitor(house)
    said = visitor.see("/dashboard").text
    assert "Requests today 6" in said
    assert "Success today 66.7 % 1 failed · 3 their callers’ own" in said
    assert "6 requests, 1 failed" in said
    assert "gemini-2.5-flash 6 1 66.7 %" in visitor.see("/stat").text
    rows = list(csv.DictReader(io.StringIO(visitor.get("/stat/models.csv").text)))
    assert [rows[0][name] for name in ("requests", "ok", "errors", "callers' own", "ok rate")] == [
        "6", "2", "1", "3", "0.6667",
    ]  # fmt: skip


def test_without_an_answerable_request_there_is_no_success_to_tell(house):
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(404, message="No such model."))
    house.chat()
    house.records()
    assert "Success today – 0 failed · 1 its caller’s own" in Visitor(house).see("/dashboard").text
