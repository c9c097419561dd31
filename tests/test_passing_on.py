"""Events that reach the client from the hub, without waking who serves it: through the whole app and a real server."""

from __future__ import annotations

import itertools
import re
import socket
from pathlib import Path
from typing import Any

import gevent
import orjson
import pytest

from tests.house import OPENAI_KEYS, House
from tests.server import CLIENT_KEY, Server
from tests.upstream import Request, ScriptedUpstream, openai_stream, reset_after, sse

WORDS = [f"word{n:03d}." for n in range(60)]


def streamed(house: House, **overrides: Any) -> tuple[list[bytes], bytes]:
    """What was written at once, and all of the answer."""
    written: list[bytes] = []
    order: list[bytes] = []

    def write_now(piece: bytes) -> bool:
        written.append(piece)
        order.append(piece)
        return True

    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "stream": True}
    environ = {"keypool.write_now": write_now}
    answer = house.post("/v1/chat/completions", body, environ_overrides=environ, buffered=False)
    for piece in answer.iter_encoded():
        order.append(piece)
    return written, b"".join(order)


def words_of(body: bytes | bytearray) -> list[bytes]:
    return re.findall(rb"word\d\d\d\.", body)


def test_events_that_look_alike_wake_nobody(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.upstream.script(sse(openai_stream(WORDS), 0.002, done=True))
    written, body = streamed(house)
    assert words_of(body) == [word.encode() for word in WORDS]
    assert len(written) > len(WORDS) // 2
    assert body.endswith(b"data: [DONE]\n\n")
    (record,) = house.records()
    assert (record["status"], record["outcome"]) == (200, "ok")
    assert record["tokens_out"] > 0


def test_what_breaks_off_behind_them_is_told(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.upstream.script(reset_after(sse(openai_stream(WORDS), 0.002, done=True), events=40))
    written, body = streamed(house)
    assert words_of(body) == [word.encode() for word in WORDS[: len(words_of(body))]]
    assert len(written) > 20
    assert orjson.loads(body.split(b"data: ")[-1])["error"]["code"] == "upstream_stream_interrupted"
    (record,) = house.records()
    assert record["outcome"] == "broken"


@pytest.mark.parametrize("mode", ["char", "batch"])
def test_a_paced_stream_is_not_passed_on(house: House, mode: str) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.keypool.relay.pause = lambda _: None
    house.set(stream_mode=mode)
    house.upstream.script(sse(openai_stream(WORDS[:10]), 0.002, done=True))
    written, _ = streamed(house)
    assert written == []


def slow_client(port: int, model: str) -> bytes:
    """All that came, to somebody who pauses now and then."""
    body = orjson.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "x"}]})
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.connect(("127.0.0.1", port))
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT_KEY}\r\n"
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        came = bytearray()
        for n in itertools.count():
            if n % 50 == 0:
                gevent.sleep(0.1)
            piece = sock.recv(16_384)
            came += piece
            if not piece or came.endswith(b"0\r\n\r\n"):
                return bytes(came)
    raise AssertionError("unreachable")


@pytest.mark.slow
def test_clients_that_fall_behind_get_every_event_once(tmp_path: Path) -> None:
    """Long events fill the socket, so that some of them are written in part, and finished by who serves the client."""
    long = [f"word{n:03d}." + "x" * 6000 for n in range(999)]

    def play(request: Request) -> Any:
        return sse(openai_stream(long), 0.0001, done=True)

    keys = {"OPENAI_API_KEYS": OPENAI_KEYS[0]}
    with ScriptedUpstream(play) as upstream, Server(tmp_path / "instance", upstream.url, **keys) as server:
        clients = [gevent.spawn(slow_client, server.port, "gpt-4o") for _ in range(3)]
        for client in clients:
            came = client.get(timeout=60)
            body, at = bytearray(), came.index(b"\r\n\r\n") + 4
            while at < len(came):
                begins = came.index(b"\r\n", at) + 2
                ends = begins + int(came[at : begins - 2], 16)
                body += came[begins:ends]
                assert came[ends : ends + 2] == b"\r\n"
                at = ends + 2
            assert words_of(body) == [word[:8].encode() for word in long]
