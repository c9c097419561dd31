"""Workers that share a Redis, in this process, and what is asked of them."""

import time
from dataclasses import replace

import gevent

from pool.adapters.redis import Patience, RedisState
from pool.core.state import Bound, Taken

DAY = "2026-11-21"
QUICK = Patience(timeout_s=0.25, retry_s=0.3, beat_s=0.1, lease_s=1.5)
CALM = replace(QUICK, timeout_s=2.0)
SPEECHLESS = Patience(timeout_s=0.25, retry_s=0.3, beat_s=60.0, lease_s=0.5)
NOBODY = "redis://127.0.0.1:1"

SUM_OF_LIVING = """
local sum = 0
for _, key in ipairs(redis.call('KEYS', 'keypool:l:*:' .. ARGV[1])) do
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    if redis.call('EXISTS', 'keypool:worker:' .. fields[i]) == 1 then sum = sum + fields[i + 1] end
  end
end
return sum
"""
"""What all that live hold of a level, asked of Redis itself."""


def cap(counter, most, amount=1, period=DAY):
    return Bound(counter, most, amount, "period", period=period, ends_at=time.time() + 3600)


def now_at_most(counter, most):
    return Bound(counter, most, kind="level")


def eventually(claim, within_s=5.0):
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it did not come true in time"
        gevent.sleep(0.01)


def admit(state, *bounds):
    return isinstance(state.admit([bounds], time.time()), Taken)


def held(state, counter, period=DAY):
    return state.held(counter, time.time(), period)


def back(*states):
    """Every worker has noticed what happened to Redis, and has joined again."""
    for state in states:
        held(state, "any")
    eventually(lambda: not any(state.degraded for state in states))


class Workers:
    """Makes workers that share one Redis, and closes them."""

    def __init__(self, url, prefix="keypool:", patience=QUICK):
        self.url = url
        self.prefix = prefix
        self.patience = patience
        self.states = []

    def __call__(self, on_empty=None, url=None, **options):
        state = RedisState(url or self.url, on_empty, **{"prefix": self.prefix, "patience": self.patience, **options})
        self.states.append(state)
        state.start()
        return state

    def close(self):
        for state in self.states:
            state.close()
