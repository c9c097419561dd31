"""Clients that send slowly for ever, under a real gunicorn: each is ended at its deadline, and nobody waits for it."""

from __future__ import annotations

import itertools
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gevent
import orjson
import pytest
import requests

from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream

pytestmark = pytest.mark.slow

BODY_S, HEAD_S, MARGIN_S = 1.2, 2.0, 3.0
BEARER = f"Authorization: Bearer {CLIENT_KEY}\r\n"
ADMIN = f"X-Admin-Key: {PASSWORD}\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
MULTIPART = "Content-Type: multipart/form-data; boundary=x\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, instance_template: Path) -> Iterator[Server]:
    instance = tmp_path_factory.mktemp("slow") / "instance"
    shutil.copytree(instance_template, instance)
    keys = {"API_KEYS": ",".join(GEMINI_KEYS[:4]), "OPENAI_API_KEYS": OPENAI_KEYS[0]}
    deadlines = {"TEST_BODY_S": str(BODY_S), "TEST_HEAD_S": str(HEAD_S)}
    with ScriptedUpstream() as upstream:
        server = Server(instance, upstream.url, **keys, **deadlines)
        server.config = "tests/hurried_gunicorn.py"
        with server:
            # A password that was right is remembered: later the tests have tried the door too often for a first time.
            headers = {"X-Admin-Key": PASSWORD}
            requests.get(f"{server.url}/admin/status", headers=headers, timeout=30).raise_for_status()
            yield server


@pytest.fixture
def send(server: Server) -> Iterator[Callable[..., Sender]]:
    """Begins to send; all that was begun is closed in the end."""
    begun: list[Sender] = []

    def begin(*args: Any) -> Sender:
        begun.append(Sender(server, *args))
        return begun[-1]

    yield begin
    for sender in begun:
        sender.close()


class Sender:
    """Sends a beginning, then one piece after another until the server ends it. `content` is all it was told."""

    def __init__(self, server: Server, beginning: str, pieces: str | Sequence[str] = "", every_s: float = 0.1) -> None:
        self.content, self.reset = b"", False
        self._began = time.monotonic()
        self.took_s = 0.0
        self._sock = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self._sock.sendall(beginning.encode())
        self._dripping = gevent.spawn(self._drip, itertools.cycle(pieces), every_s) if pieces else None
        self._greenlet = gevent.spawn(self._listen)

    def ended(self, within_s: float) -> bool:
        self._greenlet.join(max(0.0, self._began + within_s - time.monotonic()))
        return self._greenlet.ready()

    def close(self) -> None:
        gevent.killall([each for each in (self._greenlet, self._dripping) if each is not None])
        self._sock.close()

    def _drip(self, pieces: Iterator[str], every_s: float) -> None:
        try:
            for piece in pieces:
                gevent.sleep(every_s)
                self._sock.sendall(piece.encode())
        except OSError:
            pass

    def _listen(self) -> None:
        try:
            while piece := self._sock.recv(65_536):
                self.content += piece
        except OSError:
            self.reset = True
        self.took_s = time.monotonic() - self._began

    @property
    def status(self) -> int:
        return int(self.content.split()[1]) if self.content else 0

    @property
    def told(self) -> bytes:
        return self.content.partition(b"\r\n\r\n")[2]


def head(path: str, *lines: str, method: str = "POST") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{''.join(lines)}"


SIZED, CHUNKED = "Content-Length: 10000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"
PLACES = {
    "openai": head("/v1/chat/completions", BEARER),
    "gemini": head("/v1beta/models/gemini-2.5-flash:generateContent", BEARER),
    "anthropic": head("/v1/messages", BEARER),
    "a provider's own": head("/api/gemini/v1beta/models/gemini-2.5-flash:generateContent", BEARER),
    "spooled": head("/v1/images/edits", BEARER, MULTIPART),
    "management": head("/admin/keys", ADMIN),
    "a file": head("/admin/import", ADMIN, MULTIPART),
    "the login": head("/login", FORM),
    "a stranger's form": head("/theme", MULTIPART),
}
SHAPES = {
    "openai": ("error", "code", "request_body_timeout"),
    "gemini": ("error", "code", 408),
    "anthropic": ("error", "type", "invalid_request_error"),
    "management": ("error", "code", "request_body_timeout"),
}


def others_are_served(server: Server, until: float) -> list[float]:
    """Chat until then; how long each answer took."""
    took_s = []
    with requests.Session() as session:
        while time.monotonic() < until:
            began = time.monotonic()
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
            url, headers = f"{server.url}/v1/chat/completions", {"Authorization": f"Bearer {CLIENT_KEY}"}
            assert session.post(url, json=body, headers=headers, timeout=10).status_code == 200
            took_s.append(time.monotonic() - began)
            gevent.sleep(0.02)
    return took_s


def test_a_body_that_trickles_in_is_given_up_everywhere_in_the_clients_own_words(
    server: Server, send: Callable[..., Sender]
) -> None:
    senders = {}
    for place, first in PLACES.items():
        start = "--x\r\nContent-Disposition: form-data; name=model\r\n\r\n" if MULTIPART in first else ""
        senders[place, "sized"] = send(first + SIZED + start, " ")
        senders[place, "chunked"] = send(first + CHUNKED + f"{len(start) + 1:x}\r\n{start} \r\n", ["1\r\n \r\n"])
    assert len(others_are_served(server, time.monotonic() + BODY_S)) > 5
    unended = [each for each, sender in senders.items() if not sender.ended(BODY_S + MARGIN_S)]
    assert unended == []
    # The login may have been tried too often in the tests before, and says so without reading a body.
    odd = {each: sender.status for each, sender in senders.items() if sender.status != 408}
    assert [(place, status) for (place, _), status in odd.items() if (place, status) != ("the login", 429)] == []
    for (place, _framing), sender in senders.items():
        if place in SHAPES:
            outer, inner, value = SHAPES[place]
            assert orjson.loads(sender.told)[outer][inner] == value
        assert sender.took_s >= BODY_S or sender.status == 429


UNREAD = {
    "a page nobody reads a body for": head("/login", method="GET"),
    "a probe": head("/healthz", method="GET"),
    "nothing there": head("/nowhere"),
    "a stranger": head("/admin/keys", "X-Admin-Key: nobody-at-all\r\n"),
    "a list of models": head("/v1/models", BEARER, method="GET"),
}


@pytest.mark.parametrize("rest", [" ", ""], ids=["dripping", "silent"])
def test_the_rest_of_a_body_nobody_wanted_holds_no_connection(send: Callable[..., Sender], rest: str) -> None:
    senders = {}
    for place, first in UNREAD.items():
        senders[place, "sized"] = send(first + SIZED, rest)
        senders[place, "chunked"] = send(first + CHUNKED + "1\r\n \r\n", ["1\r\n \r\n"] if rest else "")
    unended = [each for each, sender in senders.items() if not sender.ended(2 * BODY_S + 2 * MARGIN_S)]
    assert unended == []
    assert {sender.status for sender in senders.values()} <= {200, 401, 404, 429}


def test_what_follows_a_body_given_up_is_no_request(send: Callable[..., Sender]) -> None:
    """In chunks, a reader that was stopped in the middle knows no more where the next request begins."""
    first = head("/admin/keys", ADMIN) + CHUNKED + "3e8\r\n"
    sender = send(first)
    gevent.sleep(BODY_S / 2)
    sender._sock.sendall(b"\r\n" + head("/healthz", "\r\n", method="GET").encode())
    assert sender.ended(BODY_S + MARGIN_S)
    assert (sender.status, sender.content.count(b"HTTP/1.1 ")) == (408, 1)


CROWD = 500
BEGUN = head("/v1/chat/completions", BEARER)
SLOWLY = (
    (BEGUN, ""),
    (BEGUN, "X: y\r\n"),
    ("P", "O"),
    (BEGUN + "X-Long: ", "a"),
    (BEGUN + SIZED, " "),
    (BEGUN + SIZED + "{", ""),
    (BEGUN + CHUNKED + "1\r\n \r\n", ["1\r\n \r\n"]),
    (BEGUN + CHUNKED, "0"),
    (head("/login", FORM) + SIZED, "a"),
    (head("/healthz", method="GET") + SIZED, " "),
)


@pytest.mark.alone
def test_five_hundred_slow_senders_of_every_kind_are_all_ended_and_hold_up_nobody(
    server: Server, send: Callable[..., Sender]
) -> None:
    others_are_served(server, time.monotonic() + 0.5)
    senders = []
    for number in range(CROWD):
        beginning, pieces = SLOWLY[number % len(SLOWLY)]
        senders.append((number % len(SLOWLY), send(beginning, pieces, 1.0)))
    load = [gevent.spawn(others_are_served, server, time.monotonic() + HEAD_S) for _ in range(4)]
    gevent.joinall(load, raise_error=True)
    took_s = sorted(took for each in load for took in each.value)
    unended = {kind for kind, sender in senders if not sender.ended(max(HEAD_S, BODY_S) + BODY_S + MARGIN_S)}
    assert unended == set()
    assert {sender.status for _, sender in senders} <= {0, 200, 400, 408, 413}
    assert len(took_s) > 100
    assert took_s[len(took_s) // 2] < 0.05
    assert took_s[int(len(took_s) * 0.99)] < 0.5
    assert "Traceback" not in server.log
