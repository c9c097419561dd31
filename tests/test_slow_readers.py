"""Clients that read a huge stream slowly: each costs little, and nobody waits for them."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import orjson
import pytest
import requests

from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.server import CLIENT_KEY, Server
from tests.upstream import Request, ScriptedUpstream, gemini_stream, openai_stream, pieces

READERS = 12
MOST_BYTES = 256 * 1024
STREAM_BYTES = 50 * 1024 * 1024


def huge(chunks: list[object]) -> object:
    """So many of these events that a slow client never sees the end."""
    block = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)
    return pieces([block] * (STREAM_BYTES // len(block)), headers={"Content-Type": "text/event-stream"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    texts = ["größer, lorem ipsum"] * 200
    google, openai = huge(gemini_stream(texts, finish=None)), huge(openai_stream(texts, finish=None))

    def play(request: Request) -> object:
        return google if "streamGenerateContent" in request.path else openai

    keys = {"API_KEYS": GEMINI_KEYS[0], "OPENAI_API_KEYS": OPENAI_KEYS[0]}
    instance = tmp_path_factory.mktemp("slow") / "instance"
    with ScriptedUpstream(play) as upstream, Server(instance, upstream.url, **keys) as server:
        yield server


def opened(server: Server, model: str) -> socket.socket:
    body = orjson.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "x"}]})
    sock = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT_KEY}\r\n"
    sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return sock


def resident_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.worker_pid()}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) * 1024


def read_slowly(sock: socket.socket, taken: list[int]) -> None:
    while data := sock.recv(1024):
        taken.append(len(data))
        gevent.sleep(1)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("model", ["gpt-4o", "gemini-2.5-flash"])
def test_a_slow_reader_of_a_huge_stream_costs_little_and_holds_nobody_up(server: Server, model: str) -> None:
    warm = opened(server, model)
    for _ in range(200):
        warm.recv(65_536)
    warm.close()
    gevent.sleep(1)
    before, most, waits_s = resident_bytes(server), 0, []
    socks = [opened(server, model) for _ in range(READERS)]
    taken: list[int] = []
    readers = [gevent.spawn(read_slowly, sock, taken) for sock in socks]
    gevent.sleep(2)
    for _ in range(20):
        gevent.sleep(0.25)
        began = time.monotonic()
        assert requests.get(f"{server.url}/healthz", timeout=5).status_code == 200
        waits_s.append(time.monotonic() - began)
        most = max(most, resident_bytes(server))
    gevent.killall(readers)
    for sock in socks:
        sock.close()
    assert len(taken) > READERS
    assert (most - before) / READERS < MOST_BYTES
    assert sorted(waits_s)[len(waits_s) // 2] < 0.05
