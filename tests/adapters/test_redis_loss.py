"""A Redis that lost its counts is refilled before anybody trusts it."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import gevent
import pytest
from gevent.event import Event

from pool.adapters.redis.words import saying
from pool.core.state import Bound, Change, Count, Word
from tests.adapters.redis_kit import DAY, QUICK, SUM_OF_LIVING, Workers, admit, back, cap, eventually, held, now_at_most

ROOT = Path(__file__).absolute().parents[2]


@pytest.mark.slow
def test_an_emptied_redis_is_refilled_by_one_worker_before_it_is_trusted(suffering, redis_server):
    filled, may_go_on = [], Event()

    def refill(name):
        filled.append(name)
        if len(filled) > 1:
            (handed_in,) = redis_server.client.keys("keypool:given:*")
            assert redis_server.client.scard(handed_in) == 3
            assert redis_server.client.eval(SUM_OF_LIVING, 0, "p1/now") == 3
            may_go_on.wait()
            states[name].restore([Count("k1/cap", 15, period=DAY)])

    states = []
    for name in range(3):
        states.append(suffering(lambda name=name: refill(name)))
    eventually(lambda: [state.instances() for state in states] == [3, 3, 3])
    assert len(filled) == 1
    assert all(admit(state, now_at_most("p1/now", 9)) for state in states)
    redis_server.client.flushall()
    alone = [admit(state, cap("k1/cap", 20)) for state in states for _ in range(10)]
    assert alone.count(True) == 18, "limit ÷ instances, each"
    eventually(lambda: len(filled) == 2)
    gevent.sleep(0.3)
    assert all(state.degraded for state in states)
    may_go_on.set()
    eventually(lambda: not any(state.degraded for state in states))
    assert len(filled) == 2
    assert held(states[0], "k1/cap") == 18, "those of storage are among them"
    assert admit(states[1], cap("k1/cap", 20, amount=2))
    assert not any(admit(state, cap("k1/cap", 20)) for state in states)


def test_counts_are_refilled_when_every_worker_has_handed_in_what_it_knows(suffering, redis_server):
    """One that did not notice yet uses its share of what another would share already."""
    handed_in = []

    def refill():
        handed_in.extend(redis_server.client.scard(key) for key in redis_server.client.keys("keypool:given:*"))

    quick, slow = suffering(refill), suffering(refill, patience=replace(QUICK, beat_s=60.0, lease_s=60.0))
    eventually(lambda: quick.instances() == 2)
    redis_server.client.flushall()
    eventually(lambda: quick.degraded)
    gevent.sleep(0.1)
    held(slow, "any")
    back(quick, slow)
    assert handed_in == [1, 2]


def test_what_workers_saw_is_not_forgotten_with_an_emptied_redis(suffering, redis_server):
    first, second = suffering(), suffering()
    for state in (first, second):
        for _ in range(4):
            assert admit(state, cap("k1/cap", 10), Bound("k1/rpm", 10))
    redis_server.kill()
    redis_server.start()
    back(first, second)
    assert [held(first, counter) for counter in ("k1/cap", "k1/rpm")] == [8, 8]


def test_levels_outlive_an_emptied_redis(suffering, redis_server):
    first, second = suffering(), suffering()
    assert admit(first, now_at_most("c1/now", 9)) and admit(second, now_at_most("c1/now", 9))
    redis_server.client.flushall()
    back(first, second)
    assert held(first, "c1/now") == 2
    first.settle([Change("c1/now", -1, "level")])
    assert held(first, "c1/now") == 1


def test_counts_from_an_older_copy_are_not_trusted_as_they_are(tmp_path, redis_server):
    """Redis was started again from a disk that had not had the last counts."""
    calls = []
    workers = Workers(redis_server.url)
    state = workers(lambda: calls.append(1))
    assert admit(state, cap("k1/cap", 10))
    redis_server.client.save()
    for _ in range(4):
        assert admit(state, cap("k1/cap", 10), Bound("k1/rpm", 10))
    redis_server.kill()
    redis_server.start()
    assert redis_server.client.hget("keypool:p:k1/cap", DAY) == "1"
    back(state)
    assert calls == [1, 1]
    assert [held(state, counter) for counter in ("k1/cap", "k1/rpm")] == [5, 4]
    workers.close()


@pytest.mark.slow
def test_a_refill_that_fails_is_tried_again(suffering, redis_server, capfd):
    calls = []

    def refill():
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("the database is away")

    state = suffering(refill)
    assert state.degraded
    assert admit(state, cap("k1/cap", 9))
    eventually(lambda: not state.degraded)
    assert len(calls) == 2
    capfd.readouterr()


DYING = """
from gevent import monkey; monkey.patch_all()
import sys, gevent
from pool.adapters.redis import Patience, RedisState
def refill():
    print("refilling", flush=True)
    gevent.sleep(60)
RedisState(sys.argv[1], refill, patience=Patience(lease_s=1)).start()
"""


@pytest.mark.slow
def test_the_refill_of_a_worker_that_dies_is_taken_over(suffering, redis_server):
    calls = []
    with subprocess.Popen([sys.executable, "-c", DYING, redis_server.url], cwd=ROOT, stdout=subprocess.PIPE) as dying:
        assert dying.stdout.readline() == b"refilling\n"
        other = suffering(lambda: calls.append(1))
        assert other.degraded
        dying.kill()
    eventually(lambda: not other.degraded)
    assert calls == [1]


def test_a_count_after_a_loss_is_the_best_of_what_anybody_knows(suffering, redis_server):
    """Storage has some of what was taken meanwhile, and may have what no worker saw."""
    stored = {"k1/cap": 6, "k2/cap": 9}

    def refill(name):
        if len(states) == 2:
            states[name].restore([Count(counter, amount, period=DAY) for counter, amount in stored.items()])

    states = []
    for name in range(2):
        states.append(suffering(lambda name=name: refill(name)))
    first, second = states
    eventually(lambda: first.instances() == second.instances() == 2)
    assert [admit(state, cap("k1/cap", 90)) for state in (first, first, first, second, second)] == [True] * 5
    redis_server.kill()
    for state in (first, second):
        assert admit(state, cap("k1/cap", 90), cap("k2/cap", 90), cap("k3/cap", 90))
    redis_server.start()
    back(first, second)
    assert [held(first, counter) for counter in ("k1/cap", "k2/cap", "k3/cap")] == [7, 9, 2]


def test_an_epoch_that_is_gone_is_a_loss(suffering, redis_server):
    """A Redis that is short of memory may drop any key; the lease is there still."""
    calls = []
    state = suffering(lambda: calls.append(1))
    redis_server.client.delete("keypool:epoch")
    back(state)
    assert len(calls) == 2


def test_a_worker_does_not_take_itself_for_the_only_one_because_it_is_back_first(suffering, redis_server):
    first, second = suffering(), suffering(patience=replace(QUICK, retry_s=60.0))
    eventually(lambda: first.instances() == 2)
    redis_server.kill()
    held(second, "any")
    gevent.sleep(2 * QUICK.beat_s)
    redis_server.start()
    back(first)
    assert first.instances() == 2


def test_words_are_heard_though_the_stream_began_anew_by_a_clock_set_back(suffering, redis_server):
    state, heard = suffering(), []
    state.listen(heard.append)
    suffering().announce(Word(1, "quota_day", time.time() + 60))
    eventually(lambda: len(heard) == 1)
    redis_server.kill()
    redis_server.start()
    fields = saying("another", Word(2, "dead", float("inf")))[4:]
    redis_server.client.execute_command("XADD", "keypool:words", "5-1", *fields)
    back(state)
    eventually(lambda: len(heard) == 2)


def test_an_older_copy_of_the_stream_is_heard_whole_and_in_order(suffering, redis_server):
    first, second = suffering(), suffering()
    told = [Word(1, "quota_day", time.time() + 60), Word(1, "", 0.0, None)]
    heard = []
    first.listen(heard.append)
    second.announce(told[0])
    eventually(lambda: len(heard) == 1)
    first.announce(told[1])
    held(first, "any")
    redis_server.client.save()
    redis_server.kill()
    redis_server.start()
    back(first, second)
    eventually(lambda: heard[2:] == told)
