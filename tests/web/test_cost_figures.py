"""What requests cost, wherever it is shown."""

import csv
import io

import pytest

from tests.house import GEMINI_KEYS
from tests.web.visitor import Visitor, rows_of

FLASH = "gemini-2.5-flash"


@pytest.fixture
def spent(house):
    """Two requests, one of them by a user key, and what both cost in nano-USD."""
    house.add_keys(GEMINI_KEYS[0])
    _, token = house.keypool.inventory.create_client("bot", house.default_pool_id)
    house.keypool.inventory.create_client("idle", house.default_pool_id)
    house.chat(FLASH)
    house.post("/v1/chat/completions", {"model": FLASH, "messages": [{"role": "user", "content": "Hi"}]},
               headers={"Authorization": f"Bearer {token}"})  # fmt: skip
    first, second = house.records()
    # Gemini 2.5 Flash: 0.30 and 2.50 dollars a million tokens.
    assert first["cost_nano"] == first["tokens_in"] * 300 + first["tokens_out"] * 2_500 > 0
    assert second["cost_nano"] == first["cost_nano"]
    return first["cost_nano"]


def dollars(nano):
    return f"${nano / 1e9:.6f}".rstrip("0")


def told(visitor, path):
    return visitor.see(path).text


def sheet(visitor, table):
    return list(csv.DictReader(io.StringIO(visitor.get(f"/stat/{table}.csv").text)))


def test_the_dashboard_says_what_today_and_this_month_cost(house, spent):
    said = told(Visitor(house), "/dashboard")
    assert f"Cost today {dollars(2 * spent)} $0 the day before" in said
    assert f"Cost this month {dollars(2 * spent)} at list prices" in said


def test_statistics_say_what_models_and_keys_cost(house, spent):
    visitor = Visitor(house)
    assert told(visitor, "/stat").count(dollars(2 * spent)) == 3
    for table in ("models", "keys", "pools"):
        (row,) = sheet(visitor, table)
        assert float(row["cost usd"]) == pytest.approx(2 * spent / 1e9)


def test_strangers_are_not_told_what_it_costs(house, spent):
    house.set(public_stats=True)
    stranger = Visitor(house, signed_in=False)
    assert "Cost" not in told(stranger, "/stat")
    assert dollars(2 * spent) not in told(stranger, "/stat")
    for table in ("models", "keys"):
        assert "cost usd" not in sheet(stranger, table)[0]


def test_a_user_keys_row_says_what_it_spent_today_and_this_month(house, spent):
    said = told(Visitor(house), "/clients")
    assert said.count(f"{dollars(spent)} 1 request") == 2
    assert said.count("$0 ") == 2


def test_a_keys_row_says_what_it_cost_in_all(house, spent):
    assert dollars(2 * spent) in told(Visitor(house), "/keys")
    assert rows_of(house, "keys")[0]["cost_nano"] == 2 * spent


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0"), (1, "<$0.000001"), (12_345, "$0.000012"), (123_456, "$0.000123"), (7_340_000, "$0.0073"),
        (12_345_678, "$0.0123"), (123_456_789, "$0.1235"), (1_000_000_000, "$1.00"), (1_234_567_890_123, "$1,234.57"),
    ],
)  # fmt: skip
def test_money_has_cents_and_small_sums_as_many_digits_each(house, nano, text):
    with house.app.test_request_context():
        assert house.app.jinja_env.filters["money"](nano) == text
