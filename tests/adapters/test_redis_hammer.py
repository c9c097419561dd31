"""Several real processes hammer one Redis, while workers and Redis itself are killed."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pool.adapters.redis import Patience, RedisState
from tests.adapters.redis_hammer import DAY, read_ledgers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).absolute().parents[2]
WORKERS = 4
PATIENCE = {"timeout_s": 0.25, "retry_s": 0.4, "beat_s": 0.3, "lease_s": 2.0}
PLAN = {
    "workers": WORKERS, "greenlets": 20, "keys": 5, "cap": 10**6, "per_span": 10**6, "span_s": 2.0, "at_once": 10**6,
    "work_s": 0.01, "patience": PATIENCE,
}  # fmt: skip


class Hammering:
    def __init__(self, redis_server, folder, **plan):
        self.redis = redis_server
        self.folder = folder
        self.plan = {**PLAN, **plan}
        self.processes = []

    def __enter__(self):
        for number in range(WORKERS):
            command = [sys.executable, "-m", "tests.adapters.redis_hammer", self.redis.url, str(self.folder)]
            command += [str(number), json.dumps(self.plan)]
            self.processes.append(
                subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
        for process in self.processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        self.said = [process.communicate(timeout=30)[1] for process in self.processes]

    def ledger(self):
        return read_ledgers(self.folder)

    def taken(self):
        return Counter(key for key, _, _ in self.ledger())

    def counted(self, what="cap"):
        """What Redis says of each key."""
        state = RedisState(self.redis.url, patience=Patience(**PATIENCE))
        state.start()
        assert not state.degraded
        now, keys = time.time(), [f"k{n}" for n in range(self.plan["keys"])]
        counted = {key: state.held(f"{key}/{what}", now, DAY) for key in keys}
        counted["now"] = state.held("p1/now", now)
        state.close()
        return counted


def most_in_a_span(moments, span_s):
    """The most that happened within any `span_s`."""
    moments, first, most = sorted(moments), 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - span_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_processes_that_share_a_redis_never_overshoot_and_count_exactly(redis_server, tmp_path):
    with Hammering(redis_server, tmp_path, cap=250, per_span=100, at_once=60, work_s=0.2) as hammering:
        at_once = [hammering.counted()["now"] for _ in range(50)]
        assert max(at_once) == 60, "all of what is allowed at once, and no more"
        time.sleep(9)
    assert [process.returncode for process in hammering.processes] == [0] * 4
    assert hammering.said == [""] * 4
    taken, counted = hammering.taken(), hammering.counted()
    assert counted.pop("now") == 0
    assert counted == taken
    assert set(taken.values()) == {250}, "used up, and not once more"
    for key in taken:
        moments = [at for name, at, _ in hammering.ledger() if name == key]
        assert most_in_a_span(moments, 2.0) == 100, "a window's limit is reached, and never passed"


def test_what_a_killed_process_held_is_given_back(redis_server, tmp_path):
    with Hammering(redis_server, tmp_path, work_s=0.5, at_once=WORKERS * 20) as hammering:
        time.sleep(1.5)
        victim = hammering.processes[0]
        victim.kill()
        died_at = time.monotonic()
        alive = (WORKERS - 1) * 20
        while hammering.counted()["now"] > alive:
            assert time.monotonic() < died_at + PATIENCE["lease_s"] + 1.5
            time.sleep(0.05)
        time.sleep(0.5)
    assert [process.returncode for process in hammering.processes[1:]] == [0] * 3
    taken, counted = hammering.taken(), hammering.counted()
    assert counted.pop("now") == 0
    lost = sum(counted.values()) - taken.total()
    assert 0 <= lost <= 20, "counted, and killed before it could be written down"


@pytest.mark.parametrize("cap", [10**6, 3_000])
def test_redis_may_be_killed_and_started_again_meanwhile(redis_server, tmp_path, cap):
    outages = 4
    with Hammering(redis_server, tmp_path, cap=cap) as hammering:
        for _ in range(outages):
            time.sleep(1.2)
            redis_server.kill()
            time.sleep(0.6)
            redis_server.start()
        time.sleep(2.5)
    assert [process.returncode for process in hammering.processes] == [0] * 4
    assert not [said for said in hammering.said if "Traceback" in said]
    taken, counted = hammering.taken(), hammering.counted()
    assert counted.pop("now") == 0
    refills = (tmp_path / "refills").read_text().splitlines()
    alone = sum(by_itself for _, _, by_itself in hammering.ledger())
    over = {key: counted[key] - taken[key] for key in counted}
    print(f"taken {taken.total()}, by themselves {alone}, counted too much {over}, refills {len(refills)}")
    assert alone > 0
    assert len(refills) == 1 + outages
    if cap == 3_000:
        assert max(taken.values()) <= cap + outages * 20
        assert min(taken.values()) >= cap * 0.9
    assert all(-20 <= each <= alone for each in over.values())


def test_redis_may_fall_silent_meanwhile_and_not_one_count_is_lost(redis_server, tmp_path):
    with Hammering(redis_server, tmp_path) as hammering:
        for _ in range(4):
            time.sleep(0.6)
            redis_server.pause()
            time.sleep(0.8)
            redis_server.resume()
        time.sleep(2)
    assert [process.returncode for process in hammering.processes] == [0] * 4
    taken, counted = hammering.taken(), hammering.counted()
    assert sum(by_itself for _, _, by_itself in hammering.ledger()) > 0
    assert counted.pop("now") == 0
    assert counted == taken
