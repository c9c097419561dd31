"""The log of a real server: every line of it in the format that was asked for, with the id its answer names."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.house import GEMINI_KEYS, PASSWORD
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream, gemini_error

pytestmark = pytest.mark.slow

CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}], "user": "ann"}


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


def start(upstream: ScriptedUpstream, template: Path, folder: Path, **variables: str) -> Server:
    shutil.copytree(template, folder / "instance")
    return Server(folder / "instance", upstream.url, API_KEYS=",".join(GEMINI_KEYS[:2]), **variables)


def chat(session: requests.Session, server: Server) -> str:
    """The id that the answer names."""
    headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
    answer = session.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=30)
    assert answer.status_code == 200
    return answer.headers["X-Keypool-Request-Id"]


def break_pages(server: Server) -> None:
    with closing(sqlite3.connect(server.instance / "pool.sqlite")) as connection:
        connection.execute("ALTER TABLE jobs RENAME TO jobs_of_before")
        connection.commit()


def test_every_line_is_json_and_names_its_request(
    upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path
) -> None:
    quota = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    upstream.for_key(GEMINI_KEYS[0], gemini_error(429, quota_id=quota, retry_delay="38s"))
    with start(upstream, instance_template, tmp_path, LOG_FORMAT="json") as server, requests.Session() as session:
        ids = [chat(session, server) for _ in range(3)]
        break_pages(server)
        admin = {"Authorization": f"Bearer {PASSWORD}"}
        broken = session.get(f"{server.url}/admin/jobs", headers=admin, timeout=30)
        assert broken.status_code == 500
    lines: list[dict[str, Any]] = [json.loads(line) for line in server.log.splitlines()]
    of = {each: [line for line in lines if line.get("request_id") == each] for each in ids}
    for request_id in ids:
        said = [line["message"] for line in of[request_id]]
        assert "ignored, as Gemini has no such field: user" in said
        assert said[-1].startswith("chat of 'gemini-2.5-flash' ended: ok, status 200, attempts ")
        assert any("key 2 of gemini" in each for each in said)
    refused = next(said for each in ids if len(said := [line["message"] for line in of[each]]) > 3)
    assert any(each.startswith("attempt 1: key 1 of gemini, model 'gemini-2.5-flash', chosen by") for each in refused)
    assert any(each.endswith("quota_minute, status 429, blamed on key 1: yes, next: other_key") for each in refused)
    assert any(re.match(r"key 1 rests for \d\d s: quota_minute, model 'gemini-2.5-flash'", each) for each in refused)
    (failed,) = [line for line in lines if line.get("request_id") == broken.headers["X-Keypool-Request-Id"]]
    assert "no such table" in failed["exception"]
    assert failed["level"] == "error"
    of_the_server = {line["message"] for line in lines if line["logger"] == "gunicorn.error"}
    assert any("Starting gunicorn" in message for message in of_the_server)
    assert any("Keypool is at http://" in message for message in of_the_server)
    assert len({line["pid"] for line in lines}) == 2
    assert {"debug", "info", "error"} <= {line["level"] for line in lines}


def test_a_log_level_of_the_environment_wins(
    upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path
) -> None:
    with start(upstream, instance_template, tmp_path, LOG_LEVEL="error") as server, requests.Session() as session:
        chat(session, server)
    assert server.log == ""
