"""The door before several Keypools, as `deploy/nginx.conf` has it: two upstreams stand for the instances."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from faults.services import answers, free_ports
from tests.programs import needed
from tests.upstream import ScriptedUpstream, answer, close_before_head, pieces

CONF = Path(__file__).parents[1] / "deploy" / "nginx.conf"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
ASKED = 6
READY_S = 10.0
PIECES, PIECE_BYTES = 400, 100_000


def configured(folder: Path, port: int, instances: tuple[int, int], trusted: str) -> Path:
    """The file as it ships, but for where it listens, whom it calls, and folders of its own."""
    text = CONF.read_text()
    for number, instance in enumerate(instances, 1):
        text = text.replace(f"keypool-{number}:8000", f"127.0.0.1:{instance}")
    text = text.replace("listen 8000;", f"listen 127.0.0.1:{port};")
    if trusted:
        text, changed = re.subn(r"#set_real_ip_from \S+;", f"set_real_ip_from {trusted};", text)
        assert changed == 1
    own = "\n".join(f"    {name}_temp_path {folder}/{name};" for name in TEMPORARY)
    file = folder / "nginx.conf"
    file.write_text(text.replace("http {", f"http {{\n{own}", 1))
    return file


@contextmanager
def door(folder: Path, first: int, second: int, trusted: str = "") -> Iterator[str]:
    """A door before two ports; the URL it answers at. It ends with nothing to complain of in its configuration."""
    binary, (port,) = needed("nginx"), free_ports(1)
    file = configured(folder, port, (first, second), trusted)
    command = [binary, "-p", folder, "-c", file, "-e", "error.log", "-g", f"pid {folder}/pid; daemon off;"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_S
        while not answers(port):
            assert time.monotonic() < deadline, (folder / "error.log").read_text()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def instances() -> Iterator[tuple[ScriptedUpstream, ScriptedUpstream]]:
    with ScriptedUpstream() as first, ScriptedUpstream() as second:
        yield first, second


def ask(url: str, **options: Any) -> requests.Response:
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    options.setdefault("timeout", 20)
    return requests.post(f"{url}/v1beta/models/gemini-2.5-flash:generateContent", json=body, **options)


def seen(instances: tuple[ScriptedUpstream, ScriptedUpstream]) -> list[int]:
    return [len(instance.requests) for instance in instances]


def test_instances_share_the_work_and_what_they_answer_is_handed_on(
    instances: tuple[ScriptedUpstream, ScriptedUpstream], tmp_path: Path
) -> None:
    with door(tmp_path, *(instance.port for instance in instances)) as url:
        assert [ask(url).status_code for _ in range(ASKED)] == [200] * ASKED
        assert all(seen(instances))
        before = sum(seen(instances))
        for instance in instances:
            instance.script(answer(503, {"error": "all keys are cooling"}))
        assert ask(url).json() == {"error": "all keys are cooling"}
        assert sum(seen(instances)) == before + 1


def test_an_instance_that_is_stopped_costs_no_request(
    instances: tuple[ScriptedUpstream, ScriptedUpstream], tmp_path: Path
) -> None:
    (closed,) = free_ports(1)
    with door(tmp_path, closed, instances[1].port) as url:
        assert [ask(url).status_code for _ in range(ASKED)] == [200] * ASKED


def test_an_instance_that_dies_before_its_answer_costs_no_request(
    instances: tuple[ScriptedUpstream, ScriptedUpstream], tmp_path: Path
) -> None:
    instances[0].script(close_before_head())
    with door(tmp_path, *(instance.port for instance in instances)) as url:
        assert [ask(url).status_code for _ in range(ASKED)] == [200] * ASKED
    assert seen(instances)[0] >= 1


def test_a_body_nobody_takes_is_refused_before_it_is_sent(
    instances: tuple[ScriptedUpstream, ScriptedUpstream], tmp_path: Path
) -> None:
    """Strangers, too, send to the door before an instance sees them: what waits there is bounded."""
    with door(tmp_path, *(instance.port for instance in instances)) as url:
        place = urlsplit(url)
        with socket.create_connection((place.hostname, place.port), timeout=20) as sock:
            sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 314572800\r\n\r\n")
            said = sock.recv(65_536)
        assert said.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"request_too_large"' in said
        assert ask(url, data=b'{"contents": "' + b"x" * 900_000 + b'"}').status_code == 200
    assert sum(seen(instances)) == 1


@pytest.mark.slow
def test_an_instance_whose_machine_is_gone_costs_two_seconds_and_no_request(
    instances: tuple[ScriptedUpstream, ScriptedUpstream], tmp_path: Path
) -> None:
    with silent() as port, door(tmp_path, port, instances[1].port) as url:
        assert [ask(url).status_code for _ in range(ASKED)] == [200] * ASKED


@contextmanager
def silent() -> Iterator[int]:
    """A port where nobody takes a connection and nobody refuses one: its queue is full."""
    with ExitStack() as stack:
        listening = stack.enter_context(closing(socket.socket()))
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        while answers(port):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.settimeout(0.2)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


def test_an_answer_waits_for_a_slow_reader_in_the_instance_and_fills_no_disk_here(
    instances: tuple[ScriptedUpstream, ScriptedUpstream], tmp_path: Path
) -> None:
    for instance in instances:
        instance.script(pieces([b"x" * PIECE_BYTES] * PIECES))
    with (
        door(tmp_path, *(instance.port for instance in instances)) as url,
        ask(url, stream=True) as response,
    ):
        time.sleep(0.5)
        assert [one.idle for instance in instances for one in instance.connections] == [False]
        assert sum(map(len, response.iter_content(PIECE_BYTES))) == PIECES * PIECE_BYTES


SAID = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("trusted", "said", "caller", "scheme"),
    [
        ("", SAID, "127.0.0.1", "http"),
        ("192.0.2.1", SAID, "127.0.0.1", "http"),
        ("127.0.0.1", SAID, "203.0.113.7", "https"),
        ("127.0.0.1", {**SAID, "X-Forwarded-Proto": "http"}, "203.0.113.7", "http"),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}, "203.0.113.7", "http"),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, "127.0.0.1", "http"),
    ],
)
def test_only_a_proxy_that_is_named_is_believed_who_calls_and_how(
    instances: tuple[ScriptedUpstream, ScriptedUpstream],
    tmp_path: Path,
    trusted: str,
    said: dict[str, str],
    caller: str,
    scheme: str,
) -> None:
    with door(tmp_path, *(instance.port for instance in instances), trusted) as url:
        ask(url, headers=said)
    (request,) = instances[0].requests + instances[1].requests
    assert request.headers["x-forwarded-for"] == caller
    assert request.headers["x-forwarded-proto"] == scheme
