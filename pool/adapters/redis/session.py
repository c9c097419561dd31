"""One connection and one lease: what a worker asks goes out in order, and what waits together goes in one pipeline."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gevent
from gevent.event import AsyncResult, Event
from hiredis import pack_command
from redis.connection import Connection
from redis.exceptions import NoScriptError, RedisError, ResponseError, TimeoutError

from .scripts import script

OUTDATED = -2
"""A script's answer where the counters are not those it was asked about, or the lease is over. It did nothing."""

MOST_WEIGHT = 1_000
"""How much goes in one pipeline: Redis serves nobody else meanwhile."""

MOST_TIMEOUTS = 4
"""How many times the deadline of one answer all answers of a pipeline may take."""

PLAIN = "XADD"

AWAY = (RedisError, OSError)


@dataclass(slots=True, eq=False)
class Op:
    """One thing asked of Redis: a script, or a plain XADD. `subject` is what it meant, for when it gets lost.

    `again`: asking it twice does no harm. `abandoned`: who waited for the answer is gone.
    """

    name: str
    args: Sequence[Any]
    subject: Any = None
    weight: int = 1
    again: bool = False
    waiting: AsyncResult | None = None
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Fence:
    """Under which names and for whom a session asks. In another epoch, or after its lease, a call does nothing."""

    prefix: str
    epoch: str
    asker: str

    def command(self, op: Op, slot: int, batch: int, by_text: bool = False) -> tuple[Any, ...]:
        if op.name == PLAIN:
            return (PLAIN, f"{self.prefix}words", *op.args)
        called = script(op.name)
        how = ("EVAL", called.text) if by_text else ("EVALSHA", called.digest)
        keys = (2, f"{self.prefix}epoch", f"{self.prefix}worker:{self.asker}")
        return (*how, *keys, self.prefix, self.epoch, self.asker, slot, batch, *op.args)


class Host(Protocol):
    """Who a session works for."""

    def answered(self, op: Op, answer: Any) -> None:
        """Redis did what was asked. Raises TypeError, ValueError or IndexError for an answer it cannot have given."""
        ...

    def lost(self, unsure: list[tuple[int, int, Op]], undone: Iterable[Op]) -> None: ...


class Session:
    """Ends for good at the first sign of trouble, and tells what became of everything asked.

    One greenlet does all the talking: a caller may be killed while it waits, and must not leave half an answer behind.
    Where callers wait for an answer, those who come meanwhile go together in the next pipeline.
    """

    def __init__(
        self,
        connection: Connection,
        fence: Fence,
        timeout_s: float,
        host: Host,
        ended: Callable[[str], None],
    ) -> None:
        """`ended` is told why, once, before the host is told what was lost."""
        self.open = True
        self._connection = connection
        self._fence = fence
        self._timeout_s = timeout_s
        self._host = host
        self._ended = ended
        self._queue: deque[Op] = deque()
        self._something = Event()
        self._batch = 0
        self._under_way: list[Op] = []
        self._answered: list[Op] = []

    def start(self, first: Sequence[Op]) -> None:
        """`first` goes before anything else."""
        self._queue.extendleft(reversed(first))
        self._something.set()
        gevent.spawn(self._talk).link_exception(self._fell_silent)

    def ask(self, op: Op) -> None:
        self._queue.append(op)
        self._something.set()

    def wait(self, op: Op) -> Any:
        """What the host made of the answer, or None: the session ended."""
        op.waiting = AsyncResult()
        self.ask(op)
        return op.waiting.get()

    def close(self, last: Op, within_s: float) -> None:
        """Let what was asked go out, and `last` after it; then hang up."""
        with gevent.Timeout(within_s, False):
            self.wait(last)
        self.end("closed")

    def end(self, why: str, unsure: Sequence[Op] = (), undone: Sequence[Op] = ()) -> None:
        rest = [*undone, *self._queue]
        self._queue.clear()
        if self.open:
            self.open = False
            self._something.set()
            self._connection.disconnect()
            self._ended(why)
            self._host.lost([(slot, self._batch, op) for slot, op in enumerate(unsure)], rest)
        _release([*unsure, *rest])

    def _fell_silent(self, talking: gevent.Greenlet) -> None:
        """Whatever the talking died of, nobody may wait for ever."""
        self.end(repr(talking.exception), unsure=self._under_way)
        _release(self._answered)

    def _talk(self) -> None:
        while self.open:
            if not self._queue:
                self._something.clear()
                self._something.wait()
                continue
            self._under_way = batch = self._next_batch()
            try:
                answers = self._exchange(batch)
            except AWAY as error:
                self.end(str(error) or type(error).__name__, unsure=batch)
                return
            self._under_way, self._answered = [], batch
            self._hand_out(batch, answers)

    def _next_batch(self) -> list[Op]:
        batch: list[Op] = []
        weight = 0
        while self._queue and weight < MOST_WEIGHT:
            op = self._queue.popleft()
            weight += op.weight
            batch.append(op)
        self._batch += 1
        return batch

    def _exchange(self, batch: list[Op]) -> list[Any]:
        """One round trip. What the server refuses is answered by its error; raises where the connection is no good.

        Scripts are loaded beforehand. Where somebody flushed them, the first calls come after those of the same batch
        that are known.
        """
        answers = self._round_trip(batch, range(len(batch)), False)
        unknown = [slot for slot, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            for slot, answer in zip(unknown, self._round_trip(batch, unknown, True), strict=True):
                answers[slot] = answer
        return answers

    def _round_trip(self, batch: list[Op], slots: Sequence[int], by_text: bool) -> list[Any]:
        connection = self._connection
        calls = [_packed(self._fence.command(batch[slot], slot, self._batch, by_text)) for slot in slots]
        connection.send_packed_command([b"".join(calls)], check_health=False)
        # Each read has its own deadline; this one is for a server that dribbles.
        until = time.monotonic() + MOST_TIMEOUTS * self._timeout_s
        return [self._read(until) for _ in slots]

    def _read(self, until: float) -> Any:
        if time.monotonic() > until:
            raise TimeoutError("Redis dribbles")
        try:
            return self._connection.read_response()
        except ResponseError as refusal:
            return refusal

    def _hand_out(self, batch: list[Op], answers: list[Any]) -> None:
        refused = []
        why = "the counters are gone"
        for op, answer in zip(batch, answers, strict=True):
            if isinstance(answer, ResponseError):
                refused.append(op)
                why = str(answer)
            elif answer == OUTDATED:
                refused.append(op)
            else:
                try:
                    self._host.answered(op, answer)
                except (TypeError, ValueError, IndexError):
                    refused.append(op)
                    why = f"no Redis answers {op.name} so"
        if refused:
            self.end(why, undone=refused)


def _release(ops: Iterable[Op]) -> None:
    """Nobody will answer those who still wait."""
    for op in ops:
        if op.waiting is not None and not op.waiting.ready():
            op.waiting.set(None)


def _packed(command: tuple[Any, ...]) -> bytes:
    """As it goes out. By hiredis itself, because redis-py looks at every argument once more."""
    try:
        return pack_command(command)
    except UnicodeEncodeError:
        # Callers name models, and half a surrogate pair is a name to Python.
        sendable: Any = (part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in command)
        return pack_command(tuple(sendable))
