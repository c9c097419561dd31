"""How long choosing a key takes at 100,000 keys, and what a key costs in memory.

`make bench` takes the one figure of the table's last row from here; `.venv/bin/python bench/choosing.py` prints all of
them. Times are CPU time, the least of several runs: what else the machine does makes them longer, never shorter.
"""

import gc
import random
import sys
import time
import tracemalloc
from functools import partial
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pool.core.rotation import POLICIES, Member, Rotation
from pool.core.vitals import Vitals

KEYS = 100_000
CHOICES = 10_000
RUNS = 5
NOW = 1_000_000.0
MODEL = "bench"
MODELS = [f"bench-{n}" for n in range(10)]


def slowest_p99_us(count=KEYS):
    """The 99th percentile, in µs, of the slowest policy: half of the keys are cooling."""
    rotation = half_cooling(count)
    return max(p99_us(partial(rotation.choose, policy, MODEL, NOW)) for policy in POLICIES)


def rotation_of(count, vitals=None):
    return Rotation((Member(n, weight=1 + n % 10) for n in range(count)), random.Random(1), vitals)


def half_cooling(count=KEYS):
    rotation = rotation_of(count, Vitals())
    for n in range(0, count, 2):
        rotation.bench(n, "quota", NOW + 3600 + n, MODEL)
    return rotation


def cooling_in_ten_models():
    rotation, rng = rotation_of(KEYS, Vitals()), random.Random(2)
    for model in MODELS:
        for n in rng.sample(range(KEYS), KEYS // 2):
            rotation.bench(n, "quota", NOW + 3600, model)
    return rotation


def all_cooling(rest_s=60.0, apart_s=0.0):
    rotation = rotation_of(KEYS, Vitals())
    for n in range(KEYS):
        rotation.bench(n, "quota", NOW + rest_s + n * apart_s, MODEL)
    return rotation


def took_us(call, times):
    took_ns = []
    for _ in range(times):
        began_ns = time.thread_time_ns()
        call()
        took_ns.append(time.thread_time_ns() - began_ns)
    return [each / 1000 for each in sorted(took_ns)]


def p99_us(call, times=CHOICES):
    return took_us(call, times)[times * 99 // 100]


def least(measure):
    """The least of several runs, each beginning without anything to collect."""
    figures = []
    for _ in range(RUNS):
        gc.collect()
        gc.disable()
        try:
            figures.append(measure())
        finally:
            gc.enable()
    return min(figures)


def build_us():
    began_s = time.thread_time()
    rotation_of(KEYS)
    return (time.thread_time() - began_s) / KEYS * 1e6


def worst_us(calls):
    """The longest of some calls. Each run makes the same calls anew, and of every call the least counts."""
    runs = []
    for _ in range(RUNS):
        gc.collect()
        gc.disable()
        runs.append([took_us(call, 1)[0] for call in calls()])
        gc.enable()
    return max(map(min, zip(*runs, strict=True)))


def first_choices():
    rotation = rotation_of(KEYS, Vitals())
    return [partial(rotation.choose, policy, MODEL, NOW) for policy in POLICIES]


def midnight(policy):
    rotation = all_cooling()
    rotation.choose(policy, "another", NOW)
    return [partial(rotation.choose, policy, MODEL, NOW + 60)] * 200


def counts_at_midnight():
    rotation = all_cooling()
    return [partial(look, MODEL, NOW + 60) for look in (rotation.ready, rotation.census)] * 10


def recoveries():
    return [partial(all_cooling(apart_s=0.001).recovery, MODEL)]


def limited_ms(rotation, policy):
    tried = {}
    began_s = time.thread_time()
    for _ in range(1_000):
        tried[rotation.choose(policy, MODEL, NOW, tried)] = None
    return (time.thread_time() - began_s) * 1000


def vitals_us():
    vitals, ids = Vitals(), [random.randrange(1_000) for _ in range(10_000)]
    began = took_us(lambda: [vitals.began(key_id) for key_id in ids], 1)[0] / len(ids)
    ended = took_us(lambda: [vitals.ended(key_id, True, 1.0, NOW, MODEL) for key_id in ids], 1)[0] / len(ids)
    return max(began, ended)


def bytes_a_key(benches):
    """With an order for each policy in use, and so many models' benches against each key, each with its own moment."""
    count = KEYS // 5
    gc.collect()
    tracemalloc.start()
    try:
        rotation = rotation_of(count, Vitals())
        for key_id in range(count):
            for n in range(benches):
                rotation.bench(key_id, "quota", NOW + 3600 + key_id + n, MODELS[n])
            if benches and key_id % 2:
                rotation.release(key_id, MODELS[0])
        for n in range(count):
            rotation.choose(POLICIES[n % 6], MODELS[0], NOW)
        return tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()


def figures():
    """(what, figure, unit, must) of every row."""
    half, few, many = half_cooling(), half_cooling(10), cooling_in_ten_models()

    def p99(rotation, policy, models):
        turn = cycle(models)
        return least(lambda: p99_us(lambda: rotation.choose(policy, next(turn), NOW)))

    for policy in POLICIES:
        yield f"{policy}, 10 keys: p99", p99(few, policy, [MODEL]), "µs", 50
        yield f"{policy}, half cooling: p99", p99(half, policy, [MODEL]), "µs", 50
        yield f"{policy}, ten models in turn, half cooling in each: p99", p99(many, policy, MODELS), "µs", 50
        yield f"{policy}, all due at once: the longest choice", worst_us(partial(midnight, policy)), "µs", 1000
        yield f"{policy}, 1,000 keys without room in one request", least(partial(limited_ms, half, policy)), "ms", 10
    yield "to add a key", least(build_us), "µs", None
    yield "the first choice of a policy", worst_us(first_choices), "µs", 1000
    yield "a count, all due at once", worst_us(counts_at_midnight), "µs", 1000
    yield "the next recovery of 100,000", worst_us(recoveries), "µs", 1000
    yield "to note that an attempt began or ended", least(vitals_us), "µs", 1
    yield "memory: a key", bytes_a_key(0), "B", 1024
    yield "memory: a key with benches for three models", bytes_a_key(3), "B", 1024


def main():
    print(f"| {'figure':58} | {'measured':>12} | {'must':>10} |        |")
    print(f"| {'-' * 58} | {'-' * 12} | {'-' * 10} | ------ |")
    for what, figure, unit, must in figures():
        aim = "" if must is None else f"≤ {must:,} {unit}"
        verdict = "" if must is None else "held" if figure <= must else "missed"
        print(f"| {what:58} | {figure:9,.2f} {unit:2} | {aim:>10} | {verdict:6} |", flush=True)


if __name__ == "__main__":
    main()
