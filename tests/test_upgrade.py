"""A database of the first release, full of what people keep in one, is brought to this version by a start alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text

from pool.adapters.schema import MIGRATIONS, locked, revisions
from pool.adapters.tables import db
from tests.house import GEMINI_KEYS, House, open_house

FIRST = "0001"
KEPT = ("pools", "keys", "memberships", "client_keys", "settings", "requests", "attempts", "traffic_hourly",
        "usage_hourly", "meta", "providers", "learned_limits")  # fmt: skip
FLASH = "gemini-2.5-flash"


def filled(house: House) -> str:
    """Some of everything; an auth key to call with."""
    pool_id, token = house.keypool.inventory.create_pool("research", policy="weighted", allowed_models=["gemini-*"])
    house.add_keys(*GEMINI_KEYS[:2], note="ours", tags=("paid",), project="lab-1")
    house.add_keys(GEMINI_KEYS[2], pool_id=pool_id, weight=3)
    house.keypool.inventory.create_client("Ann", pool_id)
    house.set(max_attempts=7)
    for _ in range(3):
        house.chat(FLASH)
    house.records()
    return token


def rows(house: House) -> dict[str, list[dict[str, Any]]]:
    def of(session: Any, table: str) -> list[dict[str, Any]]:
        names = ", ".join(f'"{column.name}"' for column in db.metadata.tables[table].primary_key)
        return [dict(row) for row in session.execute(text(f"SELECT * FROM {table} ORDER BY {names}")).mappings()]

    def read(session: Any) -> dict[str, list[dict[str, Any]]]:
        return {table: of(session, table) for table in KEPT}

    return house.keypool.database.read(read)


def begin_anew_at_the_first_release(url: str) -> None:
    with locked(url) as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, FIRST)
        assert not inspect(connection).has_table("jobs")


def test_nothing_is_lost_and_it_serves_at_once(instance_template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    with open_house(instance_template, folder) as house:
        token = filled(house)
        before, url = rows(house), str(house.keypool.database.url)
    begin_anew_at_the_first_release(url)
    with open_house(instance_template, folder) as house:
        after = rows(house)
        with locked(url) as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == revisions()[-1]
        for table in KEPT:
            newer = {"revision", "updated_at", "base_url"} if table != "meta" else {"number"}
            was = [{name: value for name, value in row.items() if name not in newer} for row in before[table]]
            now = [{name: row[name] for name in each} for row, each in zip(after[table], was, strict=True)]
            assert now == was, table
        headers = {"Authorization": f"Bearer {token}"}
        body = {"model": FLASH, "messages": [{"role": "user", "content": "Hello"}]}
        assert house.post("/v1/chat/completions", body, headers=headers).status_code == 200
        assert house.upstream.requests[-1].key == GEMINI_KEYS[2]
        assert house.keypool.preferences.current.max_attempts == 7
