"""What every `PoolState` promises: one suite, run on each implementation."""

import gevent
import pytest
from gevent.pool import Group

from pool.adapters.memory import MOST_BUCKETS, MemoryState
from pool.core.state import Demand, Word

NOW = 1_000.0
DAY = "2026-11-21"


def memory_state():
    return MemoryState()


IMPLEMENTATIONS = {"memory": memory_state}
"""How each implementation is made, empty."""


@pytest.fixture(params=IMPLEMENTATIONS)
def state(request):
    return IMPLEMENTATIONS[request.param]()


def test_the_first_key_that_fits_is_admitted(state):
    full = Demand(1, cap=0)
    assert state.admit([full, Demand(2, cap=1), Demand(3)]) == 2
    assert state.admit([full, Demand(2, cap=1), Demand(3)]) == 3
    assert state.admit([full]) is None
    assert state.admit([]) is None


def test_a_refused_demand_leaves_no_trace(state):
    state.admit([Demand(1, cap=1, window=DAY)])
    assert state.admit([Demand(1, cap=1, window=DAY)]) is None
    assert (state.used(1, DAY), state.in_flight(1)) == (1, 1)


def test_only_the_admitted_key_is_counted(state):
    state.admit([Demand(1, cap=5, window=DAY), Demand(2, cap=5, window=DAY)])
    assert (state.used(2, DAY), state.in_flight(2)) == (0, 0)


def test_a_key_without_a_cap_is_always_admitted(state):
    assert {state.admit([Demand(1)]) for _ in range(100)} == {1}
    assert state.in_flight(1) == 100


def test_an_ended_attempt_still_counts_against_the_cap(state):
    state.admit([Demand(1, cap=1, window=DAY)])
    state.end(1)
    assert (state.in_flight(1), state.used(1, DAY)) == (0, 1)
    assert state.admit([Demand(1, cap=1, window=DAY)]) is None


def test_what_never_began_may_end_without_harm(state):
    state.end(1)
    assert state.in_flight(1) == 0
    state.admit([Demand(1)])
    assert state.in_flight(1) == 1


def test_a_new_window_begins_at_nothing(state):
    state.admit([Demand(1, cap=1, window=DAY)])
    assert state.admit([Demand(1, cap=1, window="2026-11-22")]) == 1
    assert state.used(1, "2026-11-22") == 1


def test_a_lower_cap_counts_what_was_used_before(state):
    for _ in range(5):
        state.admit([Demand(1, cap=10)])
    assert state.admit([Demand(1, cap=5)]) is None
    assert state.admit([Demand(1, cap=6)]) == 1


def test_a_count_from_storage_is_taken_over_unless_there_is_a_higher_one(state):
    state.restore(1, DAY, 7)
    assert state.used(1, DAY) == 7
    state.restore(1, DAY, 3)
    assert state.used(1, DAY) == 7
    assert state.admit([Demand(1, cap=7, window=DAY)]) is None
    assert state.admit([Demand(1, cap=8, window=DAY)]) == 1


def test_a_reset_key_may_be_used_again(state):
    state.admit([Demand(1, cap=1)])
    state.admit([Demand(2, cap=1)])
    state.reset(1)
    assert state.used(1, "") == 0
    assert state.admit([Demand(1, cap=1)]) == 1
    assert state.admit([Demand(2, cap=1)]) is None


def test_two_hundred_callers_never_overshoot_a_cap(state):
    admitted = []

    def call():
        gevent.sleep(0)
        admitted.append(state.admit([Demand(1, cap=37, window=DAY), Demand(2, cap=20, window=DAY)]))
        gevent.sleep(0)

    callers = Group()
    for _ in range(200):
        callers.spawn(call)
    callers.join(raise_error=True)
    assert (admitted.count(1), admitted.count(2), admitted.count(None)) == (37, 20, 143)
    assert (state.used(1, DAY), state.in_flight(1)) == (37, 37)


def test_two_hundred_callers_never_overshoot_a_window(state):
    grants = []

    def call():
        gevent.sleep(0)
        grants.append(state.take("client-1", 50, 60.0, NOW))

    callers = Group()
    for _ in range(200):
        callers.spawn(call)
    callers.join(raise_error=True)
    assert sum(grant.allowed for grant in grants) == 50


def test_a_window_tells_what_is_left_and_when_it_begins_anew(state):
    first = state.take("c", 3, 60.0, NOW)
    second = state.take("c", 3, 60.0, NOW + 10)
    assert (first.allowed, first.remaining, first.resets_at) == (True, 2, NOW + 60)
    assert (second.allowed, second.remaining, second.resets_at) == (True, 1, NOW + 60)


def test_a_clock_set_back_locks_nobody_out(state):
    assert state.take("c", 1, 60.0, NOW).allowed
    assert state.take("c", 1, 60.0, NOW - 86_400).allowed


def test_a_window_slides(state):
    for n in range(3):
        assert state.take("c", 3, 60.0, NOW + n).allowed
    assert not state.take("c", 3, 60.0, NOW + 59.9).allowed
    assert state.take("c", 3, 60.0, NOW + 60).allowed
    refused = state.take("c", 3, 60.0, NOW + 60.5)
    assert (refused.allowed, refused.remaining, refused.resets_at) == (False, 0, NOW + 61)


def test_a_refused_amount_is_not_counted(state):
    assert state.take("tokens", 100, 60.0, NOW, 70).allowed
    refused = state.take("tokens", 100, 60.0, NOW, 31)
    assert (refused.allowed, refused.remaining) == (False, 30)
    assert state.take("tokens", 100, 60.0, NOW, 30).remaining == 0


def test_asking_for_nothing_only_looks(state):
    state.take("c", 2, 60.0, NOW)
    for _ in range(3):
        assert state.take("c", 2, 60.0, NOW, 0).remaining == 1


def test_what_was_reserved_too_much_is_given_back(state):
    state.take("tokens", 100, 60.0, NOW, 90)
    state.take("tokens", 100, 60.0, NOW + 1, -50)
    assert state.take("tokens", 100, 60.0, NOW + 2, 60).remaining == 0


def test_buckets_do_not_touch_one_another(state):
    state.take("a", 1, 60.0, NOW)
    assert state.take("b", 1, 60.0, NOW).allowed


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


def test_of_too_many_buckets_in_memory_the_longest_unused_is_given_up():
    state = MemoryState()
    state.take("busy", 2, 1e9, NOW)
    state.take("idle", 2, 1e9, NOW)
    for n in range(MOST_BUCKETS - 2):
        state.take(f"bucket-{n}", 2, 1e9, NOW)
    state.take("busy", 2, 1e9, NOW)
    state.take("one more", 2, 1e9, NOW)
    assert not state.take("busy", 2, 1e9, NOW).allowed
    assert state.take("idle", 2, 1e9, NOW).remaining == 1
