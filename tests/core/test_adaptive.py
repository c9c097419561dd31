"""The policy `adaptive` in simulated traffic: who gets how much, while keys fail, slow down and heal."""

import random
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush

import pytest

from pool.core.rotation import ADAPTIVE, Member, Rotation
from pool.core.vitals import LEAST, Vitals

START = 1_000.0
ALWAYS = 1e9


@dataclass
class Ill:
    """How the first key (or the first `keys`) does until a moment, in seconds from the start."""

    fails: float = 0.0
    slower: float = 1.0
    until_s: float = ALWAYS
    keys: int = 1


@dataclass
class Traffic:
    """What happened: (seconds from the start, key), and how many attempts each key carried at most."""

    served: list[tuple[float, int]] = field(default_factory=list)
    peaks: Counter = field(default_factory=Counter)

    def shares(self, from_s=0.0, to_s=ALWAYS):
        chosen = Counter(key_id for at_s, key_id in self.served if from_s <= at_s < to_s)
        return {key_id: chosen[key_id] / chosen.total() for key_id in self.peaks}


def simulate(members, seconds, a_second=0.0, at_once=0, ill=None, latency_s=0.5, seed=1):
    """Requests come by chance, so many a second, or are always so many at once. Times spread exponentially."""
    rng, ill = random.Random(seed), ill or Ill()
    vitals, traffic, flying, at_s = Vitals(), Traffic(), [], 0.0
    rotation = Rotation(members, rng, vitals)

    def begin():
        key_id = rotation.choose(ADAPTIVE, "m", START + at_s)
        is_ill = key_id < ill.keys and at_s < ill.until_s
        took_s = rng.expovariate(1 / (latency_s * (ill.slower if is_ill else 1.0)))
        ok = not (is_ill and rng.random() < ill.fails)
        vitals.began(key_id)
        traffic.peaks[key_id] = max(traffic.peaks[key_id], vitals.in_flight(key_id))
        traffic.served.append((at_s, key_id))
        heappush(flying, (at_s + (took_s if ok else took_s / 10), key_id, ok, took_s))

    def end():
        ends_s, key_id, ok, took_s = heappop(flying)
        vitals.ended(key_id, ok, took_s if ok else None, START + ends_s, "m")
        return ends_s

    while at_s < seconds:
        if at_once:
            while len(flying) < at_once:
                begin()
            at_s = end()
        else:
            at_s += rng.expovariate(a_second)
            while flying and flying[0][0] <= at_s:
                end()
            begin()
    return traffic


def longest_run(traffic):
    run, longest, last = 0, 0, None
    for _, key_id in traffic.served:
        run = run + 1 if key_id == last else 1
        longest, last = max(longest, run), key_id
    return longest


def four(**fields):
    return [Member(key_id, **fields) for key_id in range(4)]


@pytest.mark.parametrize(
    ("load", "seconds"),
    [({"a_second": 1}, 3_000), ({"a_second": 20}, 600), ({"at_once": 100}, 60), ({"at_once": 3}, 900)],
)
def test_equals_get_equal_shares(load, seconds):
    """Whatever their places in the ring: answers of unlike length have them passed over now and then, all alike."""
    shares = simulate(four(), seconds, **load).shares()
    assert all(share == pytest.approx(0.25, abs=0.01) for share in shares.values())


@pytest.mark.parametrize("load", [{"a_second": 20}, {"at_once": 50}])
def test_among_equals_weights_hold(load):
    shares = simulate([Member(0, 3), Member(1), Member(2)], 300, **load).shares()
    assert shares[0] == pytest.approx(0.6, abs=0.03)
    assert shares[1] == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("a_second", [1, 5, 50])
@pytest.mark.parametrize("ill", [{"fails": 0.5}, {"slower": 5.0}, {"fails": 1.0}])
def test_a_key_that_does_badly_gets_clearly_less_and_never_nothing(ill, a_second):
    traffic = simulate(four(), 600, a_second=a_second, ill=Ill(**ill))
    shares = traffic.shares(from_s=100)
    assert 0.25 * LEAST <= shares[0] <= 0.15
    assert all(share == pytest.approx((1 - shares[0]) / 3, abs=0.04) for key_id, share in shares.items() if key_id)


@pytest.mark.parametrize("a_second", [5, 50])
@pytest.mark.parametrize("ill", [{"fails": 0.5}, {"slower": 5.0}, {"fails": 1.0}])
def test_a_key_that_healed_has_its_share_again_after_minutes(ill, a_second):
    traffic = simulate(four(), 700, a_second=a_second, ill=Ill(**ill, until_s=300))
    assert traffic.shares(100, 300)[0] < 0.15
    assert traffic.shares(480, 700)[0] == pytest.approx(0.25, abs=0.04)


def test_in_thin_traffic_too_a_key_is_looked_at_again_and_recovers():
    traffic = simulate(four(), 6_000, a_second=0.2, ill=Ill(fails=1.0, until_s=2_000))
    assert 0.01 < traffic.shares(200, 2_000)[0] < 0.18
    assert traffic.shares(2_300, 6_000)[0] == pytest.approx(0.25, abs=0.04)


def test_the_share_of_exploration_is_bounded_below_for_every_key_of_many():
    traffic = simulate([Member(n) for n in range(20)], 600, a_second=100, ill=Ill(fails=1.0, keys=5))
    shares = traffic.shares(from_s=60)
    assert all(shares[key_id] >= 0.9 * LEAST / 20 for key_id in range(5))
    assert sum(shares[key_id] for key_id in range(5)) < 0.05


def test_a_hundred_at_once_never_meet_on_one_key():
    traffic = simulate(four(), 120, at_once=100)
    assert max(traffic.peaks.values()) <= 45
    first = Counter(key_id for _, key_id in traffic.served[:100])
    assert all(abs(count - 25) <= 1 for count in first.values())


def test_a_hundred_at_once_do_not_meet_on_the_one_key_that_is_well():
    """Three of four fail half the time; the fourth gets more, and not everything."""
    shares = simulate(four(), 300, at_once=100, ill=Ill(fails=0.5, keys=3)).shares(from_s=30)
    assert 0.4 < shares[3] < 0.9
    assert all(shares[key_id] > 0.03 for key_id in range(3))


def test_a_slow_key_does_not_gather_the_requests():
    traffic = simulate(four(), 120, at_once=100, ill=Ill(slower=5.0))
    assert traffic.peaks[0] <= 60
    assert traffic.shares(from_s=20)[0] < 0.1


def test_no_key_is_served_in_a_row_because_it_is_the_best():
    """The others are a little worse each: a policy that takes the best would give the best everything."""
    traffic = simulate(four(), 600, a_second=20, ill=Ill(fails=0.1, keys=3))
    assert longest_run(traffic) <= 4
    assert traffic.shares(from_s=60)[3] < 0.4


@pytest.mark.parametrize("fails", [0.9, 1.0])
def test_where_all_do_equally_badly_all_share_alike_and_in_turn(fails):
    traffic = simulate(four(), 600, a_second=5, ill=Ill(fails=fails, keys=4))
    assert all(share == pytest.approx(0.25, abs=0.02) for share in traffic.shares().values())
    assert longest_run(traffic) <= 2


def test_a_key_whose_answers_never_come_gathers_few():
    """It taught nothing yet: what it carries is all that is known."""
    vitals = Vitals()
    rotation = Rotation(four(), random.Random(1), vitals)
    for n in range(2_000):
        key_id = rotation.choose(ADAPTIVE, "m", START + n / 100)
        vitals.began(key_id)
        if key_id:
            vitals.ended(key_id, True, 1.0, START + n / 100, "m")
    assert 10 < vitals.in_flight(0) < 100


def test_in_a_pool_of_which_half_is_bad_the_other_half_carries_alike():
    traffic = simulate([Member(n) for n in range(100)], 300, a_second=50, ill=Ill(fails=0.5, keys=50))
    shares = traffic.shares(from_s=60)
    good = [shares[key_id] for key_id in range(50, 100)]
    assert sum(good) > 0.65
    assert max(good) / min(good) < 1.3
    assert max(traffic.peaks.values()) <= 4


def test_one_key_that_turns_bad_loses_its_share_in_every_pool_it_is_in():
    vitals = Vitals()
    pools = [Rotation(four(), random.Random(n), vitals) for n in range(2)]
    for _ in range(20):
        vitals.ended(0, False, None, START)
    for pool in pools:
        chosen = Counter(pool.choose(ADAPTIVE, "m", START) for _ in range(200))
        assert chosen[0] <= 6


def test_a_key_back_from_a_rest_gets_its_share_and_no_burst():
    vitals = Vitals()
    rotation = Rotation(four(), random.Random(1), vitals)
    rotation.bench(0, "quota_day", START + 600)
    for n in range(3_000):
        rotation.choose(ADAPTIVE, "m", START + n / 10)
    back = Counter(rotation.choose(ADAPTIVE, "m", START + 600) for _ in range(40))
    assert 9 <= back[0] <= 12
