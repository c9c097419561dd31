"""The log of requests by every combination of what it can be asked for: what is found is what a look at all would."""

from itertools import product

import pytest
from sqlalchemy import insert

from pool.adapters import queries
from pool.adapters.queries import log
from pool.adapters.tables import Request

ENDS = ({}, {"failed": True}, {"outcome": "error"}, {"outcome": "ok"}, {"error_code": "overloaded"},
        {"word": "overloaded"}, {"word": "client_gone"}, {"word": "ok"})  # fmt: skip
ENDED = ((200, "ok", None), (503, "error", "overloaded"), (499, "client_gone", None), (429, "error", "rate_limited"))


@pytest.fixture
def rows(database):
    rows = [
        {
            "request_id": f"r-{n}", "at": 10.0 + n // 3, "pool_id": 1 + n % 2, "client_key_id": 1 + n % 3,
            "key_id": 1 + n % 5, "model_asked": "m", "model_used": "mn"[n % 7 == 0], "operation": "chat",
            "dialect": "openai", "latency_ms": 1,
            **dict(zip(("status", "outcome", "error_code"), ENDED[n % 4 * (n % 3 > 0)], strict=True)),
        }
        for n in range(120)
    ]  # fmt: skip
    database.write(lambda session: session.execute(insert(Request), rows) and None)
    return rows


def fits(row, wanted):
    told = row["error_code"] or row["outcome"]
    exact = {
        "pool_id": wanted.pool_id, "client_key_id": wanted.client_id, "key_id": wanted.key_id,
        "model_used": wanted.model or None, "status": wanted.status, "outcome": wanted.outcome or None,
        "error_code": wanted.error_code or None,
    }  # fmt: skip
    return (
        all(row[name] == value for name, value in exact.items() if value is not None)
        and not (wanted.failed and row["outcome"] == "ok")
        and wanted.word in ("", told)
        and row["at"] >= (wanted.since or 0.0)
    )


@pytest.mark.parametrize("probed", [2, log.PROBED])
@pytest.mark.parametrize("end", ENDS, ids=str)
def test_the_log_is_the_same_along_whatever_index_it_is_read(database, rows, monkeypatch, end, probed):
    monkeypatch.setattr(log, "PROBED", probed)
    found = 0
    for pool_id, client_id, key_id, model, status, since in product(
        (None, 1), (None, 2), (None, 4), ("", "m"), (None, 200, 503), (None, 30.0)
    ):
        wanted = queries.LogWanted(pool_id, client_id, key_id, model, status, since=since, **end)
        answer = database.read(queries.logged_requests, wanted, 200)
        expected = [row["request_id"] for row in reversed(rows) if fits(row, wanted)]
        assert [each.request_id for each in answer] == expected, wanted
        found += len(expected)
    assert found
