"""What every `PoolState` promises: one suite, run on each implementation."""

import secrets

import gevent
import pytest
from gevent.pool import Group

from pool.adapters.memory import MOST_SLIDING, MemoryState
from pool.adapters.redis import Patience, RedisState
from pool.core.state import Bound, Change, Count, Grant, Refused, Taken, Word, take

NOW = 1_000.0
DAY = "2026-11-21"


@pytest.fixture
def memory_state():
    return MemoryState()


@pytest.fixture
def redis_state(redis_url):
    state = RedisState(redis_url, prefix=f"keypool-test-{secrets.token_hex(6)}:", patience=Patience(timeout_s=2.0))
    state.start()
    assert not state.degraded
    yield state
    assert not state.degraded
    state.close()


@pytest.fixture
def lonely_state():
    """One whose Redis is away, and which is the only worker."""
    state = RedisState("redis://127.0.0.1:1", patience=Patience(retry_s=60))
    state.start()
    assert state.degraded
    yield state
    state.close()


IMPLEMENTATIONS = ("memory_state", "redis_state", "lonely_state")
"""Fixtures that make each implementation, empty."""


@pytest.fixture(params=IMPLEMENTATIONS)
def state(request):
    return request.getfixturevalue(request.param)


def cap(counter, most, amount=1, period=DAY, ends_at=NOW + 3600):
    return Bound(counter, most, amount, "period", period=period, ends_at=ends_at)


def test_the_first_offer_that_fits_is_taken(state):
    full, one, free = [cap("k1/cap", 0)], [cap("k2/cap", 1)], []
    assert state.admit([full, one, free], NOW).offer == 1
    assert state.admit([full, one, free], NOW).offer == 2
    assert state.admit([full, one], NOW) == Refused((0, 0), (0, 0), (float("inf"), NOW + 3600))
    assert state.admit([], NOW) == Refused((), (), ())


def test_a_refused_offer_leaves_no_trace(state):
    offer = [Bound("c1/rpm", 10), cap("c1/budget", 5, amount=6)]
    assert isinstance(state.admit([offer], NOW), Refused)
    assert (state.held("c1/rpm", NOW), state.held("c1/budget", NOW, DAY)) == (0, 0)


def test_only_the_taken_offer_is_counted(state):
    state.admit([[cap("k1/cap", 5)], [cap("k2/cap", 5)]], NOW)
    assert (state.held("k1/cap", NOW, DAY), state.held("k2/cap", NOW, DAY)) == (1, 0)


def test_a_refusal_names_the_bound_in_the_way_what_is_left_and_when_there_is_room(state):
    offer = [Bound("c1/rpm", 2), Bound("c1/tpm", 100, amount=60)]
    assert state.admit([offer], NOW) == Taken(0, (1, 40), int(NOW))
    assert state.admit([offer], NOW + 1) == Refused((1,), (40,), (NOW + 61,))
    assert state.admit([[Bound("c1/rpm", 2)]], NOW + 1).left == (0,)
    assert state.admit([offer], NOW + 2) == Refused((0,), (0,), (NOW + 61,))


def test_an_amount_beyond_the_limit_itself_never_fits(state):
    assert state.admit([[Bound("c1/tpm", 100, amount=101)]], NOW).frees_at == (float("inf"),)


def test_a_sliding_window_lets_in_again_what_is_as_old_as_its_span(state):
    for n in range(3):
        assert state.admit([[Bound("c", 3)]], NOW + n) == Taken(0, (2 - n,), int(NOW) + n)
    assert isinstance(state.admit([[Bound("c", 3)]], NOW + 60.9), Refused)
    assert isinstance(state.admit([[Bound("c", 3)]], NOW + 61), Taken)
    assert state.admit([[Bound("c", 3)]], NOW + 61.5).frees_at == (NOW + 62,)


def test_a_window_may_be_of_another_length(state):
    assert take(state, "login", 1, 10.0, NOW).allowed
    assert take(state, "login", 1, 10.0, NOW + 10.9) == Grant(False, 0, NOW + 11)
    assert take(state, "login", 1, 10.0, NOW + 11).allowed


def test_a_clock_set_back_locks_nobody_out(state):
    assert take(state, "c", 1, 60.0, NOW).allowed
    assert take(state, "c", 1, 60.0, NOW - 86_400).allowed


def test_a_new_period_begins_at_nothing(state):
    state.admit([[cap("k1/cap", 1)]], NOW)
    assert isinstance(state.admit([[cap("k1/cap", 1, period="2026-11-22")]], NOW), Taken)
    assert state.held("k1/cap", NOW, "2026-11-22") == 1


def test_a_lower_limit_counts_what_was_used_before(state):
    for _ in range(5):
        state.admit([[cap("k1/cap", 10)]], NOW)
    assert isinstance(state.admit([[cap("k1/cap", 5)]], NOW), Refused)
    assert isinstance(state.admit([[cap("k1/cap", 6)]], NOW), Taken)


def test_a_level_is_given_back(state):
    level = Bound("c1/now", 2, kind="level")
    assert state.admit([[level]], NOW).left == (1,)
    assert state.admit([[level]], NOW).left == (0,)
    assert state.admit([[level]], NOW) == Refused((0,), (0,), (float("inf"),))
    state.settle([Change("c1/now", -1, "level")])
    assert (state.held("c1/now", NOW), state.admit([[level]], NOW).left) == (1, (0,))


def test_what_was_never_taken_may_be_given_back_without_harm(state):
    state.settle([Change("c1/now", -1, "level"), Change("c1/tpm", -5, at=int(NOW)), Change("k1/x", -1, "period")])
    assert [state.held(counter, NOW) for counter in ("c1/now", "c1/tpm", "k1/x")] == [0, 0, 0]
    assert state.admit([[Bound("c1/now", 1, kind="level")]], NOW).left == (0,)


def test_tokens_are_settled_in_the_second_they_were_reserved(state):
    at = state.admit([[Bound("c1/tpm", 100, amount=90)]], NOW).at
    state.settle([Change("c1/tpm", -60, at=at)])
    assert state.held("c1/tpm", NOW + 30) == 30
    state.admit([[Bound("c1/tpm", 100, amount=70)]], NOW + 30)
    assert state.held("c1/tpm", NOW + 61) == 70
    state.settle([Change("c1/tpm", -60, at=at)])
    assert state.held("c1/tpm", NOW + 61) == 70


def test_more_may_have_been_used_than_was_reserved(state):
    at = state.admit([[Bound("c1/tpm", 100, amount=10), cap("c1/budget", 50, amount=10)]], NOW).at
    state.settle([Change("c1/tpm", 200, at=at), Change("c1/budget", 90, "period", period=DAY)])
    assert (state.held("c1/tpm", NOW), state.held("c1/budget", NOW, DAY)) == (210, 100)
    assert state.admit([[Bound("c1/tpm", 100)]], NOW) == Refused((0,), (0,), (NOW + 61,))


def test_what_is_settled_after_its_period_does_not_count_in_the_next(state):
    state.admit([[cap("c1/budget", 50, amount=10)]], NOW)
    state.admit([[cap("c1/budget", 50, amount=10, period="2026-11-22")]], NOW)
    state.settle([Change("c1/budget", 30, "period", period=DAY)])
    assert state.held("c1/budget", NOW, "2026-11-22") == 10


def test_a_count_from_storage_is_taken_over_unless_there_is_a_higher_one(state):
    state.restore([Count("k1/cap", 7, period=DAY)])
    assert state.held("k1/cap", NOW, DAY) == 7
    state.restore([Count("k1/cap", 3, period=DAY)])
    assert state.held("k1/cap", NOW, DAY) == 7
    assert isinstance(state.admit([[cap("k1/cap", 7)]], NOW), Refused)
    assert isinstance(state.admit([[cap("k1/cap", 8)]], NOW), Taken)


def test_the_last_minute_is_taken_over_by_its_seconds(state):
    at = int(NOW)
    state.restore([Count("c1/rpm", 2, "sliding", at - 50), Count("c1/rpm", 3, "sliding", at - 10)])
    state.restore([Count("c1/rpm", 1, "sliding", at - 5)])
    assert state.held("c1/rpm", NOW) == 5
    assert state.admit([[Bound("c1/rpm", 5)]], NOW).frees_at == (at - 50 + 61,)
    assert state.held("c1/rpm", NOW + 11) == 3


def test_an_owner_may_be_forgotten_and_nobody_else(state):
    state.admit([[cap("k1/cap", 9), Bound("k1/rpm/m", 9)]], NOW)
    state.admit([[cap("k11/cap", 9)]], NOW)
    state.forget("k1")
    assert [state.held(name, NOW, DAY) for name in ("k1/cap", "k1/rpm/m", "k11/cap")] == [0, 0, 1]


def test_two_hundred_callers_never_overshoot(state):
    answers = []

    def call():
        gevent.sleep(0)
        answers.append(state.admit([[cap("k1/cap", 37), Bound("k1/rpm", 90)], [Bound("k2/tpm", 200, 10)]], NOW))
        gevent.sleep(0)

    callers = Group()
    for _ in range(200):
        callers.spawn(call)
    callers.join(raise_error=True)
    taken = [answer.offer if isinstance(answer, Taken) else None for answer in answers]
    assert (taken.count(0), taken.count(1), taken.count(None)) == (37, 20, 143)
    assert (state.held("k1/cap", NOW, DAY), state.held("k1/rpm", NOW), state.held("k2/tpm", NOW)) == (37, 37, 200)


def test_counters_do_not_touch_one_another(state):
    take(state, "a", 1, 60.0, NOW)
    assert take(state, "b", 1, 60.0, NOW).allowed


def test_a_chore_has_one_leader_until_its_time_is_over(state):
    assert state.claim("drain", "first", 3.0, NOW)
    assert not state.claim("drain", "second", 3.0, NOW + 2.9)
    assert state.claim("drain", "second", 3.0, NOW + 3)
    assert not state.claim("drain", "first", 3.0, NOW + 4)


def test_the_leader_keeps_a_chore_by_claiming_it_again(state):
    for n in range(5):
        assert state.claim("drain", "first", 3.0, NOW + 2 * n)
    assert not state.claim("drain", "second", 3.0, NOW + 10.9)


def test_another_chore_may_have_another_leader(state):
    state.claim("drain", "first", 3.0, NOW)
    assert state.claim("prune", "second", 3.0, NOW)


def test_every_listener_hears_every_word_from_then_on(state):
    early, late = [], []
    words = [Word(1, "quota_day", NOW + 60, "m"), Word(2, "dead", float("inf")), Word(1, "", 0.0)]
    state.listen(early.append)
    state.announce(words[0])
    state.listen(late.append)
    for word in words[1:]:
        state.announce(word)
    assert (early, late) == (words, words[1:])


def test_of_too_many_windows_in_memory_the_longest_unused_is_given_up():
    state = MemoryState()
    take(state, "busy", 2, 1e9, NOW)
    take(state, "idle", 2, 1e9, NOW)
    for n in range(MOST_SLIDING - 2):
        take(state, f"bucket-{n}", 2, 1e9, NOW)
    take(state, "busy", 2, 1e9, NOW)
    take(state, "one more", 2, 1e9, NOW)
    assert not take(state, "busy", 2, 1e9, NOW).allowed
    assert take(state, "idle", 2, 1e9, NOW).remaining == 1


def test_periods_that_are_over_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("pool.adapters.memory.MOST_PERIODS", 10)
    state = MemoryState()
    state._look_at = 10
    for n in range(100):
        state.admit([[cap(f"k{n}/cap", 1, ends_at=NOW + n)]], NOW + n)
    assert sum(state.held(f"k{n}/cap", NOW, DAY) for n in range(100)) < 30
