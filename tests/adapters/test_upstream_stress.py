"""The one thing that must never happen: an answer, or a part of one, that belongs to another request."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass, field

import gevent
import pytest

from pool.core.calls import Timeouts
from pool.core.faults import UpstreamError
from tests.adapters.upstream_kit import both, target
from tests.upstream import (
    Action,
    Pause,
    Send,
    answer,
    close_before_head,
    cut_after,
    early_hints_then,
    pieces,
    reset_after,
    stall,
    stall_after,
    then_close,
)

CONCURRENCY = 50
GOOD_ENOUGH = 4000
GOOD_AT_LEAST = 2500
RUN_AT_MOST_S = 12.0


@dataclass
class Tally:
    good: int = 0
    mixed: list[str] = field(default_factory=list)
    failed: int = 0
    killed: int = 0


def test_no_answer_reaches_another_request_whatever_is_killed_when():
    chance = random.Random(103)
    tally = Tally()
    with both(_mischief(chance), idle_per_origin=20) as (server, engine):
        numbers = itertools.count()
        ends = time.monotonic() + RUN_AT_MOST_S
        workers = [gevent.spawn(_work, engine, server, numbers, ends, chance, tally) for _ in range(CONCURRENCY)]
        gevent.joinall(workers, raise_error=True)
        assert tally.mixed == []
        assert tally.good >= GOOD_AT_LEAST
        assert min(tally.killed, tally.failed) > 100
        # Reuse is what makes mixing possible: without it this test would prove nothing.
        reused = len(server.requests) - len(server.connections)
        assert reused > 1000
        assert engine.open_connections() == engine.idle_connections() <= 20
        server.wait_until(lambda: server.open_connections <= 20)


def _work(engine, server, numbers, ends, chance, tally):
    """Ask again and again, each time in a greenlet that may be killed at any moment."""
    while tally.good < GOOD_ENOUGH and time.monotonic() < ends:
        asking = gevent.spawn(_ask, engine, server, f"token-{next(numbers)}", chance, tally)
        if chance.random() < 0.3:
            gevent.sleep(chance.random() * 0.012)
            if not asking.dead:
                tally.killed += 1
            asking.kill(chance.choice([gevent.GreenletExit(), gevent.Timeout()]))
        asking.join()


def _ask(engine, server, token, chance, tally):
    try:
        _ask_and_compare(engine, server, token, chance, tally)
    except (UpstreamError, gevent.Timeout):
        tally.failed += 1


def _ask_and_compare(engine, server, token, chance, tally):
    limits = Timeouts(connect_s=2, first_byte_s=chance.choice([0.01, 2, 2]), idle_s=chance.choice([0.01, 2, 2]))
    exchange = engine.start(target(server, headers=(("X-Token", token),), body=token.encode(), timeouts=limits))
    while not exchange.wait(patience_s=chance.choice([0.001, 1])):
        if chance.random() < 0.1:
            return exchange.close()
    if chance.random() < 0.1:
        return exchange.close()
    body = exchange.read(100_000)
    if exchange.headers.get("x-token") == token and set(body.decode().split()) == {token}:
        tally.good += 1
    else:
        tally.mixed.append(f"{token}: {exchange.status} {exchange.headers} {body[:80]!r}")
    if chance.random() < 0.1:
        gevent.sleep(0.001)
    return exchange.close()  # late: its connection may be somebody else's by now


def _mischief(chance):
    """Every answer says which request it is for; 20 % come after early hints, many end badly."""

    def script(request):
        token = request.headers["x-token"]
        own = {"X-Token": token}
        plain = answer(200, f"{token} ".encode() * chance.randrange(1, 60), own)
        good = chance.choice([plain, plain, pieces([f"{token} ".encode()] * 5, headers=own)])
        if chance.random() < 0.2:
            good = early_hints_then(good, chance.choice([100, 102, 103, 199]), delay_s=chance.choice([0, 0.002]))
        return _spoilt(good, chance) if chance.random() < 0.5 else good

    return script


def _spoilt(good, chance):
    size = chance.randrange(200)
    match chance.randrange(8):
        case 0:
            return stall(chance.random() * 0.02, then=good)
        case 1:
            return stall_after(good, chance.random() * 0.02, size_bytes=size)
        case 2:
            return cut_after(good, size_bytes=size)
        case 3:
            return reset_after(good, size_bytes=size)
        case 4:
            return then_close(good)
        case 5:
            return close_before_head()
        case 6:
            stray = answer(200, b"stray " * 3, {"X-Token": "stray"})  # that nobody asked for
            return Action((*good.steps, *stray.steps))
        case _:
            return Action(tuple(half for step in good.steps for half in _halves(step)))


def _halves(step):
    if not isinstance(step, Send):
        return [step]
    middle = len(step.data) // 2
    return [Send(step.data[:middle], step.part), Pause(0.001), Send(step.data[middle:], step.part)]


@pytest.mark.parametrize("hint", [100, 102, 103, 199])
def test_an_exchange_closed_between_early_hints_and_answer_leaves_nothing_behind(hint):
    def script(request):
        return early_hints_then(answer(200, request.body), hint, delay_s=0.01)

    with both(script) as (server, engine):
        for n in range(20):
            exchange = engine.start(target(server, body=b"abandoned %d" % n))
            exchange.wait(patience_s=0.004)
            exchange.close()
            assert engine.start(target(server, body=b"kept %d" % n)).read(100) == b"kept %d" % n
