"""One worker process of the hammering: admits and settles as fast as it can, and writes down all it was allowed.

A line of its ledger is written after the admission, as the journal of a request is: what it says is what storage knows.
"""

# ruff: noqa: E402 — patched before anything else is imported, as the server is

from gevent import monkey

monkey.patch_all()

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import gevent
from gevent.pool import Group

from pool.adapters.redis import Patience, RedisState
from pool.core.state import Bound, Change, Count, Taken

DAY = "2026-11-21"


def read_ledgers(folder):
    """Every admission so far: (key, when, by itself)."""
    lines = [
        line for file in Path(folder).glob("*.ledger") for line in file.read_text().splitlines() if line[-1:] == "."
    ]
    return [(key, float(at), alone == "1") for key, at, alone, _ in map(str.split, lines)]


def main(url, folder, number, plan):
    ledger = os.open(f"{folder}/{number}.ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    rng = random.Random(number)
    stopping = gevent.event.Event()
    gevent.signal_handler(signal.SIGTERM, stopping.set)

    def refill():
        with open(f"{folder}/refills", "a") as file:
            file.write(f"{number}\n")
        taken = Counter(key for key, _, _ in read_ledgers(folder))
        state.restore([Count(f"{key}/cap", amount, period=DAY) for key, amount in taken.items()])

    state = RedisState(url, refill, instances=plan["workers"], patience=Patience(**plan["patience"]))
    state.start()

    def offer(key):
        ends_at = time.time() + 3600
        return [
            Bound(f"{key}/cap", plan["cap"], kind="period", period=DAY, ends_at=ends_at),
            Bound(f"{key}/rpm", plan["per_span"], span_s=plan["span_s"]),
            Bound("p1/tpm", 10**12, 100),
            Bound("p1/now", plan["at_once"], kind="level"),
        ]

    def hammer():
        while not stopping.is_set():
            keys = rng.sample([f"k{n}" for n in range(plan["keys"])], 2)
            now = time.time()
            answer = state.admit([offer(key) for key in keys], now)
            if isinstance(answer, Taken):
                os.write(ledger, f"{keys[answer.offer]} {now!r} {int(state.degraded)} .\n".encode())
                gevent.sleep(rng.uniform(0, plan["work_s"]))
                state.settle([Change("p1/tpm", -90, at=answer.at), Change("p1/now", -1, "level")])
            else:
                gevent.sleep(0.002)

    hammers = Group()
    for _ in range(plan["greenlets"]):
        hammers.spawn(hammer)
    print("ready", flush=True)
    hammers.join(raise_error=True)
    deadline = time.monotonic() + 10
    while state.degraded and time.monotonic() < deadline:
        gevent.sleep(0.01)
    state.held("any", time.time())
    state.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))
