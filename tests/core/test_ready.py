import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pool.core.ready import WORD, ReadySet

# Around the edges of words, where a shift may go wrong, and far apart.
slots = st.one_of(st.integers(0, 70), st.integers(WORD - 3, WORD + 3), st.integers(0, 5 * WORD))


def ready_of(members):
    ready = ReadySet()
    for slot in members:
        ready.add(slot)
    return ready


class AnyOrder(RuleBasedStateMachine):
    """Whatever is added and discarded, a `ReadySet` says what a `set` says."""

    def __init__(self):
        super().__init__()
        self.ready, self.model = ReadySet(), set()

    @rule(slot=slots)
    def add(self, slot):
        self.ready.add(slot)
        self.model.add(slot)

    @rule(slot=slots)
    def discard(self, slot):
        self.ready.discard(slot)
        self.model.discard(slot)

    @rule(slot=slots)
    def contains(self, slot):
        assert (slot in self.ready) == (slot in self.model)

    @rule(start=slots)
    def next_goes_round(self, start):
        at_or_after = [slot for slot in self.model if slot >= start]
        assert self.ready.next(start) == min(at_or_after or self.model, default=None)

    @rule(k=st.integers(0, 60))
    def select(self, k):
        if k < len(self.model):
            assert self.ready.select(k) == sorted(self.model)[k]
        else:
            with pytest.raises(IndexError):
                self.ready.select(k)

    @rule(start=slots, away=st.sets(slots, max_size=8))
    def next_without_some(self, start, away):
        left = self.model - away
        at_or_after = [slot for slot in left if slot >= start]
        assert self.ready.next(start, ready_of(away)) == min(at_or_after or left, default=None)

    @rule(k=st.integers(0, 20), away=st.sets(slots, max_size=8))
    def select_without_some(self, k, away):
        left = sorted(self.model - away)
        if k < len(left):
            assert self.ready.select(k, ready_of(away)) == left[k]
        else:
            with pytest.raises(IndexError):
                self.ready.select(k, ready_of(away))

    @rule()
    def members_in_order(self):
        assert list(self.ready) == sorted(self.model)

    @invariant()
    def says_the_same(self):
        assert self.ready.count == len(self.model)


TestAnyOrder = AnyOrder.TestCase


@given(st.sets(slots, min_size=1))
def test_every_member_is_selected_once(members):
    ready = ready_of(members)
    assert [ready.select(k) for k in range(ready.count)] == sorted(members)


@given(st.sets(slots, min_size=1))
def test_going_on_from_each_member_meets_all_of_them(members):
    ready, met, slot = ready_of(members), [], 0
    for _ in members:
        slot = ready.next(slot)
        met.append(slot)
        slot += 1
    assert met == sorted(members)


def test_a_start_beyond_the_last_member_comes_round_to_the_first():
    assert ready_of([5, 2000]).next(1_000_000) == 5


@given(st.sets(slots, min_size=1))
def test_without_all_of_its_members_there_is_no_next(members):
    assert ready_of(members).next(0, ready_of(members)) is None
