import random
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pool.core.keys import FOREVER
from pool.core.rotation import (
    ADAPTIVE,
    LEAST_USED,
    LRU,
    MOST_MODELS,
    MOST_WAKES,
    POLICIES,
    RANDOM,
    ROUND_ROBIN,
    WEIGHTED,
    Bench,
    Member,
    Rotation,
    canonical_policy,
)

NOW = 1_000.0
EVERYTHING = 1_000_000


def rotation_of(count, **fields):
    return Rotation([Member(n, **fields) for n in range(1, count + 1)], random.Random(7))


def serve(rotation, count, policy=ROUND_ROBIN, model="m", now=NOW):
    return [rotation.choose(policy, model, now) for _ in range(count)]


class NaiveRotation:
    """The rules by looking at every key: what may be chosen, how many rest, when the first comes back."""

    def __init__(self):
        self.members, self.benches = {}, {}

    def against(self, key_id, model, now):
        """What sets a key aside for a model; a reason for every model goes first."""
        known = {name: bench for name, bench in self.benches.get(key_id, {}).items() if bench.until > now}
        return known.get("") or known.get(model)

    def ready(self, model, now):
        return {key_id for key_id in self.members if not self.against(key_id, model, now)}

    def eligible(self, model, now, tried):
        """The keys of the highest tier that has one; in a tier, standby keys come last."""
        left = self.ready(model, now) - set(tried)
        best = min((self.rank(key_id) for key_id in left), default=None)
        return {key_id for key_id in left if self.rank(key_id) == best}

    def rank(self, key_id):
        return self.members[key_id].tier, self.members[key_id].weight == 0

    def census(self, model, now):
        found = (self.against(key_id, model, now) for key_id in self.members)
        return Counter(bench.reason for bench in found if bench)

    def recovery(self, model, now):
        moments = [
            max(bench.until for name, bench in self.benches[key_id].items() if name in ("", model))
            for key_id in self.members
            if self.against(key_id, model, now)
        ]
        return min((moment for moment in moments if moment != FOREVER), default=None)


key_ids = st.integers(1, 8)
models = st.sampled_from(["a", "b", "c"])
reasons = st.sampled_from(["quota_day", "dead", "disabled"])


class LikeTheNaiveOne(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.rotation, self.naive, self.now = Rotation(rng=random.Random(3)), NaiveRotation(), NOW

    @rule(key_id=key_ids, weight=st.sampled_from([0, 1, 5]), tier=st.sampled_from([0, 0, 1]))
    def add(self, key_id, weight, tier):
        member = Member(key_id, weight, tier)
        self.rotation.add(member)
        self.naive.members[key_id] = member

    @rule(key_id=key_ids)
    def remove(self, key_id):
        self.rotation.remove(key_id)
        self.naive.members.pop(key_id, None)
        self.naive.benches.pop(key_id, None)

    @rule(
        key_id=key_ids, model=st.one_of(st.just(""), models), reason=reasons, rest=st.sampled_from([-1, 3, 9, FOREVER])
    )
    def bench(self, key_id, model, reason, rest):
        self.rotation.bench(key_id, reason, self.now + rest, model)
        if key_id in self.naive.members:
            self.naive.benches.setdefault(key_id, {})[model] = Bench(reason, self.now + rest)

    @rule(key_id=key_ids, model=st.one_of(st.none(), st.just(""), models))
    def release(self, key_id, model):
        self.rotation.release(key_id, model)
        if model is None:
            self.naive.benches.pop(key_id, None)
        else:
            self.naive.benches.get(key_id, {}).pop(model, None)

    @rule(seconds=st.sampled_from([1, 3, 5]))
    def wait(self, seconds):
        self.now += seconds

    @rule(policy=st.sampled_from(POLICIES), model=models, tried=st.sets(key_ids))
    def choose(self, policy, model, tried):
        eligible = self.naive.eligible(model, self.now, tried)
        self.rotation.wake(self.now, EVERYTHING)
        previewed = self.rotation.preview(policy, model, self.now, tried)
        chosen = self.rotation.choose(policy, model, self.now, tried)
        assert chosen in eligible if eligible else chosen is None
        assert previewed in eligible if policy == RANDOM and eligible else previewed == chosen

    @rule(model=models)
    def count(self, model):
        self.rotation.wake(self.now, EVERYTHING)
        assert self.rotation.ready(model, self.now) == len(self.naive.ready(model, self.now))
        assert self.rotation.census(model, self.now) == self.naive.census(model, self.now)
        assert self.rotation.recovery(model) == self.naive.recovery(model, self.now)

    @invariant()
    def holds_the_same_keys(self):
        assert len(self.rotation) == len(self.naive.members)
        assert all(key_id in self.rotation for key_id in self.naive.members)


LikeTheNaiveOne.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLikeTheNaiveOne = LikeTheNaiveOne.TestCase


def test_round_robin_counts_every_model_in_one_order():
    rotation = rotation_of(4)
    served = [rotation.choose(ROUND_ROBIN, f"model-{n % 3}", NOW) for n in range(100)]
    assert served == [1, 2, 3, 4] * 25


def test_round_robin_stays_fair_while_a_key_cools_down_and_comes_back():
    rotation = rotation_of(4)
    rotation.bench(3, "quota_minute", NOW + 60)
    assert Counter(serve(rotation, 99)) == {1: 33, 2: 33, 4: 33}
    assert Counter(serve(rotation, 100, now=NOW + 60)) == dict.fromkeys([1, 2, 3, 4], 25)


def test_a_key_that_cools_down_for_one_model_serves_the_others():
    rotation = rotation_of(3)
    rotation.bench(1, "quota_day", NOW + 60, "a")
    assert Counter(serve(rotation, 10, model="a")) == {2: 5, 3: 5}
    assert Counter(serve(rotation, 9, model="b")) == {1: 3, 2: 3, 3: 3}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_bench_ends_at_its_moment_and_not_before(policy):
    rotation = rotation_of(1)
    rotation.bench(1, "quota_minute", NOW + 60)
    assert rotation.choose(policy, "m", NOW + 59.999) is None
    assert rotation.choose(policy, "m", NOW + 60) == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_an_extended_bench_does_not_wake_at_its_first_moment(policy):
    rotation = rotation_of(1)
    rotation.bench(1, "quota_minute", NOW + 60)
    rotation.bench(1, "quota_day", NOW + 600)
    assert rotation.choose(policy, "m", NOW + 60) is None
    assert rotation.choose(policy, "m", NOW + 600) == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_a_key_removed_and_added_again_owes_nothing(policy):
    rotation = rotation_of(2)
    serve(rotation, 5, policy)
    rotation.bench(1, "dead", FOREVER)
    rotation.remove(1)
    assert set(serve(rotation, 4, policy)) == {2}
    rotation.add(Member(1))
    assert 1 in serve(rotation, 12, policy)


@pytest.mark.parametrize("policy", POLICIES)
def test_another_weight_changes_nothing_known_against_a_key(policy):
    rotation = rotation_of(2)
    rotation.bench(1, "quota_day", NOW + 60, "a")
    for member in (Member(1, weight=50), Member(1, weight=50, tier=2)):
        rotation.add(member)
        assert set(serve(rotation, 6, policy, "a")) == {2}
        assert rotation.benches(1) == {"a": Bench("quota_day", NOW + 60)}


def test_a_key_that_got_another_weight_keeps_its_turn():
    rotation = rotation_of(4)
    serve(rotation, 1)
    rotation.add(Member(1, weight=9))
    assert serve(rotation, 4) == [2, 3, 4, 1]


def test_a_key_that_got_another_weight_keeps_what_it_has_served():
    rotation = rotation_of(2)
    serve(rotation, 10, LEAST_USED)
    rotation.add(Member(1, weight=9))
    assert Counter(serve(rotation, 10, LEAST_USED)) == {1: 5, 2: 5}


def test_a_key_added_later_is_not_given_what_the_others_already_served():
    rotation = rotation_of(3)
    serve(rotation, 3_000, WEIGHTED)
    rotation.add(Member(4))
    assert Counter(serve(rotation, 400, WEIGHTED))[4] == pytest.approx(100, abs=2)


def test_a_key_with_two_reasons_counts_once_under_the_one_for_every_model():
    rotation = rotation_of(2)
    rotation.bench(1, "quota_day", NOW + 60, "m")
    rotation.bench(1, "disabled", FOREVER)
    assert rotation.census("m", NOW) == {"disabled": 1}
    rotation.release(1)
    assert rotation.census("m", NOW) == {"quota_day": 1}
    assert rotation.census("n", NOW) == {}


def test_recovery_is_when_everything_known_against_a_key_is_over():
    rotation = rotation_of(3)
    rotation.bench(1, "quota_day", NOW + 900, "m")
    rotation.bench(1, "errors", NOW + 60)
    rotation.bench(2, "dead", FOREVER)
    rotation.bench(3, "quota_day", NOW + 901, "m")
    assert rotation.recovery("m") == NOW + 900
    assert rotation.recovery("n") == NOW + 60
    rotation.release(1, "m")
    assert rotation.recovery("m") == NOW + 60


def test_without_a_moment_there_is_no_recovery():
    rotation = rotation_of(1)
    assert rotation.recovery("m") is None
    rotation.bench(1, "dead", FOREVER)
    assert rotation.recovery("m") is None


def test_a_word_about_a_key_elsewhere_changes_nothing():
    rotation = rotation_of(1)
    rotation.bench(9, "dead", FOREVER)
    rotation.release(9, None)
    rotation.remove(9)
    assert rotation.census("m", NOW) == {}
    assert rotation.ready("m", NOW) == 1


def test_exceptions_of_more_models_than_fit_push_out_those_that_are_over():
    rotation = rotation_of(2)
    rotation.bench(1, "quota_day", NOW + 86_400, "first")
    for n in range(3 * MOST_MODELS):
        rotation.bench(1, "overloaded", NOW + 1, f"model-{n}")
        rotation.ready("", NOW + 2)
    assert rotation.census("first", NOW + 2) == {"quota_day": 1}


def test_beyond_the_most_models_the_oldest_exceptions_are_forgotten():
    rotation = rotation_of(2)
    for n in range(MOST_MODELS + 10):
        rotation.bench(1, "quota_day", FOREVER, f"model-{n}")
    known = rotation.benches(1)
    assert len(known) == MOST_MODELS
    assert set(serve(rotation, 4, model="model-0")) == {1, 2}
    assert set(serve(rotation, 4, model=f"model-{MOST_MODELS + 9}")) == {2}


def test_the_model_with_the_fewest_exceptions_is_the_one_forgotten():
    rotation = rotation_of(3)
    for n in range(MOST_MODELS):
        for key_id in (1,) if n == 200 else (1, 2):
            rotation.bench(key_id, "quota_day", FOREVER, f"model-{n}")
    rotation.bench(3, "quota_day", FOREVER, "one more")
    assert set(serve(rotation, 6, model="model-200")) == {1, 2, 3}
    assert set(serve(rotation, 6, model="model-0")) == {3}
    assert set(serve(rotation, 6, model="one more")) == {1, 2}


def test_a_request_for_a_model_leaves_no_trace():
    rotation = rotation_of(100)
    rotation.bench(1, "quota_day", FOREVER, "known")

    def held():
        (tier,) = rotation._order
        views = [len(ladder._views) for ladder in tier._ladders.values()]
        return len(rotation._models), len(tier.attendance._models), views

    before = held()
    for n in range(1_000):
        for policy in POLICIES:
            rotation.choose(policy, f"model-{n}", NOW)
            rotation.preview(policy, f"model-{n}", NOW)
        rotation.census(f"model-{n}", NOW)
        rotation.recovery(f"model-{n}")
    assert held() == before


def test_when_the_last_exception_of_a_model_ends_nothing_is_left_of_it():
    rotation = rotation_of(20)
    for key_id in range(1, 11):
        rotation.bench(key_id, "quota_day", NOW + 60, "m")
    serve(rotation, 40, WEIGHTED)
    (tier,) = rotation._order
    assert len(tier._ladders[WEIGHTED]._views) == 1
    rotation.wake(NOW + 60, EVERYTHING)
    assert set(serve(rotation, 40, WEIGHTED)) == set(range(1, 21))
    assert tier.attendance._models == {}
    assert tier._ladders[WEIGHTED]._views == {}


def test_a_place_that_became_free_is_used_again():
    rotation = rotation_of(4)
    for key_id in range(5, 1_000):
        rotation.remove(key_id - 1)
        rotation.add(Member(key_id))
        assert set(serve(rotation, 4)) == {1, 2, 3, key_id}
    (tier,) = rotation._order
    assert len(tier.attendance.seats) == 4


def test_a_new_key_in_the_place_of_another_hears_no_alarm_of_its_predecessor():
    rotation = rotation_of(1)
    rotation.bench(1, "quota_day", NOW + 60)
    rotation.remove(1)
    rotation.add(Member(2))
    rotation.bench(2, "quota_day", NOW + 600)
    assert rotation.choose(ROUND_ROBIN, "m", NOW + 60) is None
    assert rotation.choose(ROUND_ROBIN, "m", NOW + 600) == 2


def test_tiers_are_told_in_the_order_they_are_asked():
    rotation = Rotation([Member(1, 5), Member(2, 0), Member(3, 1, tier=2), Member(4, 1), Member(5, 1, tier=7)])
    rotation.bench(1, "quota_minute", NOW + 10, "m")
    rotation.remove(5)
    assert rotation.tiers("m", NOW) == [(0, False, 1), (0, True, 1), (2, False, 1)]
    assert rotation.tiers("other", NOW) == [(0, False, 2), (0, True, 1), (2, False, 1)]
    assert rotation.tiers("m", NOW + 10) == rotation.tiers("other", NOW + 10)
    assert rotation.member(1) == Member(1, 5)
    assert rotation.member(5) is None


def test_many_keys_due_at_once_are_woken_over_several_choices():
    count = 10 * MOST_WAKES
    rotation = rotation_of(count)
    for key_id in range(1, count + 1):
        rotation.bench(key_id, "quota_day", NOW + 60, "m")
    assert rotation.choose(ROUND_ROBIN, "m", NOW + 60) is not None
    assert set(serve(rotation, count, now=NOW + 60)) == set(range(1, count + 1))
    assert rotation.ready("m", NOW + 60) == count


@pytest.mark.parametrize("policy", POLICIES)
def test_a_due_key_is_found_behind_a_thousand_others_that_are_of_no_use(policy):
    """All wake at one moment; all but the last rest on for the model that is asked for."""
    rotation = rotation_of(1_000)
    for key_id in range(1, 1_001):
        rotation.bench(key_id, "errors", NOW + 60)
        if key_id < 1_000:
            rotation.bench(key_id, "quota_day", NOW + 900, "m")
    assert rotation.choose(policy, "m", NOW + 60) == 1_000


@pytest.mark.parametrize("policy", POLICIES)
def test_keys_of_a_higher_tier_that_are_due_go_before_those_of_a_lower(policy):
    rotation = Rotation([*(Member(n, tier=1) for n in range(1, 100)), *(Member(n) for n in range(100, 200))])
    for key_id in range(1, 200):
        rotation.bench(key_id, "quota_day", NOW + 60)
    assert all(key_id >= 100 for key_id in serve(rotation, 300, policy, now=NOW + 60))


def test_a_bench_that_is_extended_again_and_again_keeps_one_alarm():
    rotation = rotation_of(1)
    for n in range(1_000):
        rotation.bench(1, "overloaded", NOW + 60 + n, "m")
    (tier,) = rotation._order
    assert len(tier.attendance._models["m"].alarms) == 1
    assert rotation.recovery("m") == NOW + 1059
    assert rotation.choose(LRU, "m", NOW + 1058) is None
    assert rotation.choose(LRU, "m", NOW + 1059) == 1


def test_a_bench_that_is_shortened_ends_at_its_new_moment():
    rotation = rotation_of(1)
    for until in (FOREVER, NOW + 900, NOW + 60):
        rotation.bench(1, "disabled", until)
    assert rotation.choose(LRU, "m", NOW + 59) is None
    assert rotation.choose(LRU, "m", NOW + 60) == 1


def test_a_recovery_behind_very_many_that_do_not_count_is_never_told_too_late():
    rotation = rotation_of(1_000)
    for key_id in range(1, 1_001):
        rotation.bench(key_id, "quota_minute", NOW + 60, "m")
        rotation.bench(key_id, "errors", NOW + 900 + key_id)
    # Not the right one, which is found by looking at all of them, and not a later one.
    assert rotation.recovery("m") == NOW + 60
    assert rotation.recovery("n") == NOW + 901


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("roundRobin", ROUND_ROBIN),
        ("leastUsed", LEAST_USED),
        ("random", RANDOM),
        ("adaptive", ADAPTIVE),
        ("best", None),
    ],
)
def test_the_predecessors_names_of_policies_are_known(name, policy):
    assert canonical_policy(name) == policy
