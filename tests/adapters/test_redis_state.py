"""What several workers promise one another through Redis."""

import time

import gevent
import pytest
import redis
from gevent import monkey
from gevent.pool import Group

from pool.adapters.redis import RedisState
from pool.adapters.redis.session import Op
from pool.core.state import MADE, Bound, Change, Count, Refused, Taken, Word
from tests.adapters.redis_kit import CALM, DAY, QUICK, SPEECHLESS, admit, back, cap, eventually, held, now_at_most


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
    assert workers().instances() == 2


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
            raise ZeroDivisionError

    other.listen(hear)
    for n in range(2):
        teller.announce(Word(n, "quota_day", time.time() + 60))
        eventually(lambda n=n: len(heard) == n + 1)
    capfd.readouterr()


def test_a_hub_held_up_is_no_silence_of_redis(suffering, redis_server):
    """Redis has answered long ago when this worker gets to look."""
    state = suffering()
    redis_server.pause()
    caller = gevent.spawn(admit, state, cap("k1/cap", 9))
    gevent.sleep(0.05)
    redis_server.resume()
    monkey.get_original("time", "sleep")(2 * QUICK.timeout_s)
    assert caller.get()
    assert not state.degraded


def test_what_is_still_owed_is_paid_soon(workers):
    state = workers()
    state._local.owe_taken([cap("k1/cap", 9)], int(time.time()), time.time())
    eventually(lambda: held(state, "k1/cap") == 1)


def test_nobody_waits_for_ever_whatever_goes_wrong(workers):
    state = workers()
    waiting = gevent.spawn(state._membership.session.wait, Op("held", (object(),)))
    assert waiting.get(timeout=1) is None
    back(state)


def test_whatever_changes_counts_leaves_a_note_of_it(workers, redis_url):
    """By which a worker knows what became of a call whose answer was lost."""
    state = workers()
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        (asker,) = (key for key in client.scan_iter(f"{workers.prefix}done:*"))

        def note():
            held(state, "any")
            return client.hget(asker, 0)

        notes = [note()]
        assert admit(state, cap("k1/cap", 9))
        notes.append(note())
        state.settle([Change("k1/cap", -1, "period", period=DAY)])
        notes.append(note())
        state.restore([Count("k1/cap", 9, period=DAY)])
        notes.append(note())
    assert len(set(notes)) == 4


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


@pytest.mark.alone
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


@pytest.mark.alone
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


@pytest.mark.alone
def test_of_objects_a_worker_that_began_hears_the_last_word(workers):
    soon = time.time() + 60
    teller = workers()
    kept, moved, gone = "5 gemini files/kept", "5 gemini files/moved", "5 gemini files/gone"
    for word in (
        Word(1, MADE, soon, kept), Word(1, MADE, soon, moved), Word(2, MADE, soon, moved), Word(1, MADE, soon, gone),
        Word(2, MADE, soon, gone), Word(2, MADE, 0.0, gone), Word(1, "", 0.0, None),
    ):  # fmt: skip
        teller.announce(word)
    held(teller, "any")
    objects, late = {}, RedisState(workers.url, prefix=workers.prefix, patience=CALM)
    workers.states.append(late)
    late.listen(lambda word: word.reason == MADE and objects.update({word.model: (word.key_id, word.until)}))
    late.start()
    eventually(lambda: objects == {kept: (1, soon), moved: (2, soon), gone: (2, 0.0)}, within_s=1)


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

    def forgotten():
        # Said again: who begins to listen at that very moment hears it the next time.
        first.forget("k1")
        gevent.sleep(0.05)
        return not list(second._local.seen(time.time()))

    eventually(forgotten)
    redis_server.kill()
    assert admit(second, cap("k1/cap", 1))
