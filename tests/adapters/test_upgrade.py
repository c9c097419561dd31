"""A database of the first release, full of what people keep in one, is brought to this version by a start alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import NullPool, create_engine, text

from pool.adapters.schema import locked, revisions
from pool.adapters.tables import db
from pool.core.keys import FOREVER
from tests.adapters import first_release
from tests.adapters.first_release import ANN, BOB, DEFAULT, RESEARCH, RESEARCH_BEFORE
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD, House, open_house
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream
from tests.web.visitor import Visitor

FLASH = "gemini-2.5-flash"
KEPT = (
    "attempts", "audit", "client_keys", "imports", "key_health", "keys", "memberships", "meta", "pools", "providers",
    "requests", "sessions", "settings", "traffic_hourly", "usage_hourly",
)  # fmt: skip
CHANGES: dict[str, set[str]] = {
    # What the requests of the journal count, which the start takes in.
    "keys": {"requests", "successes", "tokens", "cost_nano", "last_used_at", "updated_at"},
    "client_keys": {"last_used_at", "updated_at"},
    # The start says where the upstreams are.
    "providers": {"base_url", "updated_at"},
    "meta": {"number"},
}
PAGES = (
    "/dashboard", "/pools", "/pools/2", "/keys", "/keys/1", "/keys/import", "/clients", "/stat", "/requests",
    "/settings", "/audit", "/providers", "/account", "/bin", "/imports", "/jobs", "/playground",
)  # fmt: skip
RESTING = {GEMINI_KEYS[3], GEMINI_KEYS[5]}
"""Dead, and disabled until somebody says otherwise."""

GOOD = (DEFAULT, RESEARCH, RESEARCH_BEFORE, ANN, CLIENT_KEY)


@dataclass(frozen=True, slots=True)
class Left:
    """What the first release's server left: its folder, and the variables its successor starts with."""

    folder: Path
    variables: dict[str, str]

    @property
    def url(self) -> str:
        return self.variables["DATABASE_URL"]

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """All there is, each table by its primary key."""
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.connect() as connection:
            return {table: [dict(row) for row in connection.execute(_all_of(table)).mappings()] for table in KEPT}


def _all_of(table: str) -> Any:
    names = ", ".join(f'"{column.name}"' for column in db.metadata.tables[table].primary_key)
    return text(f"SELECT * FROM {table} ORDER BY {names}")


@pytest.fixture(params=["sqlite", "postgresql"])
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Left:
    folder = tmp_path / "instance"
    if request.param == "sqlite":
        return Left(folder, first_release.leave(folder))
    return Left(folder, first_release.leave_on_postgres(folder, request.getfixturevalue("postgres_url")))


def ask(house: House, token: str, model: str = FLASH) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    answer: Any = house.post("/v1/chat/completions", body, headers={"Authorization": f"Bearer {token}"})
    return int(answer.status_code)


def told(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in ("requests", "successes", "tokens_in", "tokens_out")}


def test_nothing_is_lost_and_it_serves_at_once(left: Left) -> None:
    before = left.rows()
    with open_house(left.folder, left.folder, PROXY_API_KEY=CLIENT_KEY, **left.variables) as house:
        after = left.rows()
        with locked(left.url) as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [(revisions()[-1],)]
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, db.metadata) == []
        hold_rows(before, after)
        hold_keys(house)
        hold_callers(house)
        assert house.keypool.preferences.current.max_attempts == 7


def hold_rows(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    """Every row is as it was, and what the journal held has joined them."""
    for table in set(KEPT) - {"traffic_hourly", "usage_hourly"}:
        changes = CHANGES.get(table, set())
        was = [{name: value for name, value in row.items() if name not in changes} for row in before[table]]
        now = [{name: row[name] for name in each} for row, each in zip(after[table], was, strict=False)]
        assert now == was, table
    assert len(before["requests"]) == first_release.REQUESTS
    assert len(after["requests"]) == first_release.REQUESTS + first_release.IN_THE_JOURNAL
    for table in ("traffic_hourly", "usage_hourly"):
        was, now = told(before[table]), told(after[table])
        assert now["requests"] == was["requests"] + first_release.IN_THE_JOURNAL, table
        assert now["tokens_out"] > was["tokens_out"], table


def hold_keys(house: House) -> None:
    """Every key opens, and is as dead or disabled as it was."""
    keypool = house.keypool
    keys = keypool.catalogue.keys
    opened = {keypool.inventory.unseal(key) for key in keys.values()}
    assert opened == {*GEMINI_KEYS[:7], GEMINI_KEYS[8], OPENAI_KEYS[0]}
    assert len(keys) == first_release.KEYS
    assert first_release.BINNED not in keys
    assert keys[first_release.DEAD].dead == "API key not valid. Please pass a valid API key."
    assert keys[first_release.DISABLED].disabled_until == FOREVER


def hold_callers(house: House) -> None:
    """Programs go on with what they were given, and the admin with the password; every page opens."""
    assert [ask(house, token) for token in GOOD] == [200] * len(GOOD)
    assert ask(house, BOB) == 401
    assert ask(house, DEFAULT, "gpt-4o-mini") == 200
    assert house.upstream.requests[-1].key == OPENAI_KEYS[0]
    assert {call.key for call in house.upstream.requests} & RESTING == set()
    visitor = Visitor(house, signed_in=False)
    assert visitor.post("/login", password=PASSWORD).headers["Location"] == "/dashboard"
    assert {path: visitor.get(path).status_code for path in PAGES} == dict.fromkeys(PAGES, 200)


def waiting(url: str) -> int:
    """How many servers stand before the lock, each with an old database in its eyes."""
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database ="
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
        return int(connection.execute(text(f"{query} {here}")).scalar_one())


@pytest.mark.slow
def test_two_servers_that_start_at_once_upgrade_it_once_and_both_serve(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    variables = {**first_release.leave_on_postgres(first, postgres_url), "REDIS_URL": redis_url}
    with ScriptedUpstream() as upstream, ExitStack() as stack:
        servers = [Server(folder, upstream.url, **variables) for folder in (first, second)]
        with ThreadPoolExecutor(2) as starters:
            with locked(postgres_url):
                starting = [starters.submit(server.start) for server in servers]
                upstream.wait_until(lambda: waiting(postgres_url) == 2, within_s=20)
            for each in starting:
                each.result()
        for server in servers:
            stack.callback(server.stop)
        said = [f"upgraded the database from revision 0001 to {revisions()[-1]}" in server.log for server in servers]
        assert sorted(said) == [False, True]
        for server in servers:
            for token in (RESEARCH, ANN, CLIENT_KEY):
                answer = requests.post(
                    f"{server.url}/v1/chat/completions",
                    json={"model": FLASH, "messages": [{"role": "user", "content": "Hello"}]},
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=10,
                )
                assert answer.status_code == 200, answer.text
