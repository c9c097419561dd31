"""A worker's place among the others: joining, renewing the lease, and who refills a Redis that lost its counts."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import gevent
from gevent.event import Event
from redis.connection import Connection
from redis.exceptions import RedisError

from .connection import call, connect, connection_options, done_by, load_scripts, push, run_id
from .session import AWAY, OUTDATED, Fence, Host, Op, Session
from .words import Words

log = logging.getLogger(__name__)

TRUSTED, MINE_TO_REFILL, BEING_REFILLED = 1, 2, 3

STRANGE = (*AWAY, TypeError, ValueError, IndexError, KeyError, AttributeError)
"""What talking to something that is no Redis ends in, too."""

REFILL_POLL_S = 0.1
MOST_REFILL_S = 60.0
BLOCK_S = 1.0
START_S = 2.0
CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for an answer, between attempts, between signs of life, and how long a worker outlives its last one."""

    timeout_s: float = 0.25
    retry_s: float = 5.0
    beat_s: float = 2.5
    lease_s: float = 10.0


class Member(Host, Protocol):
    """Whose place it is."""

    def seen(self) -> Iterable[Op]:
        """For a Redis that has lost them: what counters were when last seen."""
        ...

    def levels(self) -> Iterable[Op]:
        """What this worker holds."""
        ...

    def stored(self) -> Iterable[Op]:
        """What storage has of them, just now."""
        ...

    def debts(self) -> list[Op]:
        """What was taken by this worker alone, to be added."""
        ...

    def owed(self) -> list[Op]:
        """The same, for counters that are reckoned anew."""
        ...

    def resume(self, done: Mapping[int, tuple[int, int, int]], same_counters: bool) -> list[Op]:
        """What goes out first in a new session."""
        ...


class Membership:
    """Has a session while Redis can be trusted. While it has none it tries to join every `retry_s`, beside requests."""

    def __init__(
        self,
        url: str,
        prefix: str,
        name: str,
        member: Member,
        words: Words,
        on_empty: Callable[[], None] | None,
        patience: Patience,
        instances: int,
    ) -> None:
        self.session: Session | None = None
        self.instances = instances
        self._options = connection_options(url, patience.timeout_s)
        self._prefix = prefix
        self._name = name
        self._member = member
        self._words = words
        self._on_empty = on_empty
        self._patience = patience
        self._epoch = ""
        self._asker = ""
        self._next_asker = secrets.token_hex(6)
        self._handed_in_for = ""
        self._why_away = ""
        self._joined_at = float("-inf")
        self._listening: Connection | None = None
        self._nudge = Event()
        self._leaving = Event()
        self._greenlets: list[gevent.Greenlet] = []
        self._tried = Event()
        self._joined = Event()

    def start(self) -> None:
        self._greenlets = [gevent.spawn(self._always, doing) for doing in (self._keep, self._listen)]
        self._tried.wait(START_S)

    def close(self) -> None:
        self._leaving.set()
        if self.session is not None:
            self.session.close(Op("leave", (self._name,)), self._patience.timeout_s)
        if self._listening is not None:
            self._listening.disconnect()
        # Not killed: redis-py leaves a socket open whose connecting is interrupted.
        self._nudge.set()
        self._joined.set()
        gevent.joinall(self._greenlets, timeout=CLOSE_S)

    def _always(self, doing: Callable[[], None]) -> None:
        """Do what must not end while the worker lives. What it dies of, gevent prints."""
        while not self._leaving.is_set():
            gevent.spawn(doing).join()
            self._leaving.wait(min(1.0, self._patience.retry_s))

    def catch_up(self) -> bool:
        try:
            connection = connect(self._options)
            try:
                self._words.catch_up(connection)
            finally:
                connection.disconnect()
        except STRANGE:
            return False
        return True

    # -- the lease ------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._leaving.is_set():
            wait_s = self._beat() if self.session is not None else self._join()
            if self.session is not None or wait_s >= self._patience.retry_s:
                self._tried.set()
            self._nudge.wait(wait_s)
            self._nudge.clear()

    def _beat(self) -> float:
        """Say that it lives; seconds until the next time."""
        assert self.session is not None
        # A caller that lost the former session may have helped itself when this one had begun.
        for debt in self._member.debts():
            self.session.ask(debt)
        live = self.session.wait(Op("beat", (self._name, self._lease_ms)))
        # After an outage the others come back one by one.
        all_back_at = self._joined_at + self._patience.retry_s + self._patience.lease_s
        if live is not None and (live > self.instances or time.monotonic() > all_back_at):
            self.instances = max(1, live)
        return self._patience.beat_s

    def _ended(self, why: str) -> None:
        self.session = None
        self._joined.clear()
        if self._leaving.is_set():
            return
        self._tell_away(why)
        # A connection may end without harm, so the first attempt is made at once; not where sessions keep ending.
        if time.monotonic() - self._joined_at >= self._patience.retry_s:
            self._nudge.set()

    # -- joining --------------------------------------------------------------------------------------------

    def _join(self) -> float:
        """Try to begin a session; seconds until the next thing to do."""
        try:
            connection = connect(self._options)
        except STRANGE as error:
            self._tell_away(str(error))
            return self._patience.retry_s
        try:
            wait_s = self._enter(connection)
        except STRANGE as error:
            self._tell_away(str(error))
            wait_s = self._patience.retry_s
        if self.session is None:
            connection.disconnect()
        return wait_s

    def _enter(self, connection: Connection) -> float:
        load_scripts(connection)
        run = run_id(connection)
        fence = Fence(self._prefix, secrets.token_hex(4), self._next_asker)
        join = Op("join", (self._name, self._lease_ms, self._asker, run, fence.epoch))
        status, epoch, live, said = call(connection, fence, join)
        self.instances = max(self.instances, int(live))
        fence = replace(fence, epoch=epoch.decode())
        if status != TRUSTED:
            self._hand_in(connection, fence)
        if status == BEING_REFILLED:
            return REFILL_POLL_S
        if status == MINE_TO_REFILL and not self._refill(connection, fence, run):
            return self._patience.retry_s
        if self._leaving.is_set():
            return self._patience.retry_s
        # At its first joining a worker knows nothing that a trusted Redis does not.
        if self._epoch and fence.epoch not in (self._epoch, self._handed_in_for):
            push(connection, fence, self._member.seen())
        self._begin(connection, fence, done_by(said))
        return self._patience.beat_s

    def _begin(self, connection: Connection, fence: Fence, done: Mapping[int, tuple[int, int, int]]) -> None:
        """From debts to session without a yield between: whoever is admitted next queues behind what was owed."""
        same_counters = fence.epoch == self._epoch
        if self._epoch and not same_counters:
            self._words.begin_again()
        session = Session(connection, fence, self._patience.timeout_s, self._member, self._ended)
        session.start([*self._member.resume(done, same_counters), Op("bury", (self._asker,))])
        self.session = session
        self._epoch, self._asker, self._next_asker = fence.epoch, fence.asker, secrets.token_hex(6)
        self._joined_at = time.monotonic()
        self._joined.set()
        if self._why_away:
            log.warning("Redis is back: limits are shared again")
        self._why_away = ""

    def _hand_in(self, connection: Connection, fence: Fence) -> None:
        """Tell counters that are being refilled all this worker knows; once, because what is owed adds up."""
        if fence.epoch == self._handed_in_for:
            return
        push(connection, fence, self._member.seen())
        push(connection, fence, self._member.levels())
        self._handed_in_for = fence.epoch
        owed = self._member.owed()
        try:
            while owed:
                push(connection, fence, owed[:1])
                owed.pop(0)
        finally:
            self._member.lost([], owed)
        self._gather(connection, fence)

    def _refill(self, connection: Connection, fence: Fence, run: str) -> bool:
        """Have storage's counts restored, and declare the counters trusted. False: another worker does it, or later."""
        # The others are to have noticed: what one uses by itself while another already shares is used twice.
        until = time.monotonic() + (self._patience.retry_s + self._patience.beat_s if self._epoch else 0.0)
        while self._gather(connection, fence) < self.instances and time.monotonic() < until:
            gevent.sleep(REFILL_POLL_S)
        if self._on_empty is not None:
            filling = gevent.spawn(self._on_empty)
            until = time.monotonic() + MOST_REFILL_S
            while not filling.ready() and time.monotonic() < until:
                filling.join(self._patience.lease_s / 4)
                self._gather(connection, fence)
            if not filling.successful():
                log.error("Redis has no counts, and they could not be restored: %r", filling.exception)
                return False
        push(connection, fence, self._member.stored())
        return call(connection, fence, Op("trust", (run,))) == 1

    def _gather(self, connection: Connection, fence: Fence) -> int:
        """How many workers have handed in what they know."""
        gathered = int(call(connection, fence, Op("gather", (self._name, self._lease_ms))))
        if gathered == OUTDATED:
            raise RedisError("the counters are gone again")
        return gathered

    # -- words ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Hear words for as long as the worker lives; what was told while it could not, it hears when it can."""
        while not self._leaving.is_set():
            try:
                self._listen_on(connect(self._options))
            except STRANGE:
                if self.session is not None:
                    self._nudge.set()  # a sign of life is due now: an idle worker has nothing else to notice it by
                self._leaving.wait(min(1.0, self._patience.retry_s))
                self._joined.wait(self._patience.retry_s)

    def _listen_on(self, connection: Connection) -> None:
        self._listening = connection
        try:
            self._words.catch_up(connection)
            while not self._leaving.is_set():
                self._words.listen(connection, BLOCK_S, self._patience.timeout_s)
                if self._words.begins_again:
                    self._words.catch_up(connection)
        finally:
            self._listening = None
            connection.disconnect()

    # -- within ---------------------------------------------------------------------------------------------

    @property
    def _lease_ms(self) -> int:
        return int(self._patience.lease_s * 1000)

    def _tell_away(self, why: str) -> None:
        if not self._why_away:
            log.warning("Redis is away, each worker keeps to its share of the limits: %s", why)
        self._why_away = why or "away"
