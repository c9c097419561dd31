"""How the databases go about what pages ask: along an index, never through all requests, attempts or hours."""

import re

import pytest
from sqlalchemy import event, func, insert, select, text

from pool.adapters import queries
from pool.adapters.days import add_up_days
from pool.adapters.inventory import Inventory, NewKey
from pool.adapters.inventory.reading import BEGINNING, keys_since, members_since
from pool.adapters.queries.charts import busiest, slots_since
from pool.adapters.queries.exports import export_keys
from pool.adapters.queries.own import own_requests, own_use
from pool.adapters.queries.pool_figures import tiers_of
from pool.adapters.tables import DAY_S, Request
from pool.adapters.vault import open_vault
from pool.core.catalogue import Catalogue
from tests.adapters.test_days import DAY, NOW, asked

LONG = ("requests", "attempts", "usage_hourly", "traffic_hourly", "outcomes_hourly", "key_health", "audit", "again")
"""Tables that grow with traffic or time, and must not be read whole."""

MANY = 2000
"""Keys of one provider: more than SQLite's statistics look at when they may look at a sample only."""

HOUR, ORDER, SCOPE = int(NOW) // 3600 * 3600, queries.Order, queries.Scope
LOG = [
    {}, {"pool_id": 1}, {"client_id": 1}, {"key_id": 1}, {"tried_id": 1}, {"model": "m"}, {"status": 429},
    {"status": 200}, {"failed": True}, {"word": "overloaded"}, {"outcome": "error"}, {"since": 1.0, "until": 2e9},
    {"pool_id": 1, "client_id": 2, "failed": True}, {"tried_id": 1, "failed": True}, {"model": "m", "status": 503},
]  # fmt: skip
TRAIL = [{}, {"action": "key.add"}, {"action": "key."}, {"object": "key 7"}, {"since": 1.0, "until": 2e9}]

ASKED = {
    **{f"log {each}": (queries.logged_requests, queries.LogWanted(**each), 50, (NOW, 10**6)) for each in LOG},
    **{f"trail {each}": (queries.trail_page, queries.TrailWanted(**each), 50, (NOW, 10**6)) for each in TRAIL},
    **{
        f"stat {since} {shown} {model}": (queries.stat_keys, SCOPE(since, None, model), NOW, shown)
        for since in (HOUR, DAY) for shown in ("", "used", "exhausted") for model in ("", "m")
    },
    **{
        f"{query.__name__} {since}": (query, SCOPE(since, 1, "m"))
        for query in (queries.model_figures, queries.clients_served, queries.endpoint_figures) for since in (HOUR, DAY)
    },
    "request": (queries.logged_request, "7"),
    "key counts": (queries.key_counts, NOW, None, [7]),
    "attempts of keys": (queries.attempts_of, [1, 2], HOUR),
    "latency of keys": (queries.latency_of, [1, 2], HOUR),
    "rests": (queries.rests_of, 1, NOW),
    "the last minute": (queries.traffic_lately, NOW - 60),
    "traffic": (queries.traffic_between, HOUR - 7200, HOUR),
    "cost": (queries.cost_since, DAY),
    "slots of minutes": (slots_since, HOUR, 60),
    "slots of hours": (slots_since, HOUR, 3600),
    "slots of days": (slots_since, DAY, DAY_S),
    "busiest": (busiest, "clients", DAY, 5),
    "own use": (own_use, 1, DAY),
    "own requests": (own_requests, 1, 20),
    "pool figures": (queries.pool_figures, [1], NOW),
    "tiers": (tiers_of, 1),
    "key counts of a pool": (queries.key_counts, NOW, queries.Wanted(NOW, pool_id=1), [7]),
    "deaths": (queries.deaths_since, NOW),
    "attempts ended": (queries.attempts_ended, HOUR, "location"),
    "client spend": (queries.client_spend, HOUR + 60.0, DAY + 60.0),
    "import": (queries.left_of, 1),
}  # fmt: skip


def plans(database, query, *arguments):
    """The plan of every statement SQLite is asked for a query, and the statement."""
    told = []

    def explained(session):
        connection = session.connection()

        def explain(_connection, cursor, statement, parameters, *_):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            told.extend((row[-1], statement) for row in cursor.fetchall())

        event.listen(connection, "before_cursor_execute", explain)
        try:
            query(session, *arguments)
        finally:
            event.remove(connection, "before_cursor_execute", explain)

    database.read(explained)
    return told


def read_whole(step, statement):
    """The table that a step of a plan goes through from its beginning to its end; "" for none.

    One that goes along an index until it has enough is none.
    """
    found = re.match(r"SCAN (\w+)(?! CONSTANT)(.*)", step)
    if not found or found[1] not in LONG:
        return ""
    along = "INDEX" in found[2] or "PRIMARY KEY" in found[2]
    ends = "LIMIT" in statement and "GROUP BY" not in statement
    return "" if along and (ends or "COVERING" in found[2]) else found[1]


@pytest.mark.parametrize("what", ASKED)
def test_a_page_reads_no_long_table_whole(database, what):
    asked(database, *(DAY + n * 3600.0 for n in range(50)))
    add_up_days(database, NOW)
    database.optimize()
    steps = plans(database, *ASKED[what])
    assert steps
    assert [(step, statement) for step, statement in steps if read_whole(step, statement)] == []


def test_reading_a_table_whole_would_be_seen(database):
    steps = plans(database, lambda session: queries.logged_requests(session, queries.LogWanted(), 50))
    assert not any(read_whole(*each) for each in steps)
    steps = plans(database, lambda session: session.scalar(select(func.sum(Request.latency_ms))))
    assert [read_whole(*each) for each in steps] == ["requests"]


def test_a_page_of_keys_does_not_begin_with_all_keys_of_a_provider(database, tmp_path):
    inventory = Inventory(database, open_vault(database, tmp_path, "some passphrase"), Catalogue(), lambda line: None)
    inventory.found({})
    inventory.load()
    inventory.add_keys([NewKey("openai", f"sk-proj-{n:048}") for n in range(MANY)], 1, "paste", "admin")
    database.optimize()
    told = "SELECT stat FROM sqlite_stat1 WHERE idx = 'sqlite_autoindex_keys_1'"
    assert database.read(lambda session: session.scalar(text(told))) == f"{MANY} {MANY} 1"
    for query, *arguments in (
        (export_keys, MANY // 2, 400, None),
        (queries.fleet_page, NOW, HOUR),
        (keys_since, 2, BEGINNING, 400),
        (members_since, 2, BEGINNING, 400),
    ):
        steps = [step for step, _ in plans(database, query, *arguments)]
        assert steps
        assert [step for step in steps if re.search("provider_id=|SCAN (provider|key|membership)s", step)] == []


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"model": "rare", "failed": True}, "failed_model_used"),
        ({"model": "rare", "pool_id": 1}, "model_used"),
        ({"model": "rare", "error_code": "overloaded"}, "failed_model_used"),
        ({"model": "rare", "status": 503, "client_id": 2}, "failed_model_used"),
        ({"model": "often", "client_id": 9}, "client_key_id"),
        ({"client_id": 9, "failed": True, "since": 1.0}, "failed_client_key_id"),
        ({"client_id": 9, "failed": True}, "failed_client_key_id"),
        ({"key_id": 7, "failed": True}, "failed_key_id"),
        ({"key_id": 7, "error_code": "overloaded"}, "failed_key_id"),
        ({"key_id": 7, "client_id": 9}, "client_key_id"),
        ({"client_id": 9, "failed": True, "pool_id": 1}, "failed_client_key_id"),
    ],
)
def test_a_page_of_the_log_goes_by_what_is_met_least_often(database, wanted, index):
    def store(session):
        session.execute(insert(Request), [logged(n, "often", 2) for n in range(400)])
        session.execute(insert(Request), [logged(n, "rare", 2) for n in range(400, 405)])
        session.execute(insert(Request), [logged(n, "often", 9) for n in range(405, 410)])
        well = {"outcome": "ok", "status": 200}
        session.execute(insert(Request), [logged(n, "often", 2) | well for n in range(410, 1600)])

    def logged(n, model, client_id):
        return {
            "request_id": f"r-{n}", "at": 10.0 + n, "pool_id": 1, "client_key_id": client_id, "model_asked": model,
            "key_id": 7 if n >= 405 else 8,
            "model_used": model, "status": 503, "outcome": "error", "error_code": "overloaded", "operation": "chat",
            "dialect": "openai", "latency_ms": 1,
        }  # fmt: skip

    database.write(store)
    database.optimize()
    query = queries.logged_requests, queries.LogWanted(**wanted), 50
    walks = [step for step, statement in plans(database, *query) if "ORDER BY" in statement and "requests" in step]
    assert walks
    assert all(f"ix_requests_{index} " in step for step in walks)
    assert len(database.read(*query)) == 5
