"""What each policy promises about shares, and that asking who is next changes none of them."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pool.core.keys import FOREVER
from pool.core.rotation import (
    ADAPTIVE,
    LEAST_USED,
    LRU,
    POLICIES,
    RANDOM,
    ROUND_ROBIN,
    WEIGHTED,
    Member,
    Rotation,
)
from pool.core.vitals import Vitals

NOW = 1_000.0
IN_TURN = [policy for policy in POLICIES if policy != RANDOM]
# Of the chi-square distribution, the value that one in a thousand fair draws exceeds, by degrees of freedom.
UNLIKELY = {3: 16.27, 9: 27.88}


def rotation_of(count, **fields):
    return Rotation([Member(n, **fields) for n in range(1, count + 1)], random.Random(7), Vitals())


def serve(rotation, count, policy=ROUND_ROBIN, model="m", now=NOW, tried=()):
    return [rotation.choose(policy, model, now, tried) for _ in range(count)]


def chi_square(served, shares):
    total, whole = sum(served.values()), sum(shares.values())
    expected = {key_id: total * share / whole for key_id, share in shares.items()}
    return sum((served[key_id] - expected[key_id]) ** 2 / expected[key_id] for key_id in shares)


@pytest.mark.parametrize("policy", IN_TURN)
def test_a_hundred_requests_over_four_keys_are_twenty_five_each(policy):
    served = Counter(serve(rotation_of(4), 100, policy))
    assert all(abs(served[key_id] - 25) <= 1 for key_id in (1, 2, 3, 4))


@pytest.mark.parametrize("policy", IN_TURN)
def test_a_hundred_keys_that_are_alike_get_alike(policy):
    served = Counter(serve(rotation_of(100), 10_000, policy))
    assert all(abs(served[key_id] - 100) <= 1 for key_id in range(1, 101))


@pytest.mark.parametrize("policy", [WEIGHTED, ADAPTIVE])
def test_weights_hold_within_two_percent_over_ten_thousand(policy):
    rotation = Rotation([Member(1, 3), Member(2, 1), Member(3, 1)], vitals=Vitals())
    served = Counter(serve(rotation, 10_000, policy))
    assert served[1] == pytest.approx(6000, rel=0.02)
    assert served[2] == pytest.approx(2000, rel=0.02)
    assert served[3] == pytest.approx(2000, rel=0.02)


@pytest.mark.parametrize("policy", [WEIGHTED, ADAPTIVE])
def test_weights_are_smooth_at_every_moment(policy):
    rotation = Rotation([Member(1, 3), Member(2, 1), Member(3, 1)], vitals=Vitals())
    served = Counter()
    for n in range(1, 1_001):
        served[rotation.choose(policy, "m", NOW)] += 1
        assert abs(served[1] - n * 0.6) <= 1.2
        assert abs(served[2] - n * 0.2) <= 1.2


def test_weights_from_one_to_a_hundred_hold_among_hundreds_of_keys():
    rng = random.Random(2)
    weights = {key_id: rng.randint(1, 100) for key_id in range(400)}
    rotation = Rotation(Member(key_id, weight) for key_id, weight in weights.items())
    served = Counter(serve(rotation, 10 * sum(weights.values()), WEIGHTED))
    assert all(abs(served[key_id] - 10 * weight) <= 0.02 * 10 * weight + 2 for key_id, weight in weights.items())


def test_many_light_keys_beside_a_heavy_one_do_not_come_in_a_block():
    rotation = Rotation([Member(0, 100), *(Member(n, 1) for n in range(1, 101))])
    runs, longest, last = 0, 0, None
    for key_id in serve(rotation, 2_000, WEIGHTED):
        heavy = key_id == 0
        runs = runs + 1 if heavy == last else 1
        longest, last = max(longest, runs), heavy
    assert longest <= 3


def test_the_least_used_key_is_chosen_whatever_model_used_it():
    rotation, rng = rotation_of(7), random.Random(1)
    used = Counter(dict.fromkeys(range(1, 8), 0))
    for key_id in (1, 2, 3):
        rotation.bench(key_id, "quota_day", FOREVER, f"model-{key_id}")
    for _ in range(2_000):
        model = f"model-{rng.randrange(1, 6)}"
        ready = [key_id for key_id in used if model != f"model-{key_id}" or key_id > 3]
        chosen = rotation.choose(LEAST_USED, model, NOW)
        assert chosen in ready
        assert used[chosen] == min(used[key_id] for key_id in ready)
        used[chosen] += 1


def test_uses_before_the_start_count_for_least_used():
    rotation = Rotation([Member(1, used=10), Member(2, used=7), Member(3, used=7)])
    assert Counter(serve(rotation, 6, LEAST_USED)) == {2: 3, 3: 3}


@pytest.mark.parametrize("policy", [LEAST_USED, LRU])
def test_what_another_policy_used_counts_as_used(policy):
    rotation = rotation_of(6)
    first = {rotation.choose(other, "m", NOW) for other in (ROUND_ROBIN, RANDOM, WEIGHTED)}
    rest = set(range(1, 7)) - first
    assert set(serve(rotation, len(rest), policy)) == rest


def test_the_key_longest_unused_is_chosen_by_lru():
    rotation = rotation_of(4)
    assert serve(rotation, 4, LRU) == [1, 2, 3, 4]
    assert rotation.choose(LRU, "m", NOW, tried={1}) == 2
    assert serve(rotation, 4, LRU) == [1, 3, 4, 2]


def test_lru_is_right_at_every_choice_whatever_rests():
    rotation, rng, last = rotation_of(10), random.Random(4), dict.fromkeys(range(1, 11), 0)
    for n in range(1, 2_000):
        model = rng.choice("abc")
        key_id = rng.randint(1, 10)
        rotation.bench(key_id, "quota_minute", NOW + n + rng.randint(1, 9), model)
        ready = [each for each in last if model not in rotation.benches(each)]
        chosen = rotation.choose(LRU, model, NOW)
        assert chosen is None if not ready else last[chosen] == min(last[each] for each in ready)
        if chosen:
            last[chosen] = n
        if n % 7 == 0:
            rotation.release(rng.randint(1, 10), None)


def test_a_key_back_from_a_rest_is_the_next_by_lru():
    rotation = rotation_of(3)
    rotation.bench(2, "quota_minute", NOW + 60)
    assert serve(rotation, 4, LRU) == [1, 3, 1, 3]
    assert serve(rotation, 3, LRU, now=NOW + 60) == [2, 1, 3]


def test_random_is_uniform():
    served = Counter(serve(rotation_of(4), 10_000, RANDOM))
    assert chi_square(served, dict.fromkeys(range(1, 5), 1)) < UNLIKELY[3]


@pytest.mark.parametrize("resting", [40, 990])
def test_random_is_uniform_over_the_ready_keys_however_few(resting):
    rotation = rotation_of(resting + 10)
    rng = random.Random(5)
    ready = rng.sample(range(1, resting + 11), 10)
    for key_id in set(range(1, resting + 11)) - set(ready):
        rotation.bench(key_id, "dead", FOREVER, rng.choice(["", "m"]))
    served = Counter(serve(rotation, 20_000, RANDOM))
    assert set(served) == set(ready)
    assert chi_square(served, dict.fromkeys(ready, 1)) < UNLIKELY[9]


def test_random_finds_the_one_key_not_tried_among_many():
    rotation = rotation_of(200)
    tried = set(range(1, 201)) - {137}
    assert rotation.choose(RANDOM, "m", NOW, tried) == 137
    assert rotation.choose(RANDOM, "m", NOW, tried | {137}) is None


@pytest.mark.parametrize("policy", POLICIES)
def test_a_lower_tier_serves_only_where_no_key_above_can(policy):
    rotation = Rotation([Member(1, tier=5), Member(2, tier=0), Member(3, tier=1)], vitals=Vitals())
    assert set(serve(rotation, 5, policy)) == {2}
    assert rotation.choose(policy, "m", NOW, tried={2}) == 3
    rotation.bench(2, "quota_day", FOREVER)
    rotation.bench(3, "quota_day", NOW + 60, "m")
    assert set(serve(rotation, 5, policy)) == {1}
    assert set(serve(rotation, 5, policy, model="n")) == {3}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("reason", ["tried", "benched", "benched for the model", "removed", "half of each"])
def test_a_lower_tier_serves_when_none_above_can_whatever_the_reason(policy, reason):
    rotation = Rotation([*(Member(n) for n in range(1, 9)), Member(9, tier=1)], random.Random(1), Vitals())
    tried = {"tried": range(1, 9), "half of each": range(1, 5)}.get(reason, ())
    for key_id in set(range(1, 9)) - set(tried):
        if reason == "removed":
            rotation.remove(key_id)
        elif reason != "tried":
            rotation.bench(key_id, "quota_day", FOREVER, "m" if reason == "benched for the model" else "")
    assert serve(rotation, 3, policy, tried=set(tried)) == [9, 9, 9]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_standby_key_serves_only_where_no_other_of_its_tier_can(policy):
    rotation = Rotation([Member(1, 0), Member(2), Member(3), Member(4, tier=1)], random.Random(1), Vitals())
    assert set(serve(rotation, 10, policy)) == {2, 3}
    assert rotation.choose(policy, "m", NOW, tried={2, 3}) == 1
    rotation.bench(2, "quota_minute", NOW + 60)
    rotation.bench(3, "quota_minute", NOW + 60, "m")
    assert set(serve(rotation, 3, policy)) == {1}
    assert set(serve(rotation, 3, policy, model="n")) == {3}
    assert set(serve(rotation, 4, policy, now=NOW + 60)) <= {2, 3}


@pytest.mark.parametrize("policy", POLICIES)
def test_standby_keys_share_like_others_when_they_serve(policy):
    rotation = rotation_of(4, weight=0)
    served = Counter(serve(rotation, 1_000, policy))
    assert all(count == pytest.approx(250, rel=0.15) for count in served.values())


@pytest.mark.parametrize("policy", POLICIES)
def test_a_request_gets_every_key_once_and_none_twice(policy):
    rotation, tried = rotation_of(300), {}
    while (key_id := rotation.choose(policy, "m", NOW, tried)) is not None:
        assert key_id not in tried
        tried[key_id] = None
    assert len(tried) == 300


@pytest.mark.parametrize("policy", IN_TURN)
def test_one_order_holds_for_all_models_with_exceptions_or_without(policy):
    rotation = rotation_of(60)
    for key_id in range(1, 61):
        rotation.bench(key_id, "quota_day", FOREVER, "ab"[key_id % 2])
    for n in range(6_000):
        rotation.choose(policy, "abc"[n % 3], NOW)
    served = Counter(rotation.choose(policy, "c", NOW) for _ in range(600))
    assert all(abs(count - 10) <= 2 for count in served.values())


@given(
    policy=st.sampled_from(IN_TURN),
    weights=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    rests=st.lists(st.tuples(st.integers(1, 40), st.sampled_from(["", "a", "b"]), st.integers(1, 20)), max_size=30),
    calls=st.lists(st.tuples(st.sampled_from("abc"), st.sets(st.integers(1, 40), max_size=6)), max_size=30),
)
@settings(max_examples=150, deadline=None)
def test_a_preview_names_the_next_and_leaves_all_that_follow_as_they_were(policy, weights, rests, calls):
    def fresh():
        vitals = Vitals()
        for key_id in range(1, 41, 3):
            vitals.ended(key_id, key_id % 2 == 0, 1.0, NOW)
            vitals.began(key_id)
        rotation = Rotation((Member(n, weight) for n, weight in enumerate(weights, 1)), vitals=vitals)
        for key_id, model, rest_s in rests:
            rotation.bench(key_id, "quota_minute", NOW + rest_s, model)
        return rotation

    asked, plain = fresh(), fresh()
    for n, (model, tried) in enumerate(calls):
        for rotation in (asked, plain):
            rotation.wake(NOW + n, 1_000)
        previews = {asked.preview(policy, model, NOW + n, tried) for _ in range(3)}
        for other in POLICIES:
            asked.preview(other, "c", NOW + n, tried)
        chosen = asked.choose(policy, model, NOW + n, tried)
        assert previews == {chosen}
        assert plain.choose(policy, model, NOW + n, tried) == chosen


def test_a_preview_of_random_is_a_key_it_could_choose_and_draws_no_lot():
    asked, plain = rotation_of(5), rotation_of(5)
    for rotation in (asked, plain):
        rotation.bench(2, "dead", FOREVER)
    for _ in range(50):
        assert asked.preview(RANDOM, "m", NOW, {1}) in {3, 4, 5}
        assert asked.choose(RANDOM, "m", NOW) == plain.choose(RANDOM, "m", NOW)
