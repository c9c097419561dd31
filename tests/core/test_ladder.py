import random
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from pool.core.ladder import CORRECTION, FEW, IDLE_LOOKS, LEAF, MOST_BACK, MOST_VIEWS, MOST_WORK, Ladder
from pool.core.ready import ReadySet

UP = 100


def ready_of(*slots):
    ready = ReadySet()
    for slot in slots:
        ready.add(slot)
    return ready


def ladder_of(count, catch_up=False):
    ladder = Ladder(catch_up)
    for slot in range(count):
        ladder.put(slot, 0)
    return ladder


def look(ladder, ready, model="", away=None, tried=()):
    slot = ladder.lowest(ready, model, away, tried.__contains__ if tried else None)
    if slot is not None:
        ladder.grow(slot, ladder.heights[slot] + UP)
    return slot


class AnyOrder(RuleBasedStateMachine):
    """Whatever comes and goes, a look at few slots finds the lowest one that is open, or none where none is."""

    SLOTS = 3 * LEAF  # one look corrects as many leaves as there are

    def __init__(self):
        super().__init__()
        self.ladder, self.ready = Ladder(), ReadySet()
        self.aways = {model: ReadySet() for model in "ab"}

    @rule(height=st.integers(0, 5))
    @precondition(lambda self: len(self.ladder.heights) < self.SLOTS)
    def put(self, height):
        slot = len(self.ladder.heights)
        self.ready.add(slot)
        self.ladder.put(slot, height)

    @rule(slot=st.integers(0, SLOTS - 1), height=st.integers(0, 3))
    def reuse(self, slot, height):
        if slot < len(self.ladder.heights) and slot not in self.ready:
            self.ready.add(slot)
            self.ladder.put(slot, height)

    @rule(slots=st.sets(st.integers(0, SLOTS - 1)))
    def rest(self, slots):
        for slot in slots:
            self.ready.discard(slot)

    @rule(slots=st.sets(st.integers(0, SLOTS - 1)))
    def come_back(self, slots):
        for slot in slots:
            if slot < len(self.ladder.heights):
                self.ready.add(slot)
                self.ladder.returned(slot)

    @rule(model=st.sampled_from("ab"), slots=st.sets(st.integers(0, SLOTS - 1)))
    def rest_for_one_model(self, model, slots):
        for slot in slots:
            self.aways[model].add(slot)

    @rule(model=st.sampled_from("ab"), slots=st.sets(st.integers(0, SLOTS - 1)))
    def come_back_for_one_model(self, model, slots):
        for slot in slots:
            if slot in self.aways[model]:
                self.aways[model].discard(slot)
                if slot in self.ready:
                    self.ladder.returned(slot, model)

    @rule(model=st.sampled_from("ab"))
    def forget(self, model):
        self.ladder.forget(model)

    @rule(
        model=st.sampled_from(["", "a", "b"]),
        tried=st.sets(st.integers(0, SLOTS - 1), max_size=5),
        by=st.integers(1, 4),
    )
    def find(self, model, tried, by):
        away = self.aways.get(model)
        open_slots = [slot for slot in self.ready if slot not in tried and not (away and slot in away)]
        found = self.ladder.lowest(self.ready, model, away, tried.__contains__)
        if not open_slots:
            assert found is None
            return
        assert found in open_slots
        assert self.ladder.heights[found] == min(self.ladder.heights[slot] for slot in open_slots)
        self.ladder.grow(found, self.ladder.heights[found] + by)


AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_the_lowest_goes_first_and_then_stands_higher():
    ladder, ready = ladder_of(3), ready_of(0, 1, 2)
    assert [look(ladder, ready) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
    assert list(ladder.heights) == [2 * UP] * 3


def test_to_look_changes_no_order():
    ladder, ready = ladder_of(40), ready_of(*range(40))
    for _ in range(10):
        assert ladder.lowest(ready, barred=lambda slot: slot < 20) == 20
    assert [look(ladder, ready) for _ in range(40)] == list(range(40))


def test_a_tried_slot_is_passed_over_and_keeps_its_place():
    ladder, ready = ladder_of(3), ready_of(0, 1, 2)
    assert look(ladder, ready, tried={0, 1}) == 2
    assert look(ladder, ready) == 0


def test_with_catch_up_a_rest_is_not_paid_back_in_a_burst():
    ladder, ready = ladder_of(2, catch_up=True), ready_of(0, 1)
    look(ladder, ready)
    ready.discard(0)
    for _ in range(100):
        look(ladder, ready)
    ready.add(0)
    ladder.returned(0)
    served = Counter(look(ladder, ready) for _ in range(100))
    assert abs(served[0] - served[1]) <= 2


def test_with_catch_up_a_newcomer_begins_where_the_others_stand():
    ladder, ready = ladder_of(2, catch_up=True), ready_of(0, 1)
    for _ in range(200):
        look(ladder, ready)
    ladder.put(2, 0)
    ready.add(2)
    served = Counter(look(ladder, ready) for _ in range(30))
    assert served[2] <= 11


def test_models_share_the_heights():
    away, other = ready_of(*range(8, 16)), ready_of(*range(16, 24))
    ladder, ready = ladder_of(24), ready_of(*range(24))
    assert look(ladder, ready, "a", away) == 0
    assert look(ladder, ready, "b", other) == 1
    assert look(ladder, ready, "a", away) == 2


def test_few_exceptions_need_no_bounds_of_their_own_and_many_do():
    ladder, ready = ladder_of(24), ready_of(*range(24))
    look(ladder, ready, "few", ready_of(*range(FEW)))
    assert list(ladder._views) == []
    look(ladder, ready, "many", ready_of(*range(FEW + 1)))
    assert list(ladder._views) == ["many"]


def test_models_that_are_asked_keep_their_bounds_and_one_that_is_not_leaves_them():
    ladder, ready, away = ladder_of(24), ready_of(*range(24)), ready_of(*range(8))
    models = [f"model-{n}" for n in range(MOST_VIEWS)]
    assert all(look(ladder, ready, model, away) is not None for model in models)
    assert look(ladder, ready, "one more", away) is None
    for _ in range(IDLE_LOOKS):
        look(ladder, ready, models[1], away)
    assert look(ladder, ready, "one more", away) is not None
    assert len(ladder._views) == MOST_VIEWS
    assert models[0] not in ladder._views


@pytest.mark.parametrize("others", [0, MOST_BACK - 2, MOST_BACK - 1, 3 * MOST_BACK])
def test_a_model_hears_of_a_slot_that_came_back_however_many_did_since(others):
    ladder, away = ladder_of(LEAF), ready_of(*range(FEW + 1))
    ready, last = ready_of(*range(2 * LEAF - 1)), 2 * LEAF - 1
    for slot in range(LEAF, last):
        ladder.put(slot, 1_000 * UP)
    ladder.put(last, 0)
    for _ in range(3 * LEAF):
        assert look(ladder, ready, "m", away) < LEAF
    ready.add(last)
    ladder.returned(last)
    for _ in range(others):
        ladder.returned(0)
    assert look(ladder, ready, "m", away) == last


def test_one_look_corrects_a_bounded_number_of_leaves():
    leaves = 50
    ladder, ready = ladder_of(leaves * LEAF), ready_of(*range(leaves * LEAF))
    away = ready_of(*range(FEW + 1))
    look(ladder, ready, "m", away)
    for _ in range(leaves * LEAF):
        look(ladder, ready)
    before = list(ladder._views["m"].leaves)
    look(ladder, ready, "m", away)
    after = list(ladder._views["m"].leaves)
    assert 0 < sum(one != other for one, other in zip(before, after, strict=True)) <= MOST_WORK // CORRECTION


def test_however_many_models_take_turns_every_slot_is_served_alike():
    """Each use outdates what all other models know, and each look corrects a few of that."""
    count, models = 64 * LEAF, [f"model-{n}" for n in range(10)]
    ladder, ready, rng = ladder_of(count), ready_of(*range(count)), random.Random(5)
    aways = {model: ready_of(*rng.sample(range(count), count // 4)) for model in models}
    for n in range(20 * count):
        look(ladder, ready, models[n % 10], aways[models[n % 10]])
    uses = [height // UP for height in ladder.heights]
    assert max(uses) - min(uses) <= 3


def test_entries_that_say_nothing_any_more_are_swept_up():
    ladder, ready = ladder_of(LEAF), ready_of(*range(LEAF))
    for height in range(10_000, 0, -1):
        ladder.put(0, height)
    assert len(ladder._every.entries) <= 4 * LEAF
    assert look(ladder, ready) == 1
