"""The log of requests and the audit trail through the API: filtered, page by page, and quick however long they are."""

import time

import pytest
from sqlalchemy import text

from pool.adapters import queries
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.stores import on_sqlite
from tests.upstream import gemini_error

ADMIN = {"X-Admin-Key": PASSWORD}
LOG, TRAIL = "/admin/requests", "/admin/audit"


@pytest.fixture
def get(house, passwords):
    client = house.app.test_client()

    def send(path, expected=200, /, **query):
        answer = client.get(path, query_string=query, headers=ADMIN)
        assert answer.status_code == expected, answer.text[:500]
        return answer.json

    return send


@pytest.fixture
def busy(house):
    """Two good requests, one a user key's, one that another key rescued, and one its caller got wrong."""
    ids = house.add_keys(*GEMINI_KEYS[:2]) + house.add_keys(OPENAI_KEYS[0])
    client_id, token = house.keypool.inventory.create_client("ana", house.default_pool_id)
    house.chat()
    house.post("/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
               headers={"Authorization": f"Bearer {token}"})  # fmt: skip
    house.upstream.for_key(GEMINI_KEYS[1], gemini_error(429, retry_delay="38s"))
    house.chat()
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(400, message="Invalid temperature"))
    house.chat()
    house.keypool.recorder.drain()
    return {"keys": ids, "client": client_id}


def test_the_log_has_every_request_newest_first_without_a_secret(house, get, busy):
    told = get(LOG)
    assert [each["status"] for each in told["requests"]] == [400, 200, 200, 200]
    assert told["next"] is None
    of_ana = told["requests"][2]
    assert (of_ana["client"], of_ana["pool"], of_ana["model"]) == ("ana", "default", "gpt-4o")
    assert (of_ana["key_id"], of_ana["key"]) == (busy["keys"][2], "sk-proj-...yyyy")
    assert of_ana["outcome"] == "ok"
    assert told["requests"][0]["error_code"]
    assert not any(secret in str(told) for secret in (*GEMINI_KEYS[:2], OPENAI_KEYS[0], house.auth_key))


def test_one_request_is_told_with_its_attempts_by_either_of_its_ids(get, busy):
    rescued = get(LOG)["requests"][1]
    told = get(f"{LOG}/{rescued['id']}")
    assert told == get(f"{LOG}/{rescued['request_id']}")
    assert [(each["status"], each["outcome"], each["key_id"]) for each in told["tries"]] == [
        (429, "quota_minute", busy["keys"][1]), (200, "ok", busy["keys"][0]),
    ]  # fmt: skip
    assert told["tries"][0]["why"] == "round_robin"
    for unknown in ("999999", "req_nothing", "%00", "-1"):
        assert get(f"{LOG}/{unknown}", 404)["error"]["code"] in ("request_not_found", "not_found")


def test_every_filter_finds_its_own(house, get, busy):
    def found(**query):
        return [each["status"] for each in get(LOG, **query)["requests"]]

    assert found(client=busy["client"]) == found(model="gpt-4o") == found(key=busy["keys"][2]) == [200]
    assert found(status=400) == found(outcome="error") == [400]
    assert found(error_code=get(LOG, status=400)["requests"][0]["error_code"]) == [400]
    assert found(status=200, model="gemini-2.5-flash") == [200, 200]
    assert found(outcome="ok", limit=2) == [200, 200]
    assert len(found(pool="default")) == len(found(pool=house.default_pool_id)) == 4
    assert found(pool=999) == found(model="nothing") == found(since=time.time() + 60) == []
    assert len(found(since=time.time() - 60, until=time.time() + 60)) == 4
    assert get(LOG, 404, pool="nobody")["error"]["code"] == "pool_not_found"


def test_pages_follow_each_other_without_a_gap_and_whatever_comes_in(house, get, busy):
    first = get(LOG, limit=2)
    house.chat("gpt-4o")
    house.keypool.recorder.drain()
    second = get(LOG, limit=2, after=first["next"])
    assert [each["id"] for each in first["requests"] + second["requests"]] == [4, 3, 2, 1]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [
        (LOG, {"limit": 0}, "limit"),
        (LOG, {"limit": 501}, "limit"),
        (LOG, {"status": "bad"}, "status"),
        (LOG, {"after": "nonsense"}, "after"),
        (LOG, {"after": "W10"}, "after"),
        (LOG, {"since": "nan"}, "since"),
        (LOG, {"key": "x"}, "key"),
        (LOG, {"nothing": 1}, "nothing"),
        (TRAIL, {"after": "!"}, "after"),
        (TRAIL, {"until": "tomorrow"}, "until"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_400_and_named(get, path, query, param):
    assert get(path, 400, **query)["error"]["param"] == param


def test_the_latest_are_told_as_a_predecessor_had_them(get, busy):
    told = get("/admin/logs/recent", limit=3)
    assert (told["success"], told["total"]) == (True, 3)
    assert told["logs"] == get(LOG, limit=3)["requests"]


def test_the_trail_tells_who_changed_what_and_what_was_there(house, get):
    client = house.app.test_client()
    for value in (7, 8):
        client.patch("/admin/settings", json={"max_attempts": value}, headers=ADMIN)
    client.post("/admin/providers", json={"slug": "groq", "base_url": "https://groq.test"}, headers=ADMIN)
    newest, second, first = get(TRAIL)["audit"]
    assert (newest["action"], newest["object"], newest["who"]) == ("provider.add", "provider groq", "admin")
    assert (second["via"], second["ip"]) == ("password", "127.0.0.1")
    assert (first["before"], first["after"]) == ({"max_attempts": 50}, {"max_attempts": 7})
    assert [each["id"] for each in get(TRAIL, action="settings.change")["audit"]] == [second["id"], first["id"]]
    assert [each["id"] for each in get(TRAIL, action="provider.")["audit"]] == [newest["id"]]
    assert [each["id"] for each in get(TRAIL, object="settings", who="admin")["audit"]] == [second["id"], first["id"]]
    assert get(TRAIL, until=first["at"])["audit"] == get(TRAIL, who="ana")["audit"] == []
    page = get(TRAIL, limit=2)
    assert [each["id"] for each in get(TRAIL, after=page["next"], since=first["at"])["audit"]] == [first["id"]]


def plans(house, wanted):
    """How SQLite goes about a page of the log."""

    def explained(session):
        seen = []
        connection = session.connection()
        run = connection.execute

        def spy(statement, *rest, **more):
            compiled = statement.compile(connection.engine, compile_kwargs={"literal_binds": True})
            seen.extend(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}"))
            return run(statement, *rest, **more)

        session.execute = spy
        queries.logged_requests(session, wanted, 50, (time.time(), 10**9))
        return " ".join(seen)

    return house.keypool.database.read(explained)


@on_sqlite
@pytest.mark.parametrize(
    "wanted",
    [{}, {"pool_id": 1}, {"client_id": 1}, {"key_id": 1}, {"model": "m"}, {"status": 429}, {"outcome": "error"},
     {"error_code": "rate_limit_exceeded"}, {"status": 200}, {"since": 1.0, "until": 2e9}],
)  # fmt: skip
def test_a_page_is_a_walk_along_an_index_and_never_a_sort(house, wanted):
    plan = plans(house, queries.LogWanted(**wanted))
    assert "USING INDEX ix_requests_" in plan
    assert "SCAN requests " not in plan.replace("SCAN requests USING", "")
    assert "TEMP B-TREE" not in plan


@on_sqlite
@pytest.mark.alone
@pytest.mark.slow
def test_a_page_of_a_million_requests_takes_at_most_three_tenths_of_a_second(house, get):
    grown = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) INSERT INTO requests "
        "(request_id, at, pool_id, client_key_id, key_id, operation, dialect, model_asked, model_used, stream, status,"
        " outcome, error_code, latency_ms, tokens_in, tokens_out, tokens_cached, tokens_thinking, estimated, cost_nano,"
        " attempts, ip) SELECT 'r' || i, 1e9 + i, 1 + i % 5, i % 50, 1 + i % 1000, 'chat', 'openai', 'm' || (i % 20),"
        " 'm' || (i % 20), 0, CASE WHEN i % 100 = 0 THEN 429 ELSE 200 END, CASE WHEN i % 100 = 0 THEN 'error' ELSE"
        " 'ok' END, NULL, 100, 1, 1, 0, 0, 0, 0, 1, '' FROM n"
    )
    house.keypool.database.write(lambda session: session.execute(text(grown)) and None)
    house.keypool.database.optimize()
    for query in ({}, {"pool": 3}, {"key": 77}, {"model": "m3"}, {"status": 429}, {"outcome": "error", "pool": 2},
                  {"client": 7, "model": "m7"}, {"client": 7, "model": "m8"}):  # fmt: skip
        get(LOG, **query)
        began = time.perf_counter()
        page = get(LOG, **query)
        get(LOG, after=page["next"] or "", **query)
        assert time.perf_counter() - began < 0.6, query
