"""Requests leave nothing that only the collector can free: each would stay in memory, with its body, until it comes."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import (
    close_before_head,
    cut_after,
    gemini_error,
    gemini_stream,
    openai_error,
    openai_stream,
    sse,
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
            answer = house.post("/v1/chat/completions", asked, buffered=False)
            if leaves:
                assert next(iter(answer.response))
                answer.close()
            else:
                assert b"error" in answer.data
            del answer
    outcomes = {row["outcome"] for row in house.records()}
    assert outcomes == ({"client_gone"} if leaves else {"broken"})
    assert not left
