"""Under a real gunicorn: streams in number, clients that leave, restarts, and what must not get in."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gevent
import orjson
import pytest
import requests
from gevent.event import Event
from gevent.pool import Group

from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream, answer, gemini_error, gemini_stream, sse, stall, stall_after

pytestmark = pytest.mark.slow

HEADERS = {"Authorization": f"Bearer {CLIENT_KEY}"}
CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
WORDS = [f"word{n} " for n in range(20)]


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def server(upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path) -> Iterator[Server]:
    with start(upstream, instance_template, tmp_path) as server:
        yield server


def start(upstream: ScriptedUpstream, template: Path, folder: Path, **variables: str) -> Server:
    instance = folder / "instance"
    shutil.copytree(template, instance, dirs_exist_ok=True)
    keys = {"API_KEYS": ",".join(GEMINI_KEYS[:4]), "OPENAI_API_KEYS": OPENAI_KEYS[0]}
    return Server(instance, upstream.url, **keys, **variables)


def chat(server: Server, **fields: Any) -> requests.Response:
    stream = bool(fields.get("stream"))
    return requests.post(
        f"{server.url}/v1/chat/completions", json=CHAT | fields, headers=HEADERS, stream=stream, timeout=30
    )


def events(body: bytes) -> list[Any]:
    return [orjson.loads(part[6:]) for part in body.split(b"\n\n") if part.startswith(b"data: {")]


def text_of(body: bytes) -> str:
    return "".join(c["delta"].get("content") or "" for e in events(body) for c in e.get("choices", []))


def raw_request(server: Server, head: bytes, body: bytes = b"", wait_s: float = 5.0) -> bytes:
    """Send bytes as they are; what comes back until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait_s) as sock:
        sock.sendall(head + body)
        answered = b""
        try:
            while piece := sock.recv(65536):
                answered += piece
        except TimeoutError:
            pass
        return answered


def test_two_hundred_streams_at_once_complete_whole(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(sse(gemini_stream(WORDS), delay_s=0.02))

    def one() -> str:
        response = chat(server, stream=True)
        body = b"".join(response.iter_content(None))
        assert body.endswith(b"data: [DONE]\n\n")
        return text_of(body)

    group = Group()
    results = [group.spawn(one) for _ in range(200)]
    group.join(timeout=60)
    assert [result.value for result in results] == ["".join(WORDS)] * 200


@pytest.mark.parametrize("silence", ["before the head", "after the first event"])
def test_when_clients_leave_a_silent_upstream_is_let_go_at_once(
    server: Server, upstream: ScriptedUpstream, silence: str
) -> None:
    first_only = stall_after(sse(gemini_stream(["one ", "two"])), 60, events=1)
    upstream.script(stall(60) if silence == "before the head" else first_only)
    body = orjson.dumps(CHAT | {"stream": True})
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT_KEY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    clients = []
    for _ in range(20):
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(head + body)
        clients.append(sock)
    upstream.wait_until(lambda: upstream.open_connections >= 20, within_s=5)
    for sock in clients:
        sock.close()
    upstream.wait_until(lambda: upstream.open_connections == 0, within_s=2)
    time.sleep(1.5)
    assert server.rows("SELECT DISTINCT status, outcome FROM requests") == [(499, "client_gone")]
    assert "Traceback" not in server.log


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models"])
@pytest.mark.parametrize("extra", [b"", b"\n", POST], ids=["alone", "a stray byte", "a pipelined request"])
def test_a_client_that_leaves_is_noticed_whatever_it_sent_behind(
    server: Server, upstream: ScriptedUpstream, path: str, extra: bytes
) -> None:
    upstream.script(stall(60))
    body = orjson.dumps(CHAT) if "chat" in path else b""
    method = "POST" if body else "GET"
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT_KEY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.sendall(head + body + extra)
    upstream.wait_until(lambda: upstream.open_connections >= 1, within_s=5)
    sock.close()
    upstream.wait_until(lambda: upstream.open_connections == 0, within_s=2)


def test_a_plain_request_whose_client_leaves_is_let_go_too(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(stall(60))
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=HEADERS, timeout=0.5)
    upstream.wait_until(lambda: upstream.open_connections == 0, within_s=2)


def test_a_silent_stream_is_kept_alive_by_blank_lines_and_may_still_move_to_another_key(
    upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path
) -> None:
    with start(upstream, instance_template, tmp_path) as server:
        _set(server, heartbeat_s=0.3)
        server.stop()
        server.start()
        late = stall(1.0)
        upstream.script(lambda request: late if request.key == GEMINI_KEYS[0] else sse(gemini_stream(["Hel", "lo"])))
        response = chat(server, stream=True)
        assert response.status_code == 200
        body = b"".join(response.iter_content(None))
        assert body.startswith(b"\n")
        assert text_of(body) == "Hello"


def _set(server: Server, **settings: Any) -> None:
    """Change settings in the database of a server, as another start would find them."""
    with closing(sqlite3.connect(server.instance / "pool.sqlite", timeout=10)) as connection, connection:
        for name, value in settings.items():
            row = (name, orjson.dumps(value).decode(), time.time())
            connection.execute("INSERT OR REPLACE INTO settings (name, value, updated_at) VALUES (?, ?, ?)", row)


def test_a_body_past_the_limit_is_413_also_when_chunked(server: Server, upstream: ScriptedUpstream) -> None:
    def megabytes(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b" " * 1_000_000

    for path, code in (("/v1/chat/completions", "request_too_large"), ("/v1beta/models/m:generateContent", 413)):
        chunked = requests.post(server.url + path, data=megabytes(60), headers=HEADERS, timeout=30)
        assert chunked.status_code == 413
        assert chunked.json()["error"]["code"] == code
        sized = requests.post(server.url + path, data=b" " * 60_000_000, headers=HEADERS, timeout=30)
        assert sized.status_code == 413
    assert upstream.requests == []


def test_a_stranger_is_refused_before_the_body_is_read(server: Server) -> None:
    head = POST + b"Authorization: Bearer nobody\r\nContent-Length: 9000000\r\n\r\n"
    began = time.monotonic()
    assert raw_request(server, head).startswith(b"HTTP/1.1 401 ")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    "head",
    [
        POST + b"X-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        POST + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Bad Header: y\r\n\r\n",
        b"GET /v1/models HTTP/9.9\r\n\r\n",
    ],
    ids=["long header", "many headers", "two framings", "space in a name", "strange version"],
)
def test_absurd_heads_are_refused(server: Server, head: bytes) -> None:
    answered = raw_request(server, head)
    assert answered.split(b" ", 2)[1] in (b"400", b"431", b"501", b"505")
    assert b"X-Keypool-Request-Id: req_" in answered
    assert b'{"error":{' in answered
    assert b"aaaaaaaa" not in answered


def test_half_open_heads_end_after_ten_seconds_and_disturb_nobody(server: Server) -> None:
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(500)]
    for sock in sockets:
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")
    began = time.monotonic()
    assert chat(server).status_code == 200
    assert time.monotonic() - began < 1
    sockets[0].settimeout(15)
    assert sockets[0].recv(1000) == b""
    assert 8 < time.monotonic() - began < 13
    for sock in sockets:
        sock.close()


def test_nothing_acknowledged_is_lost_when_the_worker_is_killed(server: Server, upstream: ScriptedUpstream) -> None:
    acknowledged: list[str] = []
    enough = Event()

    def keep_asking() -> None:
        with requests.Session() as session:
            while not enough.is_set():
                try:
                    response = session.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=HEADERS, timeout=5)
                    if response.status_code == 200:
                        acknowledged.append(response.headers["X-Keypool-Request-Id"])
                except requests.RequestException:
                    gevent.sleep(0.05)

    group = Group()
    for _ in range(8):
        group.spawn(keep_asking)
    for _ in range(3):
        gevent.sleep(0.7)
        server.kill_worker()
    gevent.sleep(1)
    server.kill()
    enough.set()
    group.join()
    server.start()
    stored = {row[0] for row in server.rows("SELECT request_id FROM requests WHERE outcome = 'ok'")}
    assert len(acknowledged) > 20
    assert set(acknowledged) <= stored


def test_sigterm_lets_streams_finish_and_writes_their_rows(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(sse(gemini_stream(WORDS), delay_s=0.1))

    def one() -> str:
        return text_of(b"".join(chat(server, stream=True).iter_content(None)))

    running = [gevent.spawn(one) for _ in range(10)]
    idle = socket.create_connection(("127.0.0.1", server.port))
    upstream.wait_until(lambda: upstream.open_connections >= 10, within_s=5)
    began = time.monotonic()
    stopped = gevent.spawn(server.stop)
    gevent.joinall(running, timeout=20)
    assert [each.value for each in running] == ["".join(WORDS)] * 10
    assert stopped.get() == 0
    assert time.monotonic() - began < 8
    idle.close()
    assert server.rows("SELECT count(*) FROM requests WHERE outcome = 'ok'") == [(10,)]


def test_a_load_balancer_is_told_before_connections_are_refused(
    upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path
) -> None:
    with start(upstream, instance_template, tmp_path, DRAIN_DELAY_S="3") as server:
        assert requests.get(f"{server.url}/health", timeout=5).status_code == 200
        stopped, began = gevent.spawn(server.stop), time.monotonic()
        while (told := requests.get(f"{server.url}/health", timeout=5)).status_code == 200:
            gevent.sleep(0.05)
        assert (told.status_code, told.json()["draining"]) == (503, True)
        alive = requests.get(f"{server.url}/healthz", timeout=5)
        assert (alive.status_code, alive.json()) == (200, {"status": "draining"})
        assert time.monotonic() - began < 2
        os.kill(server.worker_pid(), signal.SIGTERM)  # as a service manager that tells every process
        while time.monotonic() - began < 2.5:
            assert chat(server).status_code == 200
            gevent.sleep(0.1)
        assert stopped.get() == 0
        assert time.monotonic() - began > 3


def test_a_reload_refuses_nobody(server: Server) -> None:
    seen: list[int] = []
    over = Event()

    def ask() -> None:
        while not over.is_set():
            seen.append(chat(server).status_code)  # each on a connection of its own
            gevent.sleep(0.01)

    callers = [gevent.spawn(ask) for _ in range(4)]
    before = server.worker_pid()
    os.kill(server.process.pid, signal.SIGHUP)
    deadline = time.monotonic() + 15
    while server.worker_pid() == before and time.monotonic() < deadline:
        gevent.sleep(0.1)
    gevent.sleep(2)
    over.set()
    gevent.joinall(callers, raise_error=True)
    assert server.worker_pid() != before
    assert len(seen) > 20
    assert set(seen) == {200}


def test_a_stream_that_outlasts_the_drain_ends_with_an_error_event(
    upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path
) -> None:
    with start(upstream, instance_template, tmp_path) as server:
        _set(server, graceful_timeout_s=4)
        server.stop()
        server.start()
        upstream.script(sse(gemini_stream([f"word{n} " for n in range(300)]), delay_s=0.1))
        running = gevent.spawn(lambda: b"".join(chat(server, stream=True).iter_content(None)))
        upstream.wait_until(lambda: upstream.open_connections >= 1, within_s=5)
        assert server.stop() == 0
        assert events(running.get(timeout=5))[-1]["error"]["code"] == "server_draining"
        assert server.rows("SELECT outcome, error_code FROM requests") == [("broken", "server_draining")]


def test_a_body_framed_wrongly_is_400(server: Server) -> None:
    head = POST + f"Authorization: Bearer {CLIENT_KEY}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    answered = raw_request(server, head, b"zz\r\n")
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"invalid_body"' in answered
    assert "Traceback" not in server.log


def test_what_lies_in_the_instance_is_nobody_elses_to_read(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as server:
        found = [server.instance, *server.instance.rglob("*")]
        assert [path for path in found if path.stat().st_mode & 0o077] == []


def test_what_is_known_of_keys_survives_a_kill(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.for_key(GEMINI_KEYS[0], gemini_error(400, reason="API_KEY_INVALID"))
    day = gemini_error(429, retry_delay="5s", quota_id="GenerateRequestsPerDayPerProjectPerModel-FreeTier")
    upstream.for_key(GEMINI_KEYS[1], day)
    for _ in range(4):
        assert chat(server).status_code == 200
    server.kill()
    server.start()
    before = len(upstream.requests)
    for _ in range(6):
        assert chat(server).status_code == 200
    assert {request.key for request in upstream.requests[before:]} == set(GEMINI_KEYS[2:4])


def test_limits_quotas_and_entitlement_survive_a_kill(server: Server, upstream: ScriptedUpstream) -> None:
    key, model = GEMINI_KEYS[0], CHAT["model"]
    never = gemini_error(429, message=f"Quota exceeded, limit: 0, model: {model}", quota_value="0")
    day = gemini_error(429, quota_id="GenerateRequestsPerDayPerProjectPerModel-FreeTier", quota_value="20")
    upstream.for_key(key, never)
    upstream.for_key(GEMINI_KEYS[1], day)
    for _ in range(5):
        assert chat(server).status_code == 200
    server.kill()
    with sqlite3.connect(server.instance / "pool.sqlite") as database:
        database.execute("UPDATE client_keys SET rpd_limit = 7")
    server.start()
    # Five of the day's seven were asked before.
    assert [chat(server).status_code for _ in range(4)] == [200, 200, 429, 429]
    known = set(server.rows("SELECT reason, model FROM key_health"))
    assert {("not_entitled", model), ("quota_day", model)} <= known
    assert (20, "day", "requests") in server.rows('SELECT limit_value, "window", unit FROM learned_limits')
    assert len(upstream.requests_of(key)) == 1


def test_no_secret_is_found_in_the_instance_or_the_log(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.for_key(
        GEMINI_KEYS[0], gemini_error(403, message=f"Consumer 'api_key:{GEMINI_KEYS[0]}' has been suspended.")
    )
    for _ in range(4):
        chat(server)
    requests.get(f"{server.url}/v1/models?key={CLIENT_KEY}", timeout=5)
    raw_request(server, b"GET /v1/models?key=" + CLIENT_KEY.encode() + b" BROKEN\r\n\r\n", wait_s=1)
    server.stop()
    found = [server.log_file, *(path for path in server.instance.rglob("*") if path.is_file())]
    for secret in (*GEMINI_KEYS[:4], OPENAI_KEYS[0], CLIENT_KEY):
        for path in found:
            assert secret.encode() not in path.read_bytes(), path


def test_a_second_server_on_the_same_database_is_refused(server: Server) -> None:
    second = Server(server.instance)
    with pytest.raises(AssertionError, match="is locked by process"):
        second.start()
    elsewhere = server.instance.parent / "elsewhere"
    file = server.instance / "pool.sqlite"
    third = Server(elsewhere, DATABASE_URL=f"sqlite:///{file}")
    with pytest.raises(AssertionError, match="is locked by process"):
        third.start()


def test_the_first_start_prints_a_password_once(tmp_path: Path) -> None:
    with Server(tmp_path / "instance") as server:
        first = server.generated_password()
        assert first
        server.stop()
        server.log_file.unlink()
        server.start()
        assert server.generated_password() is None


def test_a_weak_password_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    for weak in ("short", "admin-key", "password", "12345678"):
        refused = Server(tmp_path / weak, ADMIN_PASSWORD=weak)
        with pytest.raises(AssertionError, match="ADMIN_PASSWORD is refused"):
            refused.start()


def test_plain_and_other_answers_pass(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.for_path("/v1/embeddings", answer(200, {"object": "list", "data": [], "model": "m", "usage": {}}))
    assert chat(server, model="gpt-4o").json()["choices"]
    posted = requests.post(
        f"{server.url}/v1/embeddings",
        json={"model": "text-embedding-3-small", "input": "x"},
        headers=HEADERS,
        timeout=5,
    )
    assert posted.json()["object"] == "list"
