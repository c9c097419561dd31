"""How long choosing a key takes: 100,000 keys, half of them cooling, every policy."""

import random
import sys
import time

from servers import ROOT

sys.path.insert(0, str(ROOT))

from pool.core.rotation import POLICIES, Member, Rotation

KEYS = 100_000
CHOICES = 10_000
MODEL = "bench"


def slowest_p99_us():
    """The 99th percentile, in µs, of the slowest policy."""
    rotation = Rotation((Member(n, weight=1 + n % 10) for n in range(KEYS)), random.Random(1))
    now = 1_000_000.0
    for n in range(0, KEYS, 2):
        rotation.bench(n, "quota", now + 3600 + n, MODEL)
    return max(_p99_us(rotation, policy, now) for policy in POLICIES)


def _p99_us(rotation, policy, now):
    rotation.choose(policy, MODEL, now)  # the first choice of a policy builds its order
    took_ns = []
    for _ in range(CHOICES):
        began_ns = time.perf_counter_ns()
        rotation.choose(policy, MODEL, now)
        took_ns.append(time.perf_counter_ns() - began_ns)
    return sorted(took_ns)[CHOICES * 99 // 100] / 1000
