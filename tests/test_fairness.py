"""Nobody waits for long: a stream that comes as fast as it can be read lets everybody else go on."""

from __future__ import annotations

import time
from typing import Any

import gevent
import orjson
import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import Action, Request, answer, gemini_stream, openai_stream, pieces

TEXTS = ["lorem ipsum dolor sit amet, "] * 12_000
MOST_S = 0.05


class Ticker:
    """Measures the longest time for which this thread worked and let no timer run; other processes do not count."""

    def __enter__(self) -> Ticker:
        self.longest_s = 0.0
        self._greenlet = gevent.spawn(self._run)
        gevent.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        gevent.sleep(0.01)
        self._greenlet.kill()

    def _run(self) -> None:
        at = time.thread_time()
        while True:
            gevent.sleep(0.001)
            now = time.thread_time()
            self.longest_s = max(self.longest_s, now - at)
            at = now


def in_bulk(chunks: list[Any]) -> Action:
    """Events so well packed that all are there at once, and nobody ever waits for the next."""
    blocks = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]
    return pieces([b"".join(blocks)], headers={"Content-Type": "text/event-stream"}, gzip=True)


def as_array(chunks: list[Any]) -> Action:
    return pieces([orjson.dumps(chunks)], headers={"Content-Type": "application/json"}, gzip=True)


@pytest.fixture
def fast(house: House) -> House:
    house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0])
    google, openai = gemini_stream(TEXTS), openai_stream(TEXTS)
    events = {"google": in_bulk(google), "openai": in_bulk(openai), "array": as_array(google)}

    def play(request: Request) -> Action:
        if "streamGenerateContent" in request.path:
            return events["google" if "alt=sse" in request.path else "array"]
        return events["openai"]

    house.upstream.script(play)
    return house


MESSAGES = {"messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 9}
CONTENTS = {"contents": [{"parts": [{"text": "x"}]}]}
NATIVE = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
STREAMS = {
    "passed": ("/v1/chat/completions", {"model": "gpt-4o", **MESSAGES}),
    "converted": ("/v1/chat/completions", {"model": "gemini-2.5-flash", **MESSAGES}),
    "responses": ("/v1/responses", {"model": "gemini-2.5-flash", "input": "x", "stream": True}),
    "messages": ("/v1/messages", {"model": "gemini-2.5-flash", **MESSAGES}),
    "native": (f"{NATIVE}?alt=sse", CONTENTS),
    "array": (NATIVE, CONTENTS),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_a_fast_stream_gives_everybody_a_turn(fast: House, kind: str) -> None:
    with Ticker() as ticker:
        response = fast.post(*STREAMS[kind], buffered=False)
        size = sum(map(len, response.response))
    assert size > 1_000_000
    assert fast.records()[-1]["outcome"] == "ok"
    assert ticker.longest_s < MOST_S


@pytest.mark.parametrize("mode", ["char", "adaptive"])
@pytest.mark.parametrize("kind", ["converted", "responses", "native", "array"])
def test_one_large_event_is_paced_without_holding_anybody_up(fast: House, mode: str, kind: str) -> None:
    text = "word " * 40_000
    fast.set(stream_mode=mode, char_delay_ms=0.0, batch_delay_ms=0.0, min_delay_ms=0.0, max_delay_ms=0.0)
    google, openai = gemini_stream([text]), openai_stream([text])
    fast.upstream.script(
        lambda request: (
            as_array(google)
            if kind == "array"
            else in_bulk(google if "streamGenerate" in request.path else openai)
        )
    )
    with Ticker() as ticker:
        response = fast.post(*STREAMS[kind], buffered=False)
        said = b"".join(response.response)
    assert len(said) >= len(text)
    assert ticker.longest_s < MOST_S


def test_a_file_is_passed_on_as_it_is_in_every_mode_and_in_turns(fast: House) -> None:
    event = orjson.dumps({"choices": [{"index": 0, "delta": {"content": "hello world"}, "finish_reason": None}]})
    files = {
        "file-log": (b"data: " + event + b"\n\n") * 20_000,
        "file-bytes": b"\x01" * 3_000_000,
        "file-json": b'{"a":"' + b"x" * 3_000_000 + b'"}',
    }
    fast.set(stream_mode="char")
    for name, body in files.items():
        kind = "application/json" if name == "file-json" else "application/octet-stream"
        fast.upstream.script(answer(200, {"id": name, "object": "file"}))
        fast.client.post("/v1/files", data=b"{}", content_type="application/json", headers=fast.headers())
        fast.upstream.script(answer(200, body, {"Content-Type": kind}))
        with Ticker() as ticker:
            response = fast.client.get(f"/v1/files/{name}/content", headers=fast.headers(), buffered=False)
            got = list(response.response)
        assert b"".join(got) == body
        assert len(got) > 1
        assert response.headers["Content-Length"] == str(len(body))
        assert ticker.longest_s < MOST_S
