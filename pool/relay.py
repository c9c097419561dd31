"""One request in, one answer out: the only loop over keys."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from .attempting import Attempt, Exchange, tried
from .choosing import Choosing, Pick
from .core import outcomes
from .core.calls import GEMINI, Call, Reply, Target
from .core.catalogue import Catalogue, Client, Pool
from .core.dialects.settings import Resolver
from .core.echoes import without_echo
from .core.exhaustion import OF_OUR_KEYS, stormy
from .core.faults import Draining, Fault, NotYet, UpstreamError
from .core.judge import Judge, Thresholds
from .core.keys import Key
from .core.masking import redact
from .core.outcomes import RETURN, SAME_KEY, Outcome, Penalties, failed
from .core.providers import Provider, route_model
from .core.records import AttemptRecord, RequestRecord
from .core.rotation import Member, Rotation
from .core.state import PoolState
from .refusing import Refusing
from .series import Series
from .settings import Settings
from .streaming import HEARTBEAT, Committed, Flow, Passed, draining, stream_headers

if TYPE_CHECKING:
    from .admission import Entry

log = logging.getLogger(__name__)

MOST_TRANSIENT = 3
"""Attempts one request may spend at one upstream on trouble that is nobody's: connections, 5xx, silence."""

STORM_PATIENCE_S = 2.0
"""How long a request waits for somebody else's word that a storm is over."""

MOST_WAITING = 1000
"""Requests that wait for a key at the same time; more are refused at once."""


class Upstream(Protocol):
    def start(self, target: Target, /) -> Exchange: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the pool, the user key it came by (None: the pool's auth key), from where, and a policy it names.

    `entry` is what was reserved under limits, None where there are none. `anonymous`: it presented no client key.
    """

    pool: Pool
    client: Client | None = None
    ip: str = ""
    policy: str | None = None
    entry: Entry | None = None
    anonymous: bool = False


@dataclass(slots=True)
class Answer:
    """What goes back: `body` is bytes, or what to go through for a stream.

    `close()` must be called once the answer is over, however it ended; it may be called again.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Flow
    close: Callable[[], None] = field(default=lambda: None)


class Relay:
    """Handed its adapters; holds nothing of a request."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        settings: Callable[[], Settings],
        state: PoolState,
        upstream: Upstream,
        judge: Judge,
        remember: Callable[[bytes], None],
        unseal: Callable[[Key], str],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        pause: Callable[[float], None],
        rng: random.Random,
        user_agent: str = "keypool",
    ) -> None:
        self.catalogue = catalogue
        self.settings = settings
        self.state = state
        self.upstream = upstream
        self.judge = judge
        self.remember = remember
        self.unseal = unseal
        self.clock = clock
        self.monotonic = monotonic
        self.pause = pause
        self.rng = rng
        self.user_agent = user_agent
        self.lists_model: Callable[[int, str], bool] = lambda pool_id, model: False
        self.fetch: Resolver | None = None
        self.waiting = 0

    def answer(self, call: Call, caller: Caller) -> Answer:
        """Serve a call.

        Raises `Fault` where the answer is an error and no byte went out yet. A stream that fails later raises
        its `Fault` out of its iterator, to be rendered as that stream's last event.
        """
        return Run(self, call, caller).answer()

    def counts_tokens(self, call: Call, caller: Caller) -> bool:
        """Is there somebody in the pool who counts the tokens of a call? OpenAI has no such route."""
        candidates = self.catalogue.candidates(caller.pool.id)
        route = route_model(call.model, candidates, caller.pool.aliases)
        return any(candidates[slug].dialect == GEMINI for slug in route.providers)

    def with_key(self, secret: str, provider: Provider, pool_id: int) -> Relay:
        """The same relay for a caller's own upstream key: a pool of one, of which nothing is remembered."""
        own = copy(self)
        own.catalogue = catalogue = Catalogue()
        catalogue.providers = {provider.slug: provider}
        catalogue.keys = {0: Key(0, provider.slug, "", b"", secret=secret)}
        catalogue.rotations = {pool_id: {provider.slug: Rotation([Member(0)])}}
        own.judge = Judge(catalogue, lambda word: None, lambda line: None)
        own.unseal = lambda key: secret
        return own


class Run:
    """One request from the first choice to the last byte. Every attempt, and the whole, ends exactly once."""

    def __init__(self, relay: Relay, call: Call, caller: Caller) -> None:
        self.relay = relay
        self.call = call
        self.settings = relay.settings()
        self.caller = caller
        self.choosing = Choosing(relay, call, caller, self.settings)
        self.refusing = Refusing()
        self.series = Series()
        self.began = relay.monotonic()
        self.transient = 0
        self.empties = 0
        self.last_fault: Fault | None = None
        self.again: Pick | None = None
        self.current: Attempt | None = None
        self.ended = False
        client_id = caller.client.id if caller.client else None
        self.record = RequestRecord(
            call.request_id, relay.clock(), caller.pool.id, client_id, call.dialect, call.operation, call.model,
            stream=call.stream, ip=caller.ip,
        )  # fmt: skip

    def answer(self) -> Answer:
        """The answer, or the first bytes of it. Raises `Fault`."""
        try:
            loop = self._loop()
            first = next(loop)
            if isinstance(first, Reply):
                self.end(first.status, "ok")
                return Answer(first.status, [("Content-Type", first.content_type), *first.headers], first.body)
            flow = Flow(self, loop, first)
            if isinstance(first, Committed) and first.headers:
                return Answer(first.status, first.headers, flow, flow.close)
            return Answer(200, stream_headers(self.call), flow, flow.close)
        except Passed as passed:
            self.end(passed.status, "error", passed.fault.code)
            return Answer(passed.status, passed.headers, passed.body)
        except Fault as fault:
            self.end(fault.status, "error", fault.code)
            raise
        except Draining:
            self.end(503, "draining", "server_draining")
            raise draining() from None
        except BaseException as error:
            self.end_by(error)
            raise

    def _loop(self) -> Generator[Any, None, None]:
        """Yields HEARTBEAT while waiting, then one `Reply` or `Committed`. Raises `Fault` or `Passed`."""
        while True:
            attempt = self._begin((yield from self._pick()))
            try:
                result = yield from tried(self, attempt)
            except UpstreamError as error:
                result = failed(error, self.penalties)
                self.last_fault = _unanswered(result)
            if isinstance(result, Outcome):
                self._learn(attempt, result)
            elif result is not None:
                yield result
                return

    # -- one attempt ----------------------------------------------------------------------------------------

    def _pick(self) -> Generator[Any, None, Pick]:
        """The next key; where one will soon be there and settings allow it, after a while."""
        left_s = {True: STORM_PATIENCE_S, False: float(self.settings.max_queue_s)}
        while True:
            try:
                return self._next_pick()
            except NotYet as not_yet:
                # A storm may be over any moment; a bench ends when it ends.
                wait_s = self.relay.rng.uniform(0.03, 0.08) if not_yet.storm else not_yet.wait_s + 0.01
                if wait_s > left_s[not_yet.storm] or self._late(wait_s) or self.relay.waiting >= MOST_WAITING:
                    raise
                left_s[not_yet.storm] -= wait_s
                yield from self._wait(wait_s)

    def _wait(self, wait_s: float) -> Generator[Any, None, None]:
        self.relay.waiting += 1
        try:
            while wait_s > 0:
                step_s = min(wait_s, self.patience_s or wait_s)
                self.relay.pause(step_s)
                wait_s -= step_s
                if wait_s > 0:
                    yield HEARTBEAT
        finally:
            self.relay.waiting -= 1
        self.choosing.after_waiting()

    def _late(self, wait_s: float = 0.0) -> bool:
        return self.relay.monotonic() - self.began + wait_s >= self.settings.request_deadline_s

    def _next_pick(self) -> Pick:
        again, self.again = self.again, None
        if self.record.attempts and self._late():
            raise self.last_fault or Fault(504, "deadline_exceeded", "No key answered in time.", retry_after_s=1)
        return (again and self.choosing.again(again)) or self.choosing.next(self.last_fault)

    def _begin(self, pick: Pick) -> Attempt:
        record = AttemptRecord(pick.key.id, pick.plan.provider.slug, pick.why, self.elapsed_ms(), pick.skipped)
        self.record.attempts.append(record)
        if self.call.model:
            self.record.model_used = pick.plan.model
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "attempt %d: key %d of %s, model %r, chosen by %s, passed over: %s", len(self.record.attempts),
                pick.key.id, pick.plan.provider.slug, pick.plan.model, pick.why, pick.skipped or "none",
            )  # fmt: skip
        now = self.relay.clock()
        self.current = attempt = Attempt(pick, record, now - pick.key.used_at)
        pick.key.used_at = now
        self.relay.catalogue.vitals.began(pick.key.id)
        return attempt

    def may_try_elsewhere(self, attempt: Attempt) -> bool:
        """A 200 without content: another key is tried, once; the second goes to the client as it came."""
        self.empties += 1
        if self.call.pin is not None or (self.call.native is not None and self.call.native.once):
            return False
        return self.empties == 1 and attempt.pick.rotation.ready(self.record.model_used, self.relay.clock()) > 1

    def _learn(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt failed: tell the judge; go on, or raise what the client is told."""
        relay, settings, pick = self.relay, self.settings, attempt.pick
        outcome = replace(outcome, reason=self.kept(redact(outcome.reason, relay.unseal(pick.key))))
        attempt.record.blamed = outcome.blamed
        attempt.record.error = attempt.record.error or outcome.reason
        self.close_attempt(outcome.kind)
        thresholds = Thresholds(settings.max_errors_threshold, settings.error_reset_interval)
        now = relay.clock()
        relay.judge.failed(pick.key, pick.plan.model, outcome, now, pick.rotation, thresholds)
        if log.isEnabledFor(logging.DEBUG):
            self._tell_failure(attempt, outcome, now)
        if outcome.next == RETURN or not self._may_go_on(pick.key, outcome, now):
            kind = relay.judge.outages.of(pick.key.provider).storm.kind
            self.last_fault = stormy(kind) if kind in OF_OUR_KEYS else self.last_fault or _unanswered(outcome)
            if outcome.next == RETURN or self._only_once(outcome) or not self.choosing.leave(pick.key.provider):
                raise self.last_fault
            self.transient = 0
        elif outcome.next == SAME_KEY and self.transient == 1:
            relay.pause(relay.rng.uniform(0.1, 0.4))
            self.again = pick

    def _tell_failure(self, attempt: Attempt, outcome: Outcome, now: float) -> None:
        """Without the upstream's words: they may quote a prompt."""
        key, record = attempt.pick.key, attempt.record
        log.debug(
            "attempt %d failed after %d ms: %s, status %s, blamed on key %d: %s, next: %s", len(self.record.attempts),
            record.duration_ms, outcome.kind, record.status, key.id, "yes" if outcome.blamed else "no", outcome.next,
        )  # fmt: skip
        if key.dead is not None:
            log.debug("key %d is dead", key.id)
        benches = self.relay.catalogue.benches(key.id)
        for model in ("", attempt.pick.plan.model):
            if model in benches and benches[model].until > now:
                bench, which = benches[model], repr(model) if model else "any"
                log.debug("key %d rests for %.0f s: %s, model %s", key.id, bench.until - now, bench.reason, which)

    def _may_go_on(self, key: Key, outcome: Outcome, now: float) -> bool:
        """Refusals of a key go on to the next; trouble that is nobody's takes from the upstream's retry budget."""
        standing = self.relay.judge.outages.of(key.provider)
        if self.choosing.probe and standing.storm.open:
            return False
        if not outcome.transient:
            return True
        if self._only_once(outcome):
            return False
        self.transient += 1
        return self.transient < MOST_TRANSIENT and standing.budget.may_retry(now)

    def _only_once(self, outcome: Outcome) -> bool:
        """Might the upstream have done what must not be done twice?"""
        native = self.call.native
        return native is not None and native.once and outcome.transient and outcome.kind != "unreachable"

    def succeed(self, attempt: Attempt) -> None:
        self.relay.judge.succeeded(attempt.pick.key, attempt.pick.plan.model, self.relay.clock())
        self.record.ttfb_ms = self.elapsed_ms()
        attempt.record.ttfb_ms = self.record.ttfb_ms - attempt.record.started_ms

    # -- how things end -------------------------------------------------------------------------------------

    def close_attempt(self, outcome: str) -> None:
        """End the attempt under way, if there is one: close the upstream, give the reservation back."""
        attempt, self.current = self.current, None
        if attempt is None:
            return
        if attempt.exchange is not None:
            attempt.exchange.close()
        self.relay.judge.probed(attempt.pick.key)
        self.choosing.settle(attempt.pick, self.record.usage)
        taught = True if outcome == "ok" else None if outcome in outcomes.NOT_THE_KEYS else False
        ttfb_ms = attempt.record.ttfb_ms
        latency_s = None if ttfb_ms is None else ttfb_ms / 1000
        kind = f"{attempt.pick.plan.model} {self.call.stream}"
        self.relay.catalogue.vitals.ended(attempt.pick.key.id, taught, latency_s, self.relay.clock(), kind)
        attempt.record.outcome = outcome
        attempt.record.duration_ms = self.elapsed_ms() - attempt.record.started_ms

    def end(self, status: int, outcome: str, code: str = "") -> None:
        """The request is over: write its record. Only the first call counts."""
        if self.ended:
            return
        self.ended = True
        self.close_attempt(outcome)
        record = self.record
        record.usage = self.series.spent(record.usage)
        record.status = status
        record.outcome = outcome
        record.code = code
        record.latency_ms = self.elapsed_ms()
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "%s of %r ended: %s, status %d, attempts %d, %d ms", self.call.operation, self.call.model,
                f"{outcome} ({code})" if code else outcome, status, len(record.attempts), record.latency_ms,
            )  # fmt: skip
        self.choosing.give_up_probe(self.relay.clock())
        if self.caller.entry is not None:
            provider = record.attempts[-1].provider if record.attempts else ""
            self.caller.entry.settle(record.usage, provider, record.model_used)
        if record.request_id and self.settings.enable_usage_tracking:
            self.relay.remember(record.line())

    def end_by(self, error: BaseException) -> None:
        """Ended by an exception: the client left (its greenlet was stopped, its generator closed), or we failed."""
        if isinstance(error, Exception):
            self.end(500, "failed", "internal_error")
        else:
            self.end(499, "client_gone")

    def kept(self, words: str) -> str:
        """An upstream's words as they may be written down: without what they repeat of the request."""
        native = self.call.native
        spooled = native is not None and native.upload is not None
        return without_echo(words, None if spooled else self.call.body, self.call.model)

    @property
    def penalties(self) -> Penalties:
        cooldown_s = self.settings.cooldown_hours * 3600
        return Penalties(cooldown_s, self.settings.quota_reset, self.settings.retry_unsure)

    def elapsed_ms(self) -> int:
        return int((self.relay.monotonic() - self.began) * 1000)

    @property
    def patience_s(self) -> float | None:
        """How long silence may last before a heartbeat; None where none may be sent."""
        return (self.settings.heartbeat_s or None) if self.call.stream else None


def _unanswered(outcome: Outcome) -> Fault:
    """What a client is told where no upstream answered at all."""
    if outcome.kind == "timeout":
        return Fault(504, "upstream_timeout", "The upstream did not answer in time.", retry_after_s=1)
    return Fault(502, "upstream_error", "The upstream could not be reached or broke off.", retry_after_s=1)
