"""The last seven days, made up and written through the real journal: requests, failures, what is known of keys.

Each request of the days stands for `TIMES`: written one by one they would take minutes. Those of the last ten minutes
are all there, so that the list of requests has no gap.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from app import Keypool
from demo.cast import EMBEDDING, FLASH, LITE, MINI, PRO, PROGRAMS, RESEARCH, Part, Program
from demo.placing import Placed
from demo.refusals import REFUSALS
from pool.adapters import tables
from pool.core.calls import Usage
from pool.core.dialects import error_fields
from pool.core.masking import redact
from pool.core.outcomes import Outcome, classify
from pool.core.quota import next_reset
from pool.core.records import AttemptRecord, RequestRecord, bench_line, dead_line, limit_line
from tests.upstream import Send

DAYS = 7
TIMES = 250
RECENT_S = 600.0
INCIDENT_H = (8.7, 8.0)
"""When the upstream had a bad time: from so many hours ago to so many."""

_MEDIAN_MS = {PRO: 2600, FLASH: 1300, LITE: 700, MINI: 1100, EMBEDDING: 420}


@dataclass(frozen=True, slots=True)
class Trouble:
    """How a key came to rest or died: found at `at`, by a request for `model`."""

    at: float
    key_id: int
    model: str
    status: int
    outcome: Outcome
    text: str


def write_past(keypool: Keypool, placed: Placed, now: float) -> None:
    past = Past(placed, now, random.Random(11))
    for line in past.lines(now - DAYS * 86_400, now - RECENT_S, TIMES):
        keypool.spool.write(line)
    keypool.recorder.drain()
    keypool.database.write(_magnify)
    for line in (*past.found_out(), *past.lines(now - RECENT_S, now, 1)):
        keypool.spool.write(line)
    keypool.recorder.drain()


def _magnify(session: Session) -> None:
    """Let every request of the days count about `TIMES`, in all the figures that add requests up.

    About: a little more in one hour than in another, or every figure would be a multiple.
    """
    for table in tables.db.metadata.sorted_tables:
        if table.name.endswith("_hourly"):
            times = TIMES - 40 + table.c.hour // 3600 * 7919 % 81
            counts = [column for column in table.columns if not column.primary_key]
            session.execute(update(table).values({column.name: column * times for column in counts}))
    key = tables.Key
    counted: dict[str, Any] = {
        name: getattr(key, name) * TIMES for name in ("requests", "successes", "errors", "tokens")
    }
    session.execute(update(key).values(counted))


def traffic_at(at: float) -> float:
    """How busy it is, as a factor: most at three in the afternoon, here, and less at the weekend."""
    local = time.localtime(at)
    hour = local.tm_hour + local.tm_min / 60
    return (1 + 0.35 * math.cos((hour - 15) / 24 * math.tau)) * (0.8 if local.tm_wday >= 5 else 1.0)


class Past:
    """Makes up requests, oldest first, and how troubled keys were found out."""

    def __init__(self, placed: Placed, now: float, rng: random.Random) -> None:
        self._placed = placed
        self._now = now
        self._rng = rng
        known = [(key_id, part) for key_id, part in placed.parts.items() if part.known]
        self._troubles = sorted((self._trouble(key_id, part) for key_id, part in known), key=lambda each: each.at)
        self._ends = {each.key_id: each.at for each in self._troubles}
        self._ends |= dict.fromkeys(placed.disabled, now - 86_400)
        self._number = 0

    def lines(self, since: float, until: float, times: int) -> Iterator[bytes]:
        """The journal's lines of a span of time, one request in `times`. It joins on to the live traffic."""
        rate = sum(program.rate for program in PROGRAMS) / traffic_at(self._now) / times
        at = since
        while (at := at + self._rng.expovariate(rate * traffic_at(at))) < until:
            yield self._request(at).line()

    def found_out(self) -> Iterator[bytes]:
        """How each troubled key was found out, and what is known of it since."""
        for each in self._troubles:
            yield self._story_of(each).line()
            for quota in each.outcome.limits:
                yield limit_line(each.key_id, "", each.model, quota, each.at)
            if each.outcome.dead:
                yield dead_line(each.key_id, each.text, each.at)
            else:
                model = each.model if each.outcome.scope == "key_model" else ""
                yield bench_line(each.key_id, model, each.outcome.kind, each.outcome.until, each.text, each.at)

    def _request(self, at: float) -> RequestRecord:
        program = self._rng.choices(PROGRAMS, [program.rate for program in PROGRAMS])[0]
        model = self._rng.choices(list(program.models), list(program.models.values()))[0]
        record = self._begin(program, model, at)
        chance, hours_ago = self._rng.random(), (self._now - at) / 3600
        if chance < 0.004:
            self._end(record, 400, "error", "invalid_request", "rejected")
        elif chance < (0.3 if INCIDENT_H[0] > hours_ago > INCIDENT_H[1] else 0.006):
            for _ in range(3):
                self._end(record, 503, "error", "overloaded", "overloaded")
        elif chance < 0.98:
            self._answer(record)
        elif chance < 0.99 or not record.stream:
            self._end(record, *self._rng.choice(((429, "error", "", "quota_minute"), (503, "error", "", "overloaded"))))
            self._answer(record)
        else:
            self._end(record, 499, "client_gone", "", "client_gone")
        return record

    def _story_of(self, trouble: Trouble) -> RequestRecord:
        """The request that found it out, and was answered with another key."""
        part = self._placed.parts[trouble.key_id]
        pool = next(pool for (pool, _), ids in self._placed.seats.items() if trouble.key_id in ids)
        program = next(program for program in PROGRAMS if program.pool == pool)
        record = self._begin(program, trouble.model, trouble.at)
        record.attempts.append(
            AttemptRecord(
                trouble.key_id, part.key.provider, "round_robin", 0, duration_ms=180, status=trouble.status,
                outcome=trouble.outcome.kind, blamed=trouble.outcome.blamed, error=trouble.text,
            )
        )  # fmt: skip
        record.latency_ms = 180
        self._answer(record)
        return record

    def _begin(self, program: Program, model: str, at: float) -> RequestRecord:
        self._number += 1
        operation = "chat" if program.dialect == "openai" else "embed" if model == EMBEDDING else "generate"
        stream = model != EMBEDDING and self._rng.random() < program.streams
        if stream and operation == "generate":
            operation = "stream_generate"
        return RequestRecord(
            f"demo-{self._number:08d}", at, self._placed.pools[program.pool], self._placed.clients.get(program.client),
            program.dialect, operation, model, model, stream, "127.0.0.1",
        )  # fmt: skip

    def _answer(self, record: RequestRecord) -> None:
        self._end(record, 200, "ok", "", "ok")
        record.ttfb_ms = record.latency_ms // 3 if record.stream else record.latency_ms
        if record.model == EMBEDDING:
            return
        asked = int(self._rng.lognormvariate(5, 1))
        thinking = self._rng.randint(40, 400) if record.model == PRO else 0
        record.usage = Usage(asked, self._rng.randint(15, 90) + thinking, thinking=thinking)

    def _end(self, record: RequestRecord, status: int, outcome: str, code: str, attempt: str) -> None:
        """One more attempt, and how the request would end with it."""
        took_ms = int(self._rng.lognormvariate(0, 0.45) * (_MEDIAN_MS[record.model] if status == 200 else 300))
        provider = "openai" if record.model == MINI else "gemini"
        error = "" if status == 200 else {400: "Invalid value.", 503: "The model is overloaded."}.get(status, "")
        record.attempts.append(
            AttemptRecord(
                self._key(record, provider), provider, self._why(record), record.latency_ms, duration_ms=took_ms,
                status=None if status == 499 else status, outcome=attempt, blamed=status == 429, error=error,
            )
        )  # fmt: skip
        record.latency_ms += took_ms
        record.status, record.outcome, record.code = status, outcome, code

    def _why(self, record: RequestRecord) -> str:
        return "weighted" if record.pool_id == self._placed.pools[RESEARCH] else "round_robin"

    def _key(self, record: RequestRecord, provider: str) -> int:
        """A key that still serves then."""
        pool = next(name for name, pool_id in self._placed.pools.items() if pool_id == record.pool_id)
        seats = self._placed.seats[pool, provider]
        while True:
            key_id = self._rng.choice(seats)
            if self._ends.get(key_id, math.inf) > record.at:
                return key_id

    def _trouble(self, key_id: int, part: Part) -> Trouble:
        """As Keypool itself would have judged it."""
        model = MINI if part.key.provider == "openai" else PRO if part.role == "zero" else FLASH
        # A day's quota was spent today, in California; a rest of a day is still going on; the others are older.
        midnight = next_reset(self._now) - 86_400
        since = {"day": max(midnight, self._now - 20_000), "switched_off": self._now - 70_000}
        at = self._rng.uniform(
            since.get(part.role, self._now - (70_000 if part.role == "spent" else 400_000)), self._now
        )
        head, body = (step.data for step in REFUSALS[part.role](part.key.secret, model).steps if isinstance(step, Send))
        status, said = int(head.split()[1]), error_fields(body)
        outcome = classify(status, {}, said, at)
        return Trouble(at, key_id, model, status, outcome, redact(said.message, part.key.secret))
