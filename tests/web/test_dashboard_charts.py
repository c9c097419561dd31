"""What the dashboard draws is what happened: charts, who asked most, and how far the day's quotas reach."""

import csv
import io
import time

import pytest
from sqlalchemy import text

from pool.core.quota import next_reset
from tests.house import GEMINI_KEYS
from tests.upstream import gemini_error
from tests.web.test_keys_page import HTMX
from tests.web.visitor import Page, Visitor

HOSTILE = "gemini-<b>\"'\u202eevil\U0001f600"
DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"


def sheet(visitor, table, window="24h"):
    answer = visitor.get(f"/dashboard/{table}.csv?window={window}")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="keypool-{table}-{window}.csv"'
    return list(csv.DictReader(io.StringIO(answer.text)))


def move_back(house, by_s):
    def earlier(session):
        session.execute(text("UPDATE requests SET at = at - :by"), {"by": by_s})
        for table in ("traffic_hourly", "usage_hourly", "outcomes_hourly"):
            session.execute(text(f"UPDATE {table} SET hour = hour - :by"), {"by": by_s // 3600 * 3600})

    house.keypool.database.write(earlier)


def known_traffic(house):
    """Three answered, one its caller's mistake, one that no key could answer; the tokens of all of them."""
    house.add_keys(GEMINI_KEYS[0])
    for _ in range(3):
        house.chat()
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(400, message="Invalid value at temperature."))
    house.chat()
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(503))
    house.chat()
    return sum(row["tokens_in"] + row["tokens_out"] for row in house.records())


@pytest.mark.parametrize("window", ["1h", "24h", "7d", "30d", "90d"])
def test_every_window_adds_up_to_what_happened(house, window):
    tokens = known_traffic(house)
    visitor = Visitor(house)
    rows = sheet(visitor, "traffic", window)
    assert len(rows) == {"1h": 60, "24h": 24, "7d": 56, "30d": 60, "90d": 90}[window]
    assert [sum(int(row[name]) for row in rows) for name in ("requests", "errors", "tokens")] == [5, 1, tokens]
    said = visitor.see(f"/dashboard?window={window}").text
    assert "Requests 5" in said
    assert "Errors 1" in said


def test_a_request_is_in_the_slot_it_came_in(house):
    house.add_keys(GEMINI_KEYS[0])
    house.chat()
    house.records()
    move_back(house, 5 * 3600)
    visitor = Visitor(house)
    rows = sheet(visitor, "traffic")
    assert [int(row["requests"]) for row in rows].index(1) == 24 - 6
    assert sum(int(row["requests"]) for row in sheet(visitor, "traffic", "1h")) == 0
    week = sheet(visitor, "traffic", "7d")
    (slot,) = [row for row in week if row["requests"] == "1"]
    assert slot["from"] <= rows[18]["from"] <= week[-1]["from"][:10] + "T23:59"


def test_what_is_older_than_the_window_is_not_in_it(house):
    house.add_keys(GEMINI_KEYS[0])
    house.chat()
    house.records()
    move_back(house, 8 * 86_400)
    visitor = Visitor(house)
    assert sum(int(row["requests"]) for row in sheet(visitor, "traffic", "7d")) == 0
    assert sum(int(row["requests"]) for row in sheet(visitor, "traffic", "30d")) == 1


def test_figures_are_there_as_text_beside_the_charts(house):
    known_traffic(house)
    page = Visitor(house).see("/dashboard?window=7d")
    (table,) = [node for node in page.all("table") if node.get("class") == "figures"]
    assert len([node for node in table.walk() if node.tag == "tr"]) == 57
    assert page.link("CSV") == "/dashboard/traffic.csv?window=7d"


def test_an_unknown_window_is_the_usual_one_and_an_unknown_table_is_nowhere(house):
    house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    page = visitor.see("/dashboard?window=1000y")
    (current,) = [node for node in page.all("a") if node.get("class") == "chip" and node.get("aria-current")]
    assert current.text == "24 hours"
    assert visitor.get("/dashboard/secrets.csv").status_code == 404


def test_charts_look_again_alone_while_they_can_change(house):
    house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    for window, again in (("1h", True), ("24h", True), ("90d", False)):
        address = f'hx-get="/dashboard/charts?window={window}" hx-trigger="look from:body"'
        assert (address in visitor.get(f"/dashboard?window={window}").text) is again
    fragment = visitor.get("/dashboard/charts?window=1h", headers=HTMX)
    assert "<html" not in fragment.text
    assert visitor.get("/dashboard/charts?window=1h").location == "/dashboard?window=1h"


def test_the_busiest_are_named_and_lead_to_their_requests(house):
    house.add_keys(GEMINI_KEYS[0])
    client_id, token = house.keypool.inventory.create_client("Ann’s <laptop>", house.default_pool_id)
    for _ in range(3):
        house.chat(HOSTILE)
    house.post(
        "/v1/chat/completions",
        {"model": "gemini-2.5-pro", "messages": [{"role": "user", "content": "Hello"}]},
        headers={"Authorization": f"Bearer {token}"},
    )
    house.records()
    visitor = Visitor(house)
    page = visitor.see("/dashboard")
    assert "<b>\"'" not in visitor.get("/dashboard").text
    assert [(row["model"], row["requests"]) for row in sheet(visitor, "models")] == [
        (HOSTILE, "3"), ("gemini-2.5-pro", "1"),
    ]  # fmt: skip
    assert [row["client"] for row in sheet(visitor, "clients")] == ["the pools’ own auth keys", "Ann’s <laptop>"]
    assert page.link("Ann’s <laptop>") == f"/requests?client={client_id}"
    assert page.link("default") == f"/requests?pool={house.default_pool_id}"
    assert "the pools’ own auth keys 3" in page.text


def test_without_a_refusal_nobody_knows_a_runway(house):
    house.add_keys(GEMINI_KEYS[0])
    house.chat()
    house.records()
    assert "No upstream named a daily limit yet." in Visitor(house).see("/dashboard").text


def spend_one(house, *keys, limit="20"):
    """The first key is refused for the day at its third attempt: its upstream names the limit."""
    ids = house.add_keys(*keys)
    for _ in range(2 * len(keys)):
        house.chat()
    house.upstream.for_key(keys[0], gemini_error(429, quota_id=DAY, quota_value=limit))
    while not any(row["attempts"] > 1 for row in house.records()):
        house.chat()
    return ids


def test_the_runway_is_what_the_keys_that_are_left_may_do(house):
    _spent, other = spend_one(house, *GEMINI_KEYS[:2])
    asked = house.keypool.database.read(
        lambda session: session.scalar(
            text("SELECT sum(attempts) FROM usage_hourly WHERE key_id = :id"), {"id": other}
        )
    )
    visitor = Visitor(house)
    (row,) = sheet(visitor, "runway")
    assert (row["model"], row["usual limit"], row["live"], row["out"]) == ("gemini-2.5-flash", "20", "1", "1")
    assert int(row["requests left"]) == 20 - asked
    refill = next_reset(time.time())
    assert row["refill"] == time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(refill))
    said = visitor.see("/dashboard").text
    assert f"gemini-2.5-flash {20 - asked} " in said
    assert "1 of 2" in said


def test_it_runs_dry_when_all_that_is_left_is_asked_for_at_this_pace(house):
    spend_one(house, *GEMINI_KEYS[:2], limit="6")
    (row,) = sheet(Visitor(house), "runway")
    left, an_hour = int(row["requests left"]), float(row["an hour"])
    dry_at = time.time() + 3600 * left / an_hour
    if dry_at < next_reset(time.time()) - 60:
        told = time.mktime(time.strptime(row["runs dry"], "%Y-%m-%dT%H:%M:%S+00:00")) - time.timezone
        assert told == pytest.approx(dry_at, rel=0.01, abs=120)


def test_with_every_key_spent_the_model_is_dry(house):
    (only,) = GEMINI_KEYS[:1]
    house.add_keys(only)
    house.chat()
    house.upstream.for_key(only, gemini_error(429, quota_id=DAY, quota_value="20"))
    assert house.chat().status_code == 429
    house.records()
    visitor = Visitor(house)
    (row,) = sheet(visitor, "runway")
    assert (row["requests left"], row["live"], row["out"]) == ("0", "0", "1")
    assert "gemini-2.5-flash 0 dry" in visitor.see("/dashboard").text


def test_keys_of_one_project_share_one_limit(house):
    spent, second, _third = GEMINI_KEYS[:3]
    house.add_keys(spent)
    house.add_keys(second, _third, project="projects/77")
    house.upstream.for_key(spent, gemini_error(429, quota_id=DAY, quota_value="20"))
    for _ in range(3):
        house.chat()
    house.records()
    (row,) = sheet(Visitor(house), "runway")
    assert (row["live"], row["out"]) == ("1", "1")
    assert int(row["requests left"]) == 20 - 3


def test_disabled_keys_and_dead_ones_are_nobodys_reserve(house):
    ids = spend_one(house, *GEMINI_KEYS[:3])
    house.keypool.inventory.set_disabled([ids[2]], float("inf"))
    (row,) = sheet(Visitor(house), "runway")
    assert (row["live"], row["out"]) == ("1", "1")


def test_tiles_lead_to_what_they_count(house):
    known_traffic(house)
    page = Visitor(house).see("/dashboard")
    targets = {node.get("id"): node.get("href") for node in page.all("a")}
    assert targets["go-requests-a-minute"].startswith("/requests?since=")
    assert targets["go-requests-today"].startswith("/requests?since=")
    assert targets["go-success-today"].startswith("/requests?ended=failed&since=")
    assert targets["go-cost-today"] == "/stat"
    assert Page(Visitor(house).get(targets["go-success-today"]).text).text.count("503") >= 1


def test_moments_say_the_same_to_script_and_to_eyes(house):
    known_traffic(house)
    page = Visitor(house).see("/dashboard")
    scale = [node for node in page.all("time") if node.get("data-moment") == "clock"]
    assert scale
    for node in scale:
        assert node.get("datetime")[11:16] + " UTC" == node.text


SCALES = {0: 1, 1: 1, 2: 2, 3: 4, 9: 10, 10: 10, 11: 20, 1_722: 2_000, 14_600: 20_000, 5_300_000: 6_000_000}


@pytest.mark.parametrize(("most", "top"), SCALES.items())
def test_the_scale_of_a_chart_ends_at_a_round_number_whose_half_is_one(house, most, top):
    assert house.app.jinja_env.filters["ceiling"](most) == top


def test_a_chart_says_what_its_scale_is(house):
    house.add_keys(GEMINI_KEYS[0])
    for _ in range(3):
        house.chat()
    house.records()
    said = Visitor(house).see("/dashboard").text
    assert "Requests 3 answered failed 4 2 0" in said
