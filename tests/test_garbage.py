"""What a pool was asked leaves nothing that only the collector can free: it would stay in memory, with its body."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import (
    answer,
    close_before_head,
    cut_after,
    gemini_error,
    gemini_stream,
    openai_error,
    openai_stream,
    sse,
    stall,
)

KEYS = {"gemini": GEMINI_KEYS[:3], "openai": OPENAI_KEYS[:3]}
MODELS = {"gemini": "gemini-2.5-flash", "openai": "gpt-4o"}
ERRORS: dict[str, Any] = {"gemini": gemini_error, "openai": openai_error}
STREAMS: dict[str, Any] = {"gemini": gemini_stream, "openai": openai_stream}


@contextmanager
def left_to_the_collector() -> Iterator[Counter[str]]:
    """Kinds of our own objects that only the collector freed, counted once the block is over."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.update(type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("pool."))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", ["gemini", "openai"])
@pytest.mark.parametrize("fails", ["nothing", "the first key", "every key", "the request", "before an answer"])
def test_a_request_is_gone_when_it_is_over(house: House, fails: str, provider: str, stream: bool) -> None:
    house.add_keys(*KEYS[provider], provider=provider)
    error = ERRORS[provider]
    script = {
        "the first key": lambda request: error(429) if request.key == KEYS[provider][0] else None,
        "every key": error(429),
        "the request": error(400),
        "before an answer": close_before_head(reset=True),
    }
    if fails in script:
        house.upstream.script(script[fails])
    with left_to_the_collector() as left:
        statuses = [house.chat(MODELS[provider], stream=stream).status_code for _ in range(3)]
    assert (statuses == [200] * 3) is (fails in ("nothing", "the first key"))
    assert not left


@pytest.mark.parametrize("provider", ["gemini", "openai"])
@pytest.mark.parametrize("leaves", [False, True])
def test_a_stream_that_breaks_off_is_gone_when_it_is_over(house: House, provider: str, leaves: bool) -> None:
    house.add_keys(*KEYS[provider], provider=provider)
    house.upstream.script(cut_after(sse(STREAMS[provider](["one", "two", "three"])), events=2))
    asked = {"model": MODELS[provider], "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    with left_to_the_collector() as left:
        for _ in range(3):
            response = house.post("/v1/chat/completions", asked, buffered=False)
            if leaves:
                assert next(iter(response.response))
                response.close()
            else:
                assert b"error" in response.data
            del response
    outcomes = {row["outcome"] for row in house.records()}
    assert outcomes == ({"client_gone"} if leaves else {"broken"})
    assert not left


@pytest.mark.parametrize("then", [gemini_error(400), close_before_head(reset=True)])
def test_a_stream_refused_after_heartbeats_is_gone_when_it_is_over(house: House, then: Any) -> None:
    house.add_keys(*GEMINI_KEYS[:1])
    house.set(heartbeat_s=1)
    house.upstream.script(stall(1.3, then=then))
    with left_to_the_collector() as left:
        assert b'"error"' in house.chat(stream=True).data
    assert not left


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/audio/speech", "/v1/vector_stores"])
def test_a_request_that_is_passed_through_is_gone_when_it_is_over(house: House, path: str, status: int) -> None:
    house.add_keys(*OPENAI_KEYS[:3])
    house.upstream.script(answer(body={"id": "vs_1"}) if status == 200 else openai_error(400))
    with left_to_the_collector() as left:
        statuses = [house.post(path, {"model": "gpt-4o", "input": "Hello"}).status_code for _ in range(3)]
    assert statuses == [status] * 3
    assert not left


def test_a_list_of_models_that_nobody_gives_is_gone_when_it_is_over(house: House) -> None:
    house.add_keys(*GEMINI_KEYS[:1], *OPENAI_KEYS[:1])
    house.upstream.script(close_before_head(reset=True))
    with left_to_the_collector() as left:
        assert house.client.get("/v1/models", headers=house.headers()).status_code >= 500
    assert not left
