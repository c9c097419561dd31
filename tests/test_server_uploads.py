"""Large bodies and objects under a real gunicorn: memory, files, clients that leave, and `kill -9`."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import requests

from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream, answer, cut_after, gemini_error, pieces, stall
from tests.upstream_objects import ObjectStore
from tests.web.person import FORM, form

pytestmark = pytest.mark.slow

HEADERS = {"Authorization": f"Bearer {CLIENT_KEY}"}
LARGE = os.urandom(1_000_000) * 40


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def server(upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(instance_template, tmp_path / "instance")
    keys = {"API_KEYS": ",".join(GEMINI_KEYS[:3]), "OPENAI_API_KEYS": ",".join(OPENAI_KEYS[:3])}
    with Server(tmp_path / "instance", upstream.url, **keys) as server:
        yield server


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def files_open(pid: int) -> int:
    """Temporary files without a name, and those whose name was taken away, but for gunicorn's own."""
    links = (Path(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    targets = [os.readlink(link) for link in links if link.is_symlink()]
    return sum(target.endswith("(deleted)") and "wgunicorn" not in target for target in targets)


def test_who_made_what_survives_a_kill(server: Server, upstream: ScriptedUpstream) -> None:
    store = ObjectStore()
    upstream.script(store)
    made = requests.post(f"{server.url}/upload/v1beta/files", json={}, headers=HEADERS, timeout=20).json()["file"][
        "name"
    ]
    server.kill()
    server.start()
    for _ in range(3):
        got = requests.get(f"{server.url}/v1beta/{made}", headers=HEADERS, timeout=20)
        assert got.json()["name"] == made
    server.kill_worker()
    time.sleep(0.5)
    assert requests.get(f"{server.url}/v1beta/{made}", headers=HEADERS, timeout=20).status_code == 200
    assert server.rows("SELECT count(*) FROM affinity WHERE name LIKE 'files/%'") == [(1,)]


@pytest.mark.alone
def test_large_uploads_stay_out_of_memory_and_hold_up_nobody(server: Server, upstream: ScriptedUpstream) -> None:
    refused = gemini_error(400, reason="API_KEY_INVALID")
    for key in GEMINI_KEYS[:2]:
        upstream.for_key(key, refused)
    upstream.for_path("/upload/", answer(200, {"file": {"name": "files/a"}}))
    url = f"{server.url}/v1beta/models/gemini-2.5-flash:countTokens"
    requests.post(url, json={"contents": []}, headers=HEADERS, timeout=20)
    before, waits = memory_mb(server.worker_pid()), []

    def ask() -> None:
        while not done.ready():
            began = time.monotonic()
            requests.post(url, json={"contents": []}, headers=HEADERS, timeout=20)
            waits.append(time.monotonic() - began)

    def upload(chunked: bool) -> int:
        data = iter([LARGE[at : at + 100_000] for at in range(0, len(LARGE), 100_000)]) if chunked else LARGE
        return requests.post(f"{server.url}/upload/v1beta/files", data=data, headers=HEADERS, timeout=60).status_code

    done = gevent.spawn(lambda: [upload(chunked) for chunked in (False, True)])
    asking = gevent.spawn(ask)
    gevent.joinall([done, asking])
    assert done.value == [200, 200]
    bodies = [request.body for request in upstream.requests if request.route.startswith("/upload/")]
    assert all(body == LARGE for body in bodies)
    assert memory_mb(server.worker_pid()) - before < 25
    assert sorted(waits)[len(waits) // 2] < 0.5
    assert files_open(server.worker_pid()) == 0


def test_a_client_that_leaves_its_upload_leaves_no_file(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.for_path("/upload/", stall())
    head = f"POST /upload/v1beta/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT_KEY}\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(f"{head}Content-Length: 9000000\r\n\r\n".encode() + b"x" * 3_000_000)
        upstream.wait_until(lambda: files_open(server.worker_pid()), within_s=5)
    upstream.wait_until(lambda: not files_open(server.worker_pid()), within_s=5)
    assert upstream.requests == []
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(f"{head}Content-Length: 3000000\r\n\r\n".encode() + b"x" * 3_000_000)
        upstream.wait_until(lambda: upstream.requests, within_s=5)
        assert files_open(server.worker_pid()) == 1
    upstream.wait_until(lambda: not files_open(server.worker_pid()), within_s=5)
    upstream.wait_until(lambda: upstream.requests[0].client_closed_at, within_s=5)


def test_a_binary_answer_that_breaks_is_seen_to_be_cut(server: Server, upstream: ScriptedUpstream) -> None:
    whole = pieces([b"a" * 1000, b"b" * 1000, b"c"], headers={"Content-Type": "audio/mpeg"})
    body = {"model": "tts-1", "input": "x", "voice": "alloy"}
    upstream.script(cut_after(whole, events=2))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.post(f"{server.url}/v1/audio/speech", json=body, headers=HEADERS, timeout=20)
    told = answer(200, b"x" * 5000, {"Content-Type": "audio/mpeg"})
    upstream.script(cut_after(told, size_bytes=3000))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        requests.post(f"{server.url}/v1/audio/speech", json=body, headers=HEADERS, timeout=20)
    assert "Traceback" not in server.log


def test_a_large_form_past_the_limit_is_413_also_when_chunked(server: Server, upstream: ScriptedUpstream) -> None:
    data = form(model="whisper-1", file=b"x" * 51_000_000)
    pieces_of_it = (data[at : at + 500_000] for at in range(0, len(data), 500_000))
    try:
        response = requests.post(
            f"{server.url}/v1/audio/transcriptions", data=pieces_of_it, headers=HEADERS | {"Content-Type": FORM},
            timeout=60,
        )  # fmt: skip
        assert response.status_code == 413
    except requests.exceptions.ConnectionError:
        pass  # refused while it was still being sent
    assert upstream.requests == []
    upstream.wait_until(lambda: not files_open(server.worker_pid()), within_s=5)
