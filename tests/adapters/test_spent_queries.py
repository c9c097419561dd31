"""What was used since a moment, to the request, on either database; and quickly, however long the log is."""

import time

import pytest
from sqlalchemy import text

from pool.adapters import queries, tables
from pool.adapters.prices import Prices
from pool.adapters.queries import Asked, Spending, Spent, Tried
from pool.adapters.recorder import Recorder
from pool.adapters.spool import Spool
from pool.core.calls import Usage
from pool.core.periods import month_began
from pool.core.records import AttemptRecord, RequestRecord

HOUR = 1_789_999_200
HALF_PAST = HOUR + 1_800
MONTH = HOUR - 20 * 86_400
FLASH, NANO = "gemini-2.5-flash", 10 * 300 + 2 * 2_500
"""Gemini 2.5 Flash: 300 nano-USD a token in, 2,500 out."""


def furnish(session):
    session.add(tables.Provider(id=1, slug="gemini", dialect="gemini"))
    session.flush()
    for n, window in ((1, "day"), (2, "month"), (3, "none"), (4, "day")):
        cap = {"max_requests": 100, "max_requests_window": window}
        bin_ = {"deleted_at": 1.0 if n == 4 else None}
        session.add(tables.Key(id=n, public_id=f"k{n}", provider_id=1, fingerprint=bytes([n]) * 32, **cap, **bin_))


@pytest.fixture
def told(either, tmp_path):
    """Drains made-up requests: (seconds since the hour, pool, client, the keys tried and when, in ms)."""
    either.write(furnish)
    spool = Spool(tmp_path / "spool")
    recorder = Recorder(either, spool.folder, Prices())

    def tell(*requests):
        for n, (at, pool, client, *tries) in enumerate(requests):
            attempts = [AttemptRecord(key, "gemini", "lru", ms, outcome="ok") for key, ms in tries]
            spool.write(
                RequestRecord(
                    f"r{n}", HOUR + at, pool, client, "openai", "chat", FLASH, FLASH, status=200, outcome="ok",
                    usage=Usage(10, 2) if tries else Usage(), attempts=attempts,
                ).line()
            )  # fmt: skip
        recorder.drain()
        return either

    yield tell
    spool.close()


def test_client_keys_and_pools_spend_by_the_day_and_the_month(told):
    database = told(
        (-10 * 86_400, 1, 7, (1, 0)), (0, 1, 7, (1, 0)), (3_700, 1, 7, (1, 0)), (5, 2, 8, (2, 0)),
        (9, 2, None, (2, 0)), (-21 * 86_400, 2, 8, (2, 0)),
    )  # fmt: skip
    one, two, three = (Spent(n, 12 * n, NANO * n) for n in (1, 2, 3))
    assert database.read(queries.client_spend, HOUR, MONTH) == {7: Spending(two, three), 8: Spending(one, one)}
    assert database.read(queries.pool_spend, HOUR, MONTH) == {1: Spending(two, three), 2: Spending(two, two)}


def test_a_day_that_begins_within_an_hour_is_exact(told):
    database = told(
        (1_799, 1, 7, (1, 0)), (1_800, 1, 7, (1, 0)), (3_599, 1, 7, (1, 0)), (3_600, 1, 7, (1, 0)), (1_900, 1, None),
    )  # fmt: skip
    assert database.read(queries.client_spend, HALF_PAST, MONTH)[7] == Spending(
        Spent(3, 36, 3 * NANO), Spent(4, 48, 4 * NANO)
    )
    assert database.read(queries.pool_spend, HALF_PAST, MONTH)[1].day == Spent(4, 36, 3 * NANO)
    assert database.read(queries.attempts_since, HALF_PAST) == {(1, FLASH): 3}


def test_attempts_count_for_the_key_that_was_asked_from_when_it_was_asked(told):
    database = told(
        (1_790, 1, 7, (1, 0), (1, 9_000), (2, 15_000)),
        (3_590, 1, 7, (2, 0), (3, 15_000)),
        (10, 1, 7, (1, 0)),
        (20, 1, 7),
    )
    assert database.read(queries.attempts_since, HOUR) == {(1, FLASH): 3, (2, FLASH): 2, (3, FLASH): 1}
    assert database.read(queries.attempts_since, HALF_PAST) == {(2, FLASH): 2, (3, FLASH): 1}
    assert database.read(queries.attempts_since, HOUR + 3_600) == {(3, FLASH): 1}
    assert database.read(queries.attempts_since, HOUR + 7_200) == {}


def test_caps_of_days_and_months_are_counted_each_from_its_beginning(told):
    database = told(
        (0, 1, 7, (1, 0), (2, 0), (3, 0), (4, 0)), (-3_600, 1, 7, (1, 0), (2, 0)), (1_790, 1, 7, (1, 20_000)),
    )  # fmt: skip
    assert sorted(database.read(queries.capped_attempts, HOUR, MONTH)) == [(1, "day", 2), (2, "month", 2)]
    assert sorted(database.read(queries.capped_attempts, HALF_PAST, HALF_PAST)) == [(1, "day", 1)]


def test_the_last_minute_is_told_second_by_second(told):
    database = told(
        (0.5, 1, 7, (1, 0)), (100.2, 1, 7, (1, 0), (2, 900)), (100.9, 1, 7, (2, 0)), (101, 2, None),
        (30, 1, 7, (3, 75_000)),
    )  # fmt: skip
    assert sorted(database.read(queries.asked_since, HOUR + 60.0), key=repr) == [
        Asked(HOUR + 100, 1, 7, 2, 24),
        Asked(HOUR + 101, 2, None, 1, 0),
    ]
    assert sorted(database.read(queries.tried_since, HOUR + 60.0), key=repr) == [
        Tried(HOUR + 100, 1, FLASH, 1, 0),
        Tried(HOUR + 100, 2, FLASH, 1, 12),
        Tried(HOUR + 101, 2, FLASH, 1, 12),
        Tried(HOUR + 105, 3, FLASH, 1, 12),
    ]


@pytest.mark.parametrize(
    ("now", "began"),
    [
        (1_790_000_000, 1_788_246_000),  # 21 September 2026; 1 September, 00:00 in Los Angeles, summer time
        (1_788_246_000, 1_788_246_000),
        (1_788_245_999, 1_785_567_600),
        (1_796_108_400, 1_793_516_400),  # 30 November, winter time; the month began in summer time
    ],
)
def test_a_month_begins_in_los_angeles(now, began):
    assert month_began(now) == began


# A million requests of 30 days by 100,000 keys, 500 client keys and 10 models, made by the database itself.
MILLION = 1_000_000
SERIES = "WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < :last) "
PLACE = "n % 5 + 1, n * 7919 % 100000 + 1, n % 500 + 1, 'model-' || n % 10"
TALLIES = (
    "requests, successes, errors, attempts, tokens_in, tokens_out, tokens_cached, tokens_thinking, estimated,"
    " cost_nano, latency_ms, ttfb_ms, " + ", ".join(tables.LATENCY_BUCKETS)
)
ONES = ", ".join(["1"] * (12 + len(tables.LATENCY_BUCKETS)))


def fill(session):
    session.execute(
        text(
            SERIES
            + "INSERT INTO requests (id, request_id, at, pool_id, key_id, client_key_id, model_used, model_asked,"
            " operation, dialect, stream, status, outcome, latency_ms, tokens_in, tokens_out, tokens_cached,"
            f" tokens_thinking, estimated, cost_nano, attempts, ip) SELECT n + 1, n, :at - n * 2.592, {PLACE}, 'm',"
            " 'chat', 'openai', 0, 200, 'ok', 1, 1, 1, 0, 0, 0, 1, 1, '' FROM s"
        ),
        {"last": MILLION - 1, "at": HOUR},
    )
    session.execute(
        text(
            "INSERT INTO attempts (request_row, n, key_id, provider, why, started_ms, duration_ms, outcome, blamed,"
            " error) SELECT id, 1, key_id, 'gemini', 'lru', 0, 1, 'ok', '', '' FROM requests"
        )
    )
    for table, place in (
        ("usage_hourly", "pool_id, key_id, client_key_id, model_used"),
        ("traffic_hourly", "pool_id, client_key_id, model_used"),
    ):
        columns = place.replace("model_used", "model")
        sums = ", ".join(f"sum({one})" for one in ONES.split(", "))
        session.execute(
            text(
                f"INSERT INTO {table} (hour, {columns}, {TALLIES})"
                f" SELECT cast(at / 3600 AS int) * 3600, {place}, {sums} FROM requests GROUP BY 1, {place}"
            )
        )


@pytest.mark.slow
def test_a_million_requests_are_added_up_in_time(database):
    database.write(lambda session: fill(session) and None)
    database.optimize()
    slow = {}
    for name, query, *since in (
        ("client_spend", queries.client_spend, HOUR - 43_200, HOUR - 20 * 86_400),
        ("pool_spend", queries.pool_spend, HOUR - 43_200, HOUR - 20 * 86_400),
        ("client_spend, half past", queries.client_spend, HOUR - 41_400, HOUR - 20 * 86_400),
        ("attempts_since", queries.attempts_since, HOUR - 86_400),
        ("attempts_since, half past", queries.attempts_since, HOUR - 84_600),
        ("capped_attempts", queries.capped_attempts, HOUR - 86_400, HOUR - 20 * 86_400),
        ("asked_since", queries.asked_since, HOUR - 60),
        ("tried_since", queries.tried_since, HOUR - 60),
    ):
        began = time.perf_counter()
        found = database.read(query, *since)
        slow[name] = (round((time.perf_counter() - began) * 1000), len(found))
    # Measured: 3 to 171 ms. The bound is for machines that do something else beside.
    assert all(ms < 1_000 for ms, _ in slow.values()), slow
