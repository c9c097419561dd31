"""Several servers that start at once on a database with nothing in it."""

from __future__ import annotations

import re
from pathlib import Path

import requests
from sqlalchemy import create_engine, text

from tests.server import CLIENT_KEY, Server

WORKERS = 3


def test_workers_that_start_at_once_found_everything_once(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    shared = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "WEB_CONCURRENCY": str(WORKERS),
              "SECRET_KEY": "s" * 40, "KEY_ENCRYPTION_SECRET": "e" * 40,
              "API_KEYS": "AIzaSyTogether" + "t" * 25}  # fmt: skip
    with Server(tmp_path / "instance", **shared) as server:
        headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
        assert requests.get(f"{server.url}/v1/nothing", headers=headers, timeout=10).status_code == 404
        log = server.log_file.read_text()
    assert len(re.findall("The admin password is", log)) == 1
    assert "failed to boot" not in log
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        for table, number in (("pools", 1), ("keys", 1), ("memberships", 1), ("client_keys", 1)):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == number, table
    engine.dispose()
