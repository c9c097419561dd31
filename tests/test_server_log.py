"""The log of a real server: every line of it in the format that was asked for, with the id its answer names."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.house import GEMINI_KEYS, PASSWORD
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream, gemini_error

pytestmark = pytest.mark.slow

CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}], "user": "ann"}

FAILING = """
from pathlib import Path
__file__ = str(Path("gunicorn.conf.py").absolute())
exec(Path(__file__).read_text())
ready = post_worker_init


def post_worker_init(worker):
    import gevent

    def fail():
        raise ValueError("Consumer 'api_key:{secret}' has been suspended.")

    ready(worker)
    gevent.spawn_later(0.0, fail)
"""
"""gunicorn's configuration with a greenlet that fails and that nobody looks after."""


@dataclass(frozen=True)
class Life:
    """Of a server with LOG_FORMAT=json: its log, the ids that chats were told, that of a page that broke, and what
    came back of one connection that began well and went on with no HTTP."""

    text: str
    chats: list[str]
    broken: str
    answered: bytes

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def said(self, request_id: str) -> list[str]:
        return [line["message"] for line in self.lines if line.get("request_id") == request_id]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def life(upstream: ScriptedUpstream, instance_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Life:
    folder = tmp_path_factory.mktemp("life")
    quota = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    upstream.for_key(GEMINI_KEYS[0], gemini_error(429, quota_id=quota, retry_delay="38s"))
    server = prepared(upstream, instance_template, folder, LOG_FORMAT="json")
    server.config = str(folder / "failing.conf.py")
    Path(server.config).write_text(FAILING.format(secret=GEMINI_KEYS[0]))
    with server, requests.Session() as session:
        chats = [chat(session, server) for _ in range(3)]
        answered = mistaken(server)
        break_pages(server)
        admin = {"Authorization": f"Bearer {PASSWORD}"}
        broken = session.get(f"{server.url}/admin/jobs", headers=admin, timeout=30)
        assert broken.status_code == 500
        upstream.wait_until(lambda: "ValueError" in server.log, within_s=5)
    return Life(server.log, chats, broken.headers["X-Keypool-Request-Id"], answered)


def prepared(upstream: ScriptedUpstream, template: Path, folder: Path, **variables: str) -> Server:
    shutil.copytree(template, folder / "instance")
    return Server(folder / "instance", upstream.url, API_KEYS=",".join(GEMINI_KEYS[:2]), **variables)


def chat(session: requests.Session, server: Server) -> str:
    """The id that the answer names."""
    headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
    answer = session.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=30)
    assert answer.status_code == 200
    return answer.headers["X-Keypool-Request-Id"]


def mistaken(server: Server) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n no request at all\r\n\r\n")
        answered = b""
        while piece := sock.recv(65_536):
            answered += piece
    return answered


def break_pages(server: Server) -> None:
    with closing(sqlite3.connect(server.instance / "pool.sqlite")) as connection:
        connection.execute("ALTER TABLE jobs RENAME TO jobs_of_before")
        connection.commit()


def test_every_line_is_json_the_servers_own_too(life: Life) -> None:
    of_the_server = " ".join(line["message"] for line in life.lines if line["logger"] == "gunicorn.error")
    assert "Starting gunicorn" in of_the_server
    assert "Keypool is at http://" in of_the_server
    assert "Shutting down: Master" in of_the_server
    assert len({line["pid"] for line in life.lines}) == 2
    assert {"debug", "info", "error"} <= {line["level"] for line in life.lines}


def test_a_request_tells_at_debug_which_keys_it_took_and_what_came_of_them(life: Life) -> None:
    told = [life.said(request_id) for request_id in life.chats]
    for lines in told:
        assert "ignored, as Gemini has no such field: user" in lines
        assert re.match(r"chat of 'gemini-2.5-flash' ended: ok, status 200, attempts [12], \d+ ms", lines[-1])
    refused = "\n".join(next(lines for lines in told if "attempts 2" in lines[-1]))
    assert re.search("^attempt 1: key 1 of gemini, model 'gemini-2.5-flash', chosen by round_robin,", refused, re.M)
    assert re.search("quota_minute, status 429, blamed on key 1: yes, next: other_key$", refused, re.M)
    assert re.search(r"^key 1 rests for \d\d s: quota_minute, model 'gemini-2.5-flash'$", refused, re.M)
    assert re.search("^attempt 2: key 2 of gemini, .*, passed over: {'quota_minute': 1, 'tried': 1}$", refused, re.M)


def test_a_page_that_breaks_is_found_by_the_id_of_its_answer(life: Life) -> None:
    (failed,) = [line for line in life.lines if line.get("request_id") == life.broken]
    assert failed["level"] == "error"
    assert failed["exception"].startswith("Traceback ")
    assert "no such table" in failed["exception"]


def test_a_mistake_behind_a_request_has_an_id_of_its_own(life: Life) -> None:
    assert re.findall(rb"HTTP/1.1 (\d+)", life.answered) == [b"200", b"400"]
    assert len(set(re.findall(rb"X-Keypool-Request-Id: (req_\w+)", life.answered))) == 2


def test_what_no_greenlet_caught_is_a_line_like_others_and_without_keys(life: Life) -> None:
    (failed,) = [line for line in life.lines if line["message"] == "Greenlet failed"]
    assert failed["level"] == "error"
    assert "has been suspended" in failed["exception"]
    assert GEMINI_KEYS[0] not in life.text


def test_a_log_level_of_the_environment_wins(
    upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path
) -> None:
    with prepared(upstream, instance_template, tmp_path, LOG_LEVEL="error") as server, requests.Session() as session:
        chat(session, server)
    assert server.log == ""
