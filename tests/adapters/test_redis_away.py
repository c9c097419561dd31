"""What each worker does while Redis is away, silent or refuses, and that nothing it did is lost."""

import socket
import time
from contextlib import contextmanager
from dataclasses import replace

import gevent
import pytest
from gevent.event import Event
from gevent.pool import Group

from pool.adapters.redis import Patience, RedisState
from pool.adapters.redis.connection import call, connect, connection_options, run_id
from pool.adapters.redis.membership import TRUSTED
from pool.adapters.redis.session import Fence, Op
from pool.core.state import Bound, Change, Count, Word
from tests.adapters.redis_kit import DAY, NOBODY, QUICK, SUM_OF_LIVING, admit, back, cap, eventually, held, now_at_most


def test_without_redis_a_worker_keeps_to_its_share_and_to_one_at_least():
    state = RedisState(NOBODY, instances=4, patience=Patience(retry_s=60))
    state.start()
    assert state.degraded
    assert [admit(state, cap("k1/cap", 8)) for _ in range(4)] == [True, True, False, False]
    assert [admit(state, Bound("k2/rpm", 1)) for _ in range(2)] == [True, False]
    assert [admit(state, now_at_most("c1/now", 9)) for _ in range(3)] == [True, True, False]
    assert not admit(state, cap("k3/cap", 0))
    assert admit(state, Bound("c1/tpm", 1_000, 900)), "one request that fits the limit itself"
    state.close()


def test_a_share_that_is_used_up_may_be_more_soon():
    state = RedisState(NOBODY, instances=4, patience=Patience(retry_s=60))
    state.start()
    now = time.time()
    assert admit(state, cap("k1/cap", 4))
    assert state.admit([[cap("k1/cap", 4)]], now).frees_at[0] <= now + 5
    assert state.admit([[cap("k1/cap", 4, amount=5)]], now).frees_at == (float("inf"),)
    state.close()


def test_counts_of_storage_bind_without_redis():
    state = RedisState(NOBODY, instances=2, patience=Patience(retry_s=60))
    state.restore([Count("k1/cap", 6, period=DAY)])
    state.start()
    assert [admit(state, cap("k1/cap", 10)) for _ in range(3)] == [True, True, False]
    state.close()


def test_of_what_was_left_when_redis_went_each_worker_uses_its_part(suffering, redis_server):
    first, second = suffering(), suffering()
    eventually(lambda: first.instances() == second.instances() == 2)
    for _ in range(16):
        assert admit(first, cap("k1/cap", 20))
    assert [admit(second, cap("k1/cap", 20)) for _ in range(1)] == [True]
    redis_server.kill()
    assert [admit(first, cap("k1/cap", 20)) for _ in range(2)] == [False, False]
    assert [admit(second, cap("k1/cap", 20)) for _ in range(2)] == [True, False]
    assert first.degraded and second.degraded


def test_what_was_taken_alone_is_added_when_redis_is_back(suffering, redis_server):
    first, second = suffering(), suffering()
    for state in (first, second):
        assert admit(state, cap("k1/cap", 100), Bound("k1/rpm", 100), now_at_most("k1/now", 100))
    redis_server.pause()
    for state in (first, second):
        at = state.admit([[cap("k1/cap", 100, 5), Bound("k1/rpm", 100, 5), now_at_most("k1/now", 100)]], time.time()).at
        state.settle([Change("k1/rpm", -2, at=at), Change("k1/cap", 1, "period", period=DAY)])
        assert state.degraded
    redis_server.resume()
    eventually(lambda: not first.degraded and not second.degraded)
    assert [held(second, counter) for counter in ("k1/cap", "k1/rpm", "k1/now")] == [14, 8, 4]


@pytest.mark.alone
@pytest.mark.slow
def test_a_silent_redis_costs_one_wait_and_holds_nobody_else_up(suffering, redis_server):
    state = suffering(patience=Patience(retry_s=0.5))
    gaps, stop = [], Event()

    def tick():
        while not stop.is_set():
            began = time.monotonic()
            gevent.sleep(0.005)
            gaps.append(time.monotonic() - began)

    ticker = gevent.spawn(tick)
    redis_server.pause()
    waits = []
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        began = time.monotonic()
        assert admit(state, cap("k1/cap", 10_000))
        waits.append(time.monotonic() - began)
        gevent.sleep(0.002)
    stop.set()
    ticker.join()
    assert max(waits) < 0.5
    assert sum(wait > 0.2 for wait in waits) == 1, "only the one that found out has waited"
    assert max(gaps) < 0.2
    redis_server.resume()
    eventually(lambda: not state.degraded)
    assert held(state, "k1/cap") == len(waits)


@pytest.mark.parametrize("trouble", ["silent", "hung up"])
@pytest.mark.slow
def test_counts_are_exact_whatever_breaks_off(suffering, redis_server, trouble):
    """What was on its way is neither lost nor counted twice."""
    states = [suffering(), suffering()]
    taken, stop = [], Event()

    def call(state):
        while not stop.is_set():
            if admit(state, cap("k1/cap", 1_000_000), cap("k1/usd", 10**9, 10), now_at_most("k1/now", 1_000_000)):
                taken.append(1)
                state.settle([Change("k1/now", -1, "level"), Change("k1/usd", -7, "period", period=DAY)])
            gevent.sleep(0.001)

    callers = Group()
    for n in range(20):
        callers.spawn(call, states[n % 2])
    for _ in range(4):
        gevent.sleep(0.15)
        if trouble == "silent":
            redis_server.pause()
            gevent.sleep(0.4)
            redis_server.resume()
        else:
            redis_server.client.client_kill_filter(_type="normal", skipme=True)
    stop.set()
    callers.join(raise_error=True)
    back(*states)
    assert (held(states[0], "k1/cap"), held(states[0], "k1/usd")) == (len(taken), 3 * len(taken))
    assert held(states[1], "k1/now") == 0


@contextmanager
def read_only(server):
    server.client.replicaof("127.0.0.1", 1)
    yield
    server.client.replicaof("NO", "ONE")


@contextmanager
def full(server):
    server.client.config_set("maxmemory", 1)
    yield
    server.client.config_set("maxmemory", 0)


@contextmanager
def protected(server):
    server.client.config_set("requirepass", "secret")
    server.client.client_kill_filter(_type="normal", skipme=True)
    yield
    server.client.config_set("requirepass", "")


@pytest.mark.parametrize("trouble", [read_only, full, protected])
def test_a_redis_that_refuses_is_as_good_as_away(suffering, redis_server, trouble):
    state = suffering()
    assert admit(state, cap("k1/cap", 9))
    with trouble(redis_server):
        for _ in range(3):
            assert admit(state, cap("k1/cap", 9))
        state.announce(Word(1, "quota_day", time.time() + 60))
        state.settle([Change("k1/cap", 1, "period", period=DAY)])
        eventually(lambda: state.degraded)
    eventually(lambda: not state.degraded)
    assert held(state, "k1/cap") == 5


@pytest.mark.parametrize(
    "says", [b"", b"+OK\r\n" * 100, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*3\r\n:1\r\n$1\r\nx\r\n"]
)
def test_something_that_is_no_redis_is_as_good_as_away(says):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer():
            while True:
                connection, _ = listener.accept()
                connection.sendall(says)
                gevent.spawn_later(0.05, connection.close)

        server = gevent.spawn(answer)
        state = RedisState(f"redis://127.0.0.1:{listener.getsockname()[1]}", patience=QUICK)
        state.start()
        for _ in range(5):
            assert admit(state, cap("k1/cap", 99))
            gevent.sleep(0.01)
        assert state.degraded
        state.close()
        server.kill()


@pytest.mark.alone
def test_an_idle_worker_notices_at_once_that_redis_has_gone(suffering, redis_server):
    state = suffering(patience=replace(QUICK, beat_s=60.0, lease_s=60.0))
    gevent.sleep(0.1)
    redis_server.kill()
    eventually(lambda: state.degraded, within_s=1)


def test_a_worker_that_began_without_redis_joins_it_later(suffering, redis_server):
    redis_server.kill()
    state = suffering()
    state.restore([Count("k1/cap", 3, period=DAY)])
    assert admit(state, cap("k1/cap", 9))
    assert state.degraded
    redis_server.start()
    eventually(lambda: not state.degraded)
    assert held(state, "k1/cap") == 4


def test_a_chore_is_led_while_redis_is_away():
    state = RedisState(NOBODY, patience=Patience(retry_s=60))
    state.start()
    assert state.claim("drain", "me", 3.0, time.time())
    state.close()


def test_what_a_worker_holds_counts_while_it_joins_again_but_its_late_calls_do_not(suffering, redis_server):
    """Between the joining and the handing over nobody sees less than is held; what was on its way comes to nothing."""
    holder = suffering()
    for _ in range(3):
        assert admit(holder, now_at_most("c1/now", 9), cap("k1/cap", 9))
    (former,) = redis_server.client.keys("keypool:worker:*")
    line = connect(connection_options(redis_server.url, 1.0))
    joining = Op("join", ("me", 10_000, former.removeprefix("keypool:worker:"), run_id(line), "unused"))
    assert call(line, Fence("keypool:", "", "newcomer"), joining)[0] == TRUSTED
    line.disconnect()
    assert redis_server.client.eval(SUM_OF_LIVING, 0, "c1/now") == 3
    assert admit(holder, now_at_most("c1/now", 9), cap("k1/cap", 9))
    assert holder.degraded, "the lease it asked under is over"
    back(holder)
    assert (held(holder, "c1/now"), held(holder, "k1/cap")) == (4, 4)
