"""The log of requests as a page: who answered, every attempt, filters, pages, a file."""

import csv
import io
import re
import time
from urllib.parse import quote

import pytest
from sqlalchemy import text

from pool.adapters import queries
from tests.house import GEMINI_KEYS
from tests.stores import on_sqlite
from tests.upstream import gemini_error
from tests.web.visitor import Page, Visitor

PRO, FLASH = "gemini-2.5-pro", "gemini-2.5-flash"
HTMX = {"HX-Request": "true"}
HOSTILE = "<script>alert(1)</script>\"'=1 \u202eevil\u2067 🔑"


@pytest.fixture
def busy(house):
    """An answer of PRO; two of FLASH, the first of them after the second key refused; a mistake of the caller's."""
    first, second = house.add_keys(*GEMINI_KEYS[:2])
    house.chat(PRO)
    house.upstream.for_key(GEMINI_KEYS[1], gemini_error(429, retry_delay="50s", message="Slow down."))
    house.chat(FLASH)
    house.chat(FLASH)
    house.upstream.script(gemini_error(400, message="No such field."))
    house.chat(FLASH)
    assert [row["status"] for row in house.records()] == [200, 200, 200, 400]
    return first, second


def shown(page):
    return [node.get("id") for node in page.all("tbody")]


def test_without_requests_it_says_what_to_do(house):
    page = Visitor(house).see("/requests")
    assert "No requests yet. A pool's page shows how to send the first one." in page.text
    assert page.link("See the pools") == "/pools"


def test_each_request_is_a_row_the_newest_first(house, busy):
    page = Visitor(house).see("/requests")
    assert shown(page) == [f"request-{row['id']}" for row in reversed(house.records())]
    assert page.link("Requests") == "/requests"


def test_a_row_unfolds_to_every_attempt_and_why(house, busy):
    visitor = Visitor(house)
    row = next(row for row in house.records() if row["attempts"] == 2)
    answer = visitor.get(f"/requests/{row['id']}?back=/requests", headers=HTMX)
    assert answer.text.lstrip().startswith(f'<tbody id="request-{row["id"]}" data-open>')
    said = Page(answer.text).text
    assert row["request_id"] in said
    attempt = r"1 429 minute quota AIzaSyGe\.\.\.xxxx gemini chosen: round robin held against the key began"
    assert re.search(attempt, said)
    assert "Slow down." in said
    assert "Passed over: 1 minute quota · 1 already tried" in said
    folded = visitor.get(f"/requests/{row['id']}?back=/requests&folded=1", headers=HTMX).text
    assert "data-open" not in folded
    assert "Slow down." not in folded


def test_without_script_a_row_leads_to_a_page_of_its_own_and_back(house, busy):
    visitor = Visitor(house)
    page = visitor.see("/requests?ended=ok&model=" + FLASH)
    one = visitor.see(next(href for _, href in page.links if href.startswith("/requests/")))
    assert "chosen: round robin" in one.text
    assert one.link("Back to the list") == "/requests?ended=ok&model=" + FLASH


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example/", "javascript:alert(1)"])
def test_the_way_back_leads_nowhere_else(house, busy, back):
    assert Visitor(house).see(f"/requests/1?back={quote(back)}").link("Back to the list") == "/requests"


def test_a_request_is_found_by_the_id_its_client_was_told(house, busy):
    row = house.records()[0]
    visitor = Visitor(house)
    found = visitor.press(visitor.see("/requests"), "Find", id=row["request_id"])
    assert found.request.path == f"/requests/{row['request_id']}"
    assert row["request_id"] in Page(found.text).text
    missing = visitor.press(visitor.see("/requests"), "Find", id=HOSTILE)
    assert missing.status_code == 404
    assert "No such request" in missing.text
    assert "<script>alert" not in missing.text


def test_filters_are_held_by_the_address(house, busy):
    visitor, rows = Visitor(house), house.records()

    def count(query):
        return len(shown(visitor.see(f"/requests?{query}")))

    assert count(f"model={PRO}") == 1
    assert count(f"pool={house.default_pool_id}") == len(rows)
    assert count("pool=999") == 0
    assert count("ended=ok") == 3
    assert count("ended=failed") == len(rows) - 3
    assert count(f"since={time.time() + 60:.0f}") == 0
    assert count("until=2020-01-01T00:00") == 0
    assert count("window=1h") == len(rows)
    assert count(f"status={rows[-1]['status']}&ended=failed") == 1


def test_a_filter_by_key_finds_what_another_key_answered_in_the_end(house, busy):
    _first, second = busy
    rescued = next(row for row in house.records() if row["attempts"] == 2)
    page = Visitor(house).see(f"/requests?key={second}")
    assert shown(page) == [f"request-{rescued['id']}"]
    assert f"/requests?key={second}" in [href for _, href in Visitor(house).see("/keys").links]


def test_a_key_tried_twice_by_one_request_shows_it_once(house, busy):
    first, _second = busy
    row = house.records()[0]["id"]
    again = "INSERT INTO attempts SELECT request_row, 9, key_id, provider, why, skipped, started_ms, duration_ms,"
    again += f" status, outcome, blamed, error FROM attempts WHERE request_row = {row}"
    house.keypool.database.write(lambda session: session.execute(text(again)) and None)
    assert shown(Visitor(house).see(f"/requests?key={first}")).count(f"request-{row}") == 1


def test_a_user_key_goes_by_its_name(house, busy):
    client, token = house.keypool.inventory.create_client(HOSTILE, house.default_pool_id)
    body = {"model": FLASH, "messages": [{"role": "user", "content": "Hello"}]}
    house.post("/v1/chat/completions", body, headers={"Authorization": f"Bearer {token}"})
    house.records()
    visitor = Visitor(house)
    for query in (f"client={client}", f"client={quote(HOSTILE)}"):
        answer = visitor.get(f"/requests?{query}")
        assert len(shown(Page(answer.text))) == 1
        assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    ("query", "said"),
    [("client=nobody", "No user key is called"), ("key=nothing-like-it", "No key is like"),
     ("key=AIza", "Several keys"), ("status=4x", "A status is a number"),
     (f"status={'9' * 5_000}", "A status is a number"),
     ("since=yesterday", "A moment looks like"), ("pool=x", "by its number")],
)  # fmt: skip
def test_a_filter_that_cannot_be_understood_is_told_and_shows_nothing_else(house, busy, query, said):
    page = Visitor(house).see(f"/requests?{query}")
    assert shown(page) == []
    if not query.startswith("pool"):
        assert said in page.text
    assert "No request matches." in page.text


def test_an_address_nobody_could_have_got_begins_at_the_beginning(house, busy):
    assert len(shown(Visitor(house).see("/requests?after=nonsense"))) == len(house.records())


@pytest.mark.parametrize("query", ["", "&ended=failed", "&key=1", "&code=overloaded"])
def test_pages_follow_each_other_without_a_gap(house, query):
    house.add_keys(GEMINI_KEYS[0])
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 130) INSERT INTO requests"
        " (request_id, at, pool_id, key_id, operation, dialect, model_asked, model_used, stream, status, outcome,"
        " error_code, latency_ms, tokens_in, tokens_out, tokens_cached, tokens_thinking, estimated, cost_nano,"
        " attempts, ip) SELECT 'r' || i, 1000000000 + i / 3, 1, 1, 'chat', 'openai', 'm', 'm', false, 503,"
        " CASE WHEN i % 2 = 1 THEN 'error' ELSE 'overloaded' END, CASE WHEN i % 2 = 1 THEN 'overloaded' END, 9, 1, 1,"
        " 0, 0, false, 0, 1, '' FROM n"
    )
    tries = (
        "INSERT INTO attempts (request_row, n, key_id, provider, why, started_ms, duration_ms, outcome, blamed, error)"
        " SELECT id, 1, 1, 'gemini', 'random', 0, 1, 'ok', '', '' FROM requests"
    )
    for statement in (many, tries):
        house.keypool.database.write(lambda session, said=statement: session.execute(text(said)) and None)
    visitor, seen, address = Visitor(house), [], "/requests?" + query
    for _ in range(3):
        page = visitor.see(address)
        seen += shown(page)
        address = next((href for said, href in page.links if said == "Older"), "")
    assert seen == [f"request-{number}" for number in range(130, 0, -1)]
    assert not address


def test_the_file_holds_what_is_filtered_whole_and_runs_nothing(house):
    house.add_keys(GEMINI_KEYS[0])
    house.chat("=cmd()")
    house.chat(FLASH)
    house.records()
    answer = Visitor(house).get("/requests.csv?model=" + FLASH)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["model used"] for row in rows] == [FLASH]
    assert "xxxx" in rows[0]["key"]
    assert GEMINI_KEYS[0] not in answer.text
    assert "'=cmd()" in Visitor(house).get("/requests.csv").text


def test_errors_of_the_statistics_lead_to_their_requests(house, busy):
    visitor = Visitor(house)
    href = next(href for _, href in visitor.see("/stat").links if href.startswith("/requests?") and "code=" in href)
    assert len(shown(visitor.see(href))) == 1


def test_names_of_strangers_are_text_wherever_they_stand(house):
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(400, message=HOSTILE))
    house.chat(HOSTILE)
    house.records()
    visitor = Visitor(house)
    for path in ("/requests", "/requests/1", "/requests?model=" + quote(HOSTILE), "/dashboard"):
        assert "<script>alert" not in visitor.get(path).text
    assert "<script>alert(1)</script>" in visitor.see("/requests/1").text


@on_sqlite
@pytest.mark.parametrize("wanted", [{"tried_id": 5}, {"tried_id": 5, "failed": True}, {"word": "x"}, {"failed": True}])
def test_a_page_of_any_filter_walks_along_an_index(house, wanted):
    seen = []

    def explained(session):
        run = session.execute

        def spy(statement, *rest, **more):
            compiled = statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
            seen.extend(row[-1] for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}"))
            return run(statement, *rest, **more)

        session.execute = spy
        queries.logged_requests(session, queries.LogWanted(**wanted), 50)

    house.keypool.database.write(
        lambda session: session.execute(
            text(
                "INSERT INTO requests (request_id, at, operation, dialect, model_asked, model_used, stream, status,"
                " outcome, latency_ms, tokens_in, tokens_out, tokens_cached, tokens_thinking, estimated, cost_nano,"
                " attempts, ip) VALUES ('r', 1, '', '', '', '', 0, 500, 'error', 0, 0, 0, 0, 0, 0, 0, 0, '')"
            )
        )
        and None
    )
    house.keypool.database.read(explained)
    assert seen
    assert not [step for step in seen if "TEMP B-TREE" in step or step.startswith("SCAN")]
