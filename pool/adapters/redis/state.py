"""`RedisState`: the port's methods, each at most one round trip, and none while Redis is away."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from pool.adapters.memory import NEVER
from pool.core.state import Bound, Change, Count, Offer, Refused, Taken, Word

from .local import DAY_S, Entry, Local, kept_s
from .membership import Membership, Patience
from .session import PLAIN, Op, Session
from .words import Forgotten, News, Words, saying

MOST_KEPT = 10_000
"""Words and counts kept until Redis is back; of more, the oldest are given up."""

AT_ONCE = 100
"""Entries of one merge."""

KINDS = {"sliding": "s", "period": "p", "level": "l"}


class RedisState:
    """Asks Redis through a session while there is one, and goes on by `Local` while there is none.

    `now` is each worker's own clock. Where clocks differ, windows last that much longer, never shorter; a worker more
    than a minute behind another one drops what that one put into a window.
    """

    def __init__(
        self,
        url: str,
        on_empty: Callable[[], None] | None = None,
        *,
        prefix: str = "keypool:",
        instances: int = 1,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`on_empty` is called by one worker where Redis has no counts: it calls `restore` with those of storage.

        `instances` is how many workers to reckon with until Redis has told.
        """
        self._clock = clock
        self._name = secrets.token_hex(6)
        self._local = Local()
        self._kept: deque[Op] = deque(maxlen=MOST_KEPT)
        self._unsure: list[tuple[int, int, Op]] = []
        words = Words(f"{prefix}words", self._name, self._hear, clock)
        self._membership = Membership(url, prefix, self._name, self, words, on_empty, patience or Patience(), instances)

    def start(self) -> None:
        """Join the other workers, or begin without them if Redis does not answer at once."""
        self._membership.start()

    def close(self) -> None:
        """Let what was settled go out and give up the lease."""
        self._membership.close()

    def instances(self) -> int:
        """How many workers there were when Redis was last seen, this one included."""
        return self._membership.instances

    def catch_up(self) -> bool:
        """Hear every word told so far; False where Redis does not answer. The subscription does so by itself, too."""
        return self._membership.catch_up()

    @property
    def degraded(self) -> bool:
        return self._membership.session is None

    # -- the port -------------------------------------------------------------------------------------------

    def admit(self, offers: Sequence[Offer], now: float) -> Taken | Refused:
        if not offers or not offers[0]:
            return Taken(0, (), int(now)) if offers else Refused((), (), ())
        session = self._membership.session
        if session is not None:
            answer = self._ask(session, Op("admit", _admission(offers, now), (offers, now)))
            if answer is not None:
                return answer
        return self._local.admit_alone(offers, now, self.instances())

    def settle(self, changes: Sequence[Change]) -> None:
        """Does not wait: it goes out in order, so that what this worker asks next finds it done."""
        if not changes:
            return
        self._local.settle(changes)
        session = self._membership.session
        if session is None:
            self._local.owe_changes(changes)
            return
        args: list[Any] = []
        for change in changes:
            place = change.at if change.kind == "sliding" else change.period
            args += (KINDS[change.kind], change.counter, change.amount, place)
        session.ask(Op("settle", args, changes, weight=len(changes)))

    def held(self, counter: str, now: float, period: str = "", span_s: float = 60.0) -> int:
        answer = self._ask(self._membership.session, Op("held", (counter, now, period, span_s)))
        return self._local.held_alone(counter, now, period, span_s) if answer is None else answer

    def restore(self, counts: Sequence[Count]) -> None:
        """While there is no session, periods are kept as seen, and handed in if Redis turns out to be empty."""
        self._local.restore(counts)
        away, now = self.degraded, self._clock()
        entries = []
        for count in counts:
            if count.kind == "sliding":
                entries.append(Entry("sliding", count.counter, count.amount, count.at, DAY_S + 2))
            elif not away:
                ttl_s = kept_s(count.ends_at - now)
                entries.append(Entry("period", count.counter, count.amount, count.period, ttl_s))
        self._ask_again(_merges("most", entries))

    def forget(self, owner: str) -> None:
        self._local.forget(owner)
        self._ask_again([Op("forget", (owner,), again=True), self._saying(Forgotten(owner))])

    def claim(self, chore: str, holder: str, ttl_s: float, now: float) -> bool:
        """While Redis is away every worker leads."""
        answer = self._ask(self._membership.session, Op("claim", (chore, holder, ttl_s, now)))
        return self._local.claim(chore, holder, ttl_s, now) if answer is None else bool(answer)

    def announce(self, word: Word) -> None:
        self._local.announce(word)
        self._ask_again([self._saying(word)])

    def listen(self, hear: Callable[[Word], None]) -> None:
        self._local.listen(hear)

    # -- what a session and the membership tell -------------------------------------------------------------

    def answered(self, op: Op, answer: Any) -> None:
        """In the order of the answers, before any caller goes on: what was taken is known before it can be lost."""
        if op.name == "admit":
            answer = self._admitted(op, answer)
            if op.abandoned and isinstance(answer, Taken):
                self._give_back(op.subject[0][answer.offer], answer.at)
        if op.waiting is not None:
            op.waiting.set(answer if op.name == "admit" else int(answer))

    def lost(self, unsure: list[tuple[int, int, Op]], undone: Iterable[Op]) -> None:
        """A session ended. `unsure` (slot, batch, op) may have been done; the next `resume` knows."""
        self._unsure += unsure
        for op in undone:
            self._keep(op)

    def seen(self) -> Iterator[Op]:
        """What storage had is a sight like any other by now: what was taken alone since comes on top."""
        now = self._clock()
        return _merges("seen", chain(self._local.seen(now), self._local.stored(now)))

    def stored(self) -> Iterator[Op]:
        kept = [op for op in self._kept if op.name == "merge"]
        return chain(_merges("stored", self._local.stored(self._clock())), kept)

    def levels(self) -> Iterator[Op]:
        return _merges("add", self._local.levels())

    def debts(self) -> list[Op]:
        return list(_merges("add", self._local.debts()))

    def owed(self) -> list[Op]:
        return list(_merges("owed", self._local.debts()))

    def resume(self, done: Mapping[int, tuple[int, int, int]], same_counters: bool) -> list[Op]:
        """What must go out first in a new session. `done`: slot -> batch, offer and second, of the former's last."""
        for slot, batch, op in self._unsure:
            batch_done, offer, second = done.get(slot, (0, 0, 0))
            was_done = same_counters and batch_done == batch
            if op.name == "admit" and was_done:
                offers, now = op.subject
                self._local.owe_taken(offers[offer], second, now, sign=-1)
            elif not was_done:
                self._keep(op)
        self._unsure = []
        first = [*self._kept, *self.levels(), *self.debts()]
        self._kept.clear()
        return first

    # -- within ---------------------------------------------------------------------------------------------

    def _ask(self, session: Session | None, op: Op) -> Any:
        """The answer, or None: Redis is away."""
        if session is None:
            return None
        try:
            return session.wait(op)
        except BaseException:
            # The caller is killed, because its client left: what it was given, or will be, is nobody's.
            op.abandoned = True
            if op.waiting is not None and op.waiting.ready() and isinstance(op.waiting.value, Taken):
                self._give_back(op.subject[0][op.waiting.value.offer], op.waiting.value.at)
            raise

    def _ask_again(self, ops: Iterable[Op]) -> None:
        """Ask what may be asked twice, now or when Redis is back."""
        session = self._membership.session
        for op in ops:
            if session is None:
                self._kept.append(op)
            else:
                session.ask(op)

    def _keep(self, op: Op) -> None:
        if op.again:
            self._kept.append(op)
        elif op.name == "settle":
            self._local.owe_changes(op.subject)
        elif op.name == "merge":
            self._local.owe(op.subject)

    def _admitted(self, op: Op, answer: list[int]) -> Taken | Refused:
        offers, now = op.subject
        if answer[0] >= 0:
            taken = Taken(answer[0], tuple(answer[2:]), answer[1])
            self._local.note_taken(offers[taken.offer], taken)
            return taken
        numbers, seconds = answer[1::3], answer[3::3]
        frees_at = [
            _frees_at(bounds[number], second) for bounds, number, second in zip(offers, numbers, seconds, strict=True)
        ]
        refused = Refused(tuple(numbers), tuple(answer[2::3]), tuple(frees_at))
        self._local.note_refused(offers, refused, now)
        return refused

    def _give_back(self, bounds: Offer, at: int) -> None:
        self.settle([Change(bound.counter, -bound.amount, bound.kind, at, bound.period) for bound in bounds])

    def _saying(self, news: News) -> Op:
        return Op(PLAIN, saying(self._name, news), again=True)

    def _hear(self, news: News) -> None:
        if isinstance(news, Word):
            self._local.announce(news)
        else:
            self._local.forget(news.owner)


def _admission(offers: Sequence[Offer], now: float) -> list[Any]:
    """The arguments of `admit.lua`."""
    args: list[Any] = [now]
    for bounds in offers:
        args.append(len(bounds))
        for bound in bounds:
            if bound.kind == "sliding":
                args += ("s", bound.counter, bound.most, bound.amount, bound.span_s, 0)
            elif bound.kind == "level":
                args += ("l", bound.counter, bound.most, bound.amount, "", 0)
            else:
                ttl_ms = int(kept_s(bound.ends_at - now) * 1000)
                args += ("p", bound.counter, bound.most, bound.amount, bound.period, ttl_ms)
    return args


def _frees_at(bound: Bound, second: int) -> float:
    if bound.amount > bound.most or bound.kind == "level":
        return NEVER
    if bound.kind == "period":
        return bound.ends_at
    return second + 1 + bound.span_s if second >= 0 else NEVER


def _merges(how: str, entries: Iterable[Entry]) -> Iterator[Op]:
    """One at a time: there may be a hundred thousand entries, and between two merges others have their turn."""
    rest = iter(entries)
    while some := list(islice(rest, AT_ONCE)):
        args: list[Any] = [how]
        for entry in some:
            args += (KINDS[entry.kind], entry.counter, entry.amount, entry.place, int(entry.ttl_s * 1000))
        yield Op("merge", args, some, again=how == "most", weight=len(some))
