"""The setting `log_level` under a real server of several workers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.adapters.redis_kit import eventually
from tests.house import GEMINI_KEYS, PASSWORD
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream

pytestmark = pytest.mark.slow

CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
WORKERS = 2
CAUGHT_UP_S = 1.5


def ask(server: Server, times: int = 10) -> None:
    for _ in range(times):  # each by a connection of its own, so that all workers get some
        headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
        assert requests.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=30).ok


def set_level(server: Server, level: str) -> None:
    admin = {"Authorization": f"Bearer {PASSWORD}"}
    answer = requests.patch(f"{server.url}/admin/settings", json={"log_level": level}, headers=admin, timeout=30)
    assert answer.status_code == 200, answer.text


def lines(server: Server, since: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.splitlines()[since:]]


def debugging(server: Server, since: int = 0) -> set[int]:
    """The workers that wrote a line of debugging."""
    ask(server)
    return {line["pid"] for line in lines(server, since) if line["level"] == "debug"}


def test_the_level_is_live_in_every_worker_and_for_the_servers_own_lines(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    shared = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "WEB_CONCURRENCY": str(WORKERS),
              "SECRET_KEY": "s" * 40, "KEY_ENCRYPTION_SECRET": "e" * 40, "ADMIN_PASSWORD": PASSWORD,
              "API_KEYS": GEMINI_KEYS[0], "LOG_FORMAT": "json", "LOG_LEVEL": ""}  # fmt: skip
    with ScriptedUpstream() as upstream, Server(tmp_path / "instance", upstream.url, **shared) as server:
        assert debugging(server) == set()
        set_level(server, "debug")
        eventually(lambda: len(debugging(server)) == WORKERS, within_s=20)
        workers = debugging(server)
        set_level(server, "info")
        eventually(lambda: not debugging(server, len(lines(server))), within_s=20)
        time.sleep(CAUGHT_UP_S)
        assert not debugging(server, len(lines(server)))
        set_level(server, "error")
        time.sleep(CAUGHT_UP_S)
        quiet_since = len(lines(server))
    booted, at_the_end = lines(server), lines(server, quiet_since)
    assert workers <= {line["pid"] for line in booted if "Booting worker" in line["message"]}
    assert at_the_end and not workers & {line["pid"] for line in at_the_end}
