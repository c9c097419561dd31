"""What the dashboard says needs attention, each with a link to the list it is about."""

import time

import pytest
from sqlalchemy import text

from pool.core.keys import FOREVER
from pool.core.outcomes import Outcome
from pool.core.quota import last_reset
from pool.core.storms import Failure
from pool.web.admin import attention as attention_page
from pool.web.shown import clock
from tests.house import GEMINI_KEYS
from tests.stores import on_sqlite
from tests.upstream import gemini_error
from tests.web.test_keys_page import HTMX
from tests.web.visitor import Visitor

FLASH = "gemini-2.5-flash"
HEADING = "Needs attention"
STATEMENTS = 5
"""Two queries, each in a transaction; the second looks first at which days are summed."""


def items(house):
    """(text, where its link leads) of every item."""
    page = Visitor(house).see("/dashboard")
    notices = [node for node in page.all("li") if node.get("class") == "notice"]
    return [(node.text, next(each.get("href") for each in node.walk() if each.tag == "a")) for node in notices]


def storm_over(house, ids, at, kind="403"):
    storm = house.keypool.relay.judge.outages.of("gemini").storm
    for key_id in ids:
        storm.failed(Failure(key_id, FLASH, Outcome("suspected", storm=kind), at), len(ids), True)
    return storm


def change(house, statement, **values):
    house.keypool.database.write(lambda session: session.execute(text(statement), values) and None)


def test_while_all_is_well_there_is_no_list(house):
    house.add_keys(*GEMINI_KEYS[:3])
    assert house.chat().status_code == 200
    house.records()
    assert HEADING not in Visitor(house).see("/dashboard").text


def test_a_storm_that_goes_on_is_told(house):
    ids, now = house.add_keys(*GEMINI_KEYS[:6]), time.time()
    storm_over(house, ids, now)
    said = (
        f"The upstream gemini fails every key alike (403) since {clock(now)} UTC; 6 keys untouched; "
        "one request at a time tries whether it is over. Failed requests of the last hour"
    )
    assert items(house) == [(said, "/requests?ended=failed&window=1h")]
    assert HEADING in Visitor(house).get("/dashboard/figures", headers=HTMX).text


def test_a_storm_in_doubt_is_told_apart(house):
    ids, now = house.add_keys(*GEMINI_KEYS[:6]), time.time()
    storm_over(house, ids[:5], now).succeeded(ids[5], now)
    ((said, _),) = items(house)
    assert "now one serves again, and 5 untouched keys are asked once more" in said


def test_no_connection_is_said_in_words(house):
    ids = house.add_keys(*GEMINI_KEYS[:6])
    storm_over(house, ids, time.time(), "unreachable")
    assert "alike (no connection) since" in items(house)[0][0]


def test_a_storm_that_is_over_is_told_for_an_hour(house):
    ids, now = house.add_keys(*GEMINI_KEYS[:6]), time.time()
    storm_over(house, ids, now - 3900).succeeded(ids[0], now - 3500)
    ((said, href),) = items(house)
    assert f"failed every key alike (403) from {clock(now - 3900)} to {clock(now - 3500)} UTC; 6 keys were" in said
    assert href == "/requests?ended=failed&window=1h"
    storm_over(house, ids, now - 9000).succeeded(ids[0], now - 3700)
    assert len(items(house)) == 1


def test_keys_that_died_today_are_counted(house):
    ids = house.add_keys(*GEMINI_KEYS[:5])
    for key in GEMINI_KEYS[:3]:
        house.upstream.for_key(key, gemini_error(403, message="Your API key was reported as leaked."))
    assert house.chat().status_code == 200
    house.records()
    change(house, "UPDATE keys SET dead_at = :at WHERE id = :id", at=last_reset(time.time()) - 1, id=ids[0])
    assert items(house) == [("2 keys died today. Dead keys", "/keys?state=dead")]
    house.keypool.inventory.bin_keys([ids[1]])
    assert items(house)[0][0].startswith("1 key died today.")


def test_a_pool_without_a_ready_key_is_named(house):
    inventory, catalogue = house.keypool.inventory, house.keypool.catalogue
    ids = house.add_keys(*GEMINI_KEYS[:2])
    spare, _ = inventory.create_pool("spare")
    house.add_keys(GEMINI_KEYS[2], pool_id=spare)
    catalogue.bench(ids[0], "errors", time.time() + 60)
    catalogue.bench(ids[1], "quota_day", time.time() + 60, FLASH)
    assert items(house) == []
    inventory.set_disabled([ids[1]], FOREVER)
    assert items(house) == [("The pool default has no key that could serve now. Its keys", "/keys?pool=1")]
    inventory.update_pool(1, enabled=False)
    assert items(house) == []


def test_a_pool_that_never_had_a_key_is_left_alone(house):
    house.keypool.inventory.create_pool("empty")
    house.add_keys(GEMINI_KEYS[0])
    assert items(house) == []


def test_many_pools_without_a_key_do_not_fill_the_page(house):
    for n in range(attention_page.MOST_POOLS + 3):
        pool_id, _ = house.keypool.inventory.create_pool(f"pool {n}")
        house.add_keys(GEMINI_KEYS[0], pool_id=pool_id)
    house.keypool.inventory.set_disabled([1], FOREVER)
    told = items(house)
    assert len(told) == attention_page.MOST_POOLS + 1
    assert told[-1] == ("3 more pools have no key that could serve now. Pools", "/pools")


def test_keys_under_suspicion_are_counted_by_pool(house):
    ids = house.add_keys(*GEMINI_KEYS[:4])
    for key_id in ids[:2]:
        house.keypool.catalogue.bench(key_id, "suspected", time.time() + 60)
    house.keypool.catalogue.bench(ids[2], "errors", time.time() + 60)
    ((said, href),) = items(house)
    assert said.startswith("2 keys of the pool default were refused without a known reason")
    assert href == "/keys?state=cooling&pool=1"


def test_refusals_for_the_location_are_counted_today(house):
    house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.script(gemini_error(400, message="User location is not supported for the API use."))
    for _ in range(3):
        assert house.chat().status_code == 400
    house.records()
    ((said, href),) = items(house)
    assert said.startswith("An upstream refused 3 attempts today for the country")
    assert href == "/stat"
    since_reset_s = time.time() - last_reset(time.time())
    change(house, "UPDATE outcomes_hourly SET hour = hour - :by", by=int(since_reset_s // 3600 + 1) * 3600)
    assert items(house) == []


def test_a_state_that_is_on_its_own_is_told(house, monkeypatch):
    house.add_keys(GEMINI_KEYS[0])
    monkeypatch.setattr(type(house.keypool.state), "degraded", True)
    assert items(house)[0][0].startswith("Redis cannot be reached")


def test_the_most_urgent_stands_first_and_every_item_has_a_name_of_its_own(house):
    ids, now = house.add_keys(*GEMINI_KEYS[:6]), time.time()
    change(house, "UPDATE keys SET dead_at = :at WHERE id = :id", at=now, id=ids[5])
    storm_over(house, ids[:5], now)
    house.keypool.inventory.set_disabled(ids, FOREVER)
    page = Visitor(house).see("/dashboard")
    names = [node.get("id") for node in page.all("a") if node.get("id").startswith(("go-storm", "go-pool-", "go-died"))]
    assert names == ["go-storm-gemini", "go-pool-1", "go-died"]


def test_a_hostile_name_of_a_pool_is_a_name(house):
    pool_id, _ = house.keypool.inventory.create_pool("<script>alert(1)</script>")
    house.add_keys(GEMINI_KEYS[0], pool_id=pool_id)
    house.keypool.inventory.set_disabled([1], FOREVER)
    assert "<script>alert" not in Visitor(house).get("/dashboard").text


@pytest.mark.alone
@on_sqlite
@pytest.mark.parametrize("keys", [2, 2_000])
def test_it_costs_two_queries_and_no_look_at_the_keys(house, keys):
    house.add_keys(*(f"AIzaSyMany{n:06d}" + "m" * 23 for n in range(keys)))
    for key_id in range(1, keys):
        house.keypool.catalogue.bench(key_id, "suspected", time.time() + 3600)
    now, database = time.time(), house.keypool.database
    with house.app.test_request_context("/dashboard"):
        attention_page.attention(now, now, int(now))
        asked, began = database.statements, time.perf_counter()
        for _ in range(10):
            attention_page.attention(now, now, int(now))
        spent_s = (time.perf_counter() - began) / 10
    assert database.statements - asked == 10 * STATEMENTS
    assert spent_s < 0.02
