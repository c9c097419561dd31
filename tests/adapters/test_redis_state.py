"""What several workers promise one another through Redis, and what each does while it is away, full or empty."""

import secrets
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest
import redis
from gevent.event import Event
from gevent.pool import Group

from pool.adapters.redis import Patience, RedisState
from pool.core.state import Bound, Change, Count, Refused, Taken, Word

ROOT = Path(__file__).absolute().parents[2]
DAY = "2026-11-21"
QUICK = Patience(timeout_s=0.25, retry_s=0.3, beat_s=0.1, lease_s=1.5)
SPEECHLESS = Patience(timeout_s=0.25, retry_s=0.3, beat_s=60.0, lease_s=0.5)
NOBODY = "redis://127.0.0.1:1"


def cap(counter, most, amount=1, period=DAY):
    return Bound(counter, most, amount, "period", period=period, ends_at=time.time() + 3600)


def now_at_most(counter, most):
    return Bound(counter, most, kind="level")


def eventually(claim, within_s=5.0):
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it did not come true in time"
        gevent.sleep(0.01)


def admit(state, *bounds):
    return isinstance(state.admit([bounds], time.time()), Taken)


def held(state, counter, period=DAY):
    return state.held(counter, time.time(), period)


def back(*states):
    """Every worker has noticed what happened to Redis, and has joined again."""
    for state in states:
        held(state, "any")
    eventually(lambda: not any(state.degraded for state in states))


class Workers:
    """Makes workers that share one Redis, and closes them."""

    def __init__(self, url, prefix="keypool:"):
        self.url = url
        self.prefix = prefix
        self.states = []

    def __call__(self, on_empty=None, url=None, **options):
        state = RedisState(url or self.url, on_empty, **{"prefix": self.prefix, "patience": QUICK, **options})
        self.states.append(state)
        state.start()
        return state

    def close(self):
        for state in self.states:
            state.close()


@pytest.fixture
def workers(redis_url):
    """Several of them on a Redis nothing happens to."""
    workers = Workers(redis_url, f"keypool-test-{secrets.token_hex(6)}:")
    yield workers
    workers.close()


@pytest.fixture
def suffering(redis_server):
    """Several of them on a Redis to which something will happen."""
    workers = Workers(redis_server.url)
    yield workers
    workers.close()


# -- together -----------------------------------------------------------------------------------------------


def test_workers_count_together_and_never_overshoot(workers):
    states = [workers() for _ in range(4)]
    answers = []

    def call(state):
        answers.append(admit(state, cap("k1/cap", 50), Bound("k1/rpm", 70)))

    callers = Group()
    for n in range(200):
        callers.spawn(call, states[n % 4])
    callers.join(raise_error=True)
    assert answers.count(True) == 50
    assert [held(state, "k1/cap") for state in states] == [50] * 4


def test_what_is_settled_is_found_done_by_what_the_same_worker_asks_next(workers):
    state = workers()
    for _ in range(50):
        assert admit(state, now_at_most("c1/now", 1))
        state.settle([Change("c1/now", -1, "level")])


@pytest.mark.slow
def test_a_worker_knows_how_many_there_are(workers):
    first = workers()
    assert first.instances() == 1
    others = [workers(), workers()]
    eventually(lambda: first.instances() == 3)
    for other in others:
        other.close()
    eventually(lambda: first.instances() == 1)


def test_what_a_worker_held_is_free_when_it_leaves(workers):
    first, second = workers(), workers()
    assert admit(first, now_at_most("c1/now", 1))
    assert not admit(second, now_at_most("c1/now", 1))
    first.close()
    assert admit(second, now_at_most("c1/now", 1))


def test_what_a_worker_held_is_free_when_its_signs_of_life_end(workers):
    dying, other = workers(patience=SPEECHLESS), workers()
    assert admit(dying, now_at_most("c1/now", 1))
    assert not admit(other, now_at_most("c1/now", 1))
    eventually(lambda: admit(other, now_at_most("c1/now", 1)), within_s=3)
    assert held(other, "c1/now") == 1


@pytest.mark.slow
def test_a_worker_taken_for_dead_goes_on_with_what_it_holds(workers):
    slow, other = workers(patience=SPEECHLESS), workers()
    assert admit(slow, now_at_most("c1/now", 3), cap("k1/cap", 9))
    eventually(lambda: held(other, "c1/now") == 0)
    assert admit(slow, now_at_most("c1/now", 3), cap("k1/cap", 9))
    back(slow)
    assert (held(other, "c1/now"), held(other, "k1/cap")) == (2, 2)


def test_clocks_that_differ_count_too_much_rather_than_too_little(workers):
    ahead, behind, now = workers(), workers(), time.time()
    bound = Bound("c1/rpm", 4)
    assert isinstance(ahead.admit([[bound]], now + 5), Taken)
    assert behind.admit([[bound]], now) == Taken(0, (2,), int(now + 5))
    assert ahead.admit([[bound]], now + 5).left == (1,)
    assert behind.admit([[bound]], now + 1).left == (0,)
    assert isinstance(ahead.admit([[bound]], now + 60), Refused)
    assert ahead.admit([[bound]], now + 67).left == (3,)


def test_a_day_that_ends_earlier_for_one_worker_starts_nothing_anew(workers):
    ahead, behind = workers(), workers()
    tomorrow = "2026-11-22"
    for _ in range(3):
        assert admit(behind, cap("k1/cap", 10))
        assert admit(ahead, cap("k1/cap", 10, period=tomorrow))
    assert (held(ahead, "k1/cap", tomorrow), held(behind, "k1/cap", DAY)) == (3, 3)


def test_of_old_periods_two_are_kept(workers, redis_url):
    state = workers()
    for day in range(10, 20):
        assert admit(state, cap("k1/cap", 5, period=f"2026-11-{day}"))
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert sorted(client.hkeys(f"{workers.prefix}p:k1/cap")) == ["2026-11-18", "2026-11-19"]


def test_everything_in_redis_ends_by_itself(workers, redis_url):
    state = workers()
    state.admit([[cap("k1/cap", 9), cap("k1/ever", 9, period=""), Bound("k1/rpm", 9), now_at_most("k1/now", 9)]], 1.0)
    state.restore([Count("k2/cap", 7, period=DAY), Count("c1/rpm", 2, "sliding", 5)])
    state.claim("drain", "me", 3.0, time.time())
    state.announce(Word(1, "quota_day", time.time() + 60))
    gevent.sleep(3 * QUICK.beat_s)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        names = list(client.scan_iter(f"{workers.prefix}*"))
        assert len(names) >= 12
        assert {name: client.pttl(name) for name in names if client.pttl(name) <= 0} == {}


def test_the_list_of_an_owners_counters_stays_short(workers, redis_url):
    state = workers()
    with redis.Redis.from_url(redis_url) as client:
        for n in range(300):
            assert admit(state, Bound(f"k1/rpm/model-{n}", 5, span_s=0.0))
            if n % 30 == 0:
                client.delete(*client.scan_iter(f"{workers.prefix}s:*", count=1000))
        assert client.scard(f"{workers.prefix}o:k1") < 200


def test_scripts_somebody_flushed_are_sent_again(suffering, redis_server):
    state = suffering()
    assert admit(state, cap("k1/cap", 5))
    redis_server.client.script_flush()
    assert admit(state, cap("k1/cap", 5))
    assert (held(state, "k1/cap"), state.degraded) == (2, False)


def test_any_name_a_caller_thinks_of_is_counted(workers):
    state = workers()
    for name in (
        "k1/rpm/\ud800",
        "k1/rpm/gemini 2.5\r\n*1\r\n",
        "k1/rpm/模型",
        "k1/rpm/" + "x" * 5_000,
        "login:2001:db8::/64",
    ):
        assert [admit(state, Bound(name, 1)) for _ in range(2)] == [True, False]
    assert not state.degraded


def test_a_listener_that_fails_does_not_end_the_listening(workers, capfd):
    teller, other = workers(), workers()
    heard = []

    def hear(word):
        heard.append(word)
        if len(heard) == 1:
            raise KeyError(word.key_id)

    other.listen(hear)
    for n in range(2):
        teller.announce(Word(n, "quota_day", time.time() + 60))
        eventually(lambda n=n: len(heard) == n + 1)
    capfd.readouterr()


def test_a_caller_killed_while_it_waits_takes_nothing(suffering, redis_server):
    state = suffering()
    for _ in range(20):
        redis_server.pause()
        callers = [gevent.spawn(admit, state, now_at_most("c1/now", 9), cap("k1/cap", 99)) for _ in range(3)]
        gevent.sleep(0.01)
        gevent.killall(callers[:2])
        redis_server.resume()
        assert callers[2].get()
        state.settle([Change("c1/now", -1, "level")])
    assert (held(state, "c1/now"), held(state, "k1/cap"), state.degraded) == (0, 20, False)


def test_a_thousand_callers_share_a_connection(workers, redis_url):
    state = workers()
    with redis.Redis.from_url(redis_url) as client:
        before = client.info("stats")["total_connections_received"]
        callers = Group()
        for n in range(1_000):
            callers.spawn(admit, state, cap(f"k{n % 7}/cap", 10_000), Bound("p1/rpm", 10_000))
        callers.join(raise_error=True)
        assert client.info("stats")["total_connections_received"] == before
    assert (held(state, "p1/rpm"), state.degraded) == (1_000, False)


# -- words --------------------------------------------------------------------------------------------------


def test_a_word_reaches_other_workers_within_a_second_and_its_own_at_once_and_once(workers):
    teller, other = workers(), workers()
    own, heard = [], []
    teller.listen(own.append)
    other.listen(heard.append)
    words = [Word(1, "quota_day", time.time() + 60, "m"), Word(2, "dead", float("inf")), Word(1, "", 0.0, None)]
    for word in words:
        teller.announce(word)
    assert own == words
    eventually(lambda: heard == words, within_s=1)
    gevent.sleep(0.1)
    assert own == words


def test_words_told_before_a_worker_began_are_heard_as_far_as_they_hold(workers):
    soon = time.time() + 60
    teller = workers()
    teller.announce(Word(1, "quota_day", soon, "m"))
    teller.announce(Word(1, "quota_day", soon, "other"))
    teller.announce(Word(2, "overloaded", time.time() - 1, "m"))
    teller.announce(Word(3, "quota_day", soon, "m"))
    teller.announce(Word(1, "", 0.0, "m"))
    teller.announce(Word(3, "", 0.0, None))
    late = RedisState(workers.url, prefix=workers.prefix, patience=QUICK)
    workers.states.append(late)
    heard = []
    late.listen(heard.append)
    late.start()
    eventually(lambda: len(heard) >= 3, within_s=1)
    assert heard == [Word(1, "quota_day", soon, "other"), Word(1, "", 0.0, "m"), Word(3, "", 0.0, None)]


def test_words_told_while_the_subscription_was_down_are_heard_after(suffering, redis_server):
    teller, other = suffering(), suffering()
    heard = []
    other.listen(heard.append)
    words = [Word(n, "quota_day", time.time() + 60) for n in range(20)]
    for word in words:
        redis_server.client.client_kill_filter(_type="normal", skipme=True)
        teller.announce(word)
    eventually(lambda: sorted({word.key_id for word in heard}) == list(range(20)))


def test_words_told_while_redis_was_away_are_told_when_it_is_back(suffering, redis_server):
    teller, other = suffering(), suffering()
    heard = []
    other.listen(heard.append)
    redis_server.kill()
    word = Word(1, "quota_day", time.time() + 60, "m")
    teller.announce(word)
    assert heard == []
    redis_server.start()
    eventually(lambda: word in heard)


def test_everything_told_so_far_is_heard_on_demand(workers):
    teller, other = workers(), workers()
    heard = []
    other.listen(heard.append)
    teller.announce(Word(1, "quota_day", time.time() + 60))
    held(teller, "any")
    assert other.catch_up()
    assert len(heard) == 1


def test_a_forgotten_owner_is_forgotten_by_every_worker(suffering, redis_server):
    first, second = suffering(), suffering()
    assert admit(second, cap("k1/cap", 1))
    first.forget("k1")
    eventually(lambda: not second._local.seen(time.time()))
    redis_server.kill()
    assert admit(second, cap("k1/cap", 1))


# -- away ---------------------------------------------------------------------------------------------------


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
    assert max(waits) < 0.4
    assert sum(wait > 0.05 for wait in waits) == 1, "only the one that found out has waited"
    assert max(gaps) < 0.1
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
            if admit(state, cap("k1/cap", 1_000_000), now_at_most("k1/now", 1_000_000)):
                taken.append(1)
                state.settle([Change("k1/now", -1, "level")])
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
    assert held(states[0], "k1/cap") == len(taken)
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


# -- empty --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_emptied_redis_is_refilled_by_one_worker_before_it_is_trusted(suffering, redis_server):
    filled, may_go_on = [], Event()

    def refill(name):
        filled.append(name)
        if len(filled) > 1:
            may_go_on.wait()
            states[name].restore([Count("k1/cap", 15, period=DAY)])

    states = []
    for name in range(3):
        states.append(suffering(lambda name=name: refill(name)))
    eventually(lambda: [state.instances() for state in states] == [3, 3, 3])
    assert len(filled) == 1
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
    assert [admit(state, cap("k1/cap", 90)) for state in (first, first, first, second, second)] == [True] * 5
    redis_server.kill()
    for state in (first, second):
        assert admit(state, cap("k1/cap", 90), cap("k2/cap", 90), cap("k3/cap", 90))
    redis_server.start()
    back(first, second)
    assert [held(first, counter) for counter in ("k1/cap", "k2/cap", "k3/cap")] == [7, 9, 2]
