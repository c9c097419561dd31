"""One request in, one answer out: the only loop over keys."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .core import outcomes
from .core.calls import OPENAI, Ask, Call, Codec, Reply, StreamReader, Target, Timeouts
from .core.catalogue import Catalogue, Client, Pool
from .core.dialects import ConversionSettings, codec_for, error_fields, upstream_fault
from .core.exhaustion import no_keys, nothing_left
from .core.faults import Fault, UpstreamError
from .core.judge import Judge, Thresholds
from .core.keys import Key
from .core.masking import redact, redact_bytes
from .core.outcomes import RETURN, SAME_KEY, Outcome, Penalties, classify, failed
from .core.providers import Provider, Route, known_model, route_model
from .core.quota import cap_window
from .core.records import AttemptRecord, RequestRecord
from .core.rotation import Member, Rotation
from .core.state import Demand, PoolState
from .settings import Settings

HEARTBEAT = b"\n"
"""A bare blank line: comments, `event:` lines and empty `data:` kill one SDK or the other."""

MOST_TRANSIENT = 3
"""Attempts one request may spend on trouble that is nobody's: connections, 5xx, silence."""

MOST_ERROR_BYTES = 256 * 1024
MOST_ANSWER_BYTES = 256 * 1024 * 1024
MOST_HELD_BYTES = 1024 * 1024


class Exchange(Protocol):
    """One upstream HTTP exchange, as the engine hands it out."""

    status: int
    headers: Mapping[str, str]

    def wait(self, patience_s: float | None = None) -> bool: ...
    def read1(self, patience_s: float | None = None) -> bytes | None: ...
    def read(self, limit_bytes: int) -> bytes: ...
    def close(self) -> None: ...


class Upstream(Protocol):
    def start(self, target: Target, /) -> Exchange: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the pool, the user key it came by (None: the pool's auth key), and from where."""

    pool: Pool
    client: Client | None = None
    ip: str = ""
    policy: str | None = None
    """Asked for by this request; wins over the pool's."""


@dataclass(slots=True)
class Answer:
    """What goes back: `body` is bytes, or an iterator of bytes for a stream.

    `close()` must be called once the answer is over, however it ended; it may be called again.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Iterator[bytes]
    close: Callable[[], None] = field(default=lambda: None)


class Relay:
    """Handed its adapters; holds nothing of a request. `settings` and `conversion` are read anew each time."""

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

    def answer(self, call: Call, caller: Caller) -> Answer:
        """Serve a call. Raises `Fault` where the answer is an error of ours or an upstream's, before any byte went
        out; a stream that fails later ends with `Fault` raised out of its iterator, for the caller to render."""
        return _Run(self, call, caller).answer()

    def with_key(self, secret: str, provider: Provider) -> Relay:
        """The same relay for a caller's own upstream key: a pool of one, of which nothing is remembered."""
        own = copy(self)
        own.catalogue = catalogue = Catalogue()
        catalogue.providers = {provider.slug: provider}
        catalogue.keys = {0: Key(0, "", provider.slug, "", b"", secret=secret)}
        catalogue.rotations = defaultdict(lambda: {provider.slug: Rotation([Member(0)])})
        own.judge = Judge(catalogue, lambda word: None, lambda line: None)
        own.unseal = lambda key: secret
        return own


@dataclass(slots=True)
class _Attempt:
    key: Key
    provider: Provider
    rotation: Rotation
    codec: Codec
    record: AttemptRecord
    exchange: Exchange | None = None


@dataclass(slots=True)
class _Committed:
    """A stream that began to answer: no other key may be tried any more."""

    attempt: _Attempt
    reader: StreamReader
    first: bytes


class _Passed(Exception):
    """An upstream's own error body goes to a client of the same dialect."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes, code: str) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body
        self.code = code


class _Run:
    """One request from the first choice to the last byte. Ends exactly once (`_end`)."""

    def __init__(self, relay: Relay, call: Call, caller: Caller) -> None:
        self.relay = relay
        self.call = call
        self.caller = caller
        self.settings = relay.settings()
        self.pool = caller.pool
        self.began = relay.monotonic()
        self.tried: dict[int, None] = {}
        self.transient = 0
        self.empties = 0
        self.last_fault: Fault | None = None
        self.again: _Attempt | None = None
        self.asks: dict[str, tuple[Codec, Ask, str, tuple[tuple[str, str], ...]]] = {}
        self.current: _Attempt | None = None
        self.ended = False
        self.record = RequestRecord(
            call.request_id,
            relay.clock(),
            caller.pool.id,
            caller.client.id if caller.client else None,
            call.dialect,
            call.operation,
            call.model,
            stream=call.stream,
            ip=caller.ip,
        )
        self.penalties = Penalties(
            self.settings.cooldown_hours * 3600, self.settings.quota_reset, self.settings.retry_unsure
        )

    # -- the two kinds of answer ----------------------------------------------------------------------------

    def answer(self) -> Answer:
        try:
            loop = self._loop()
            first = next(loop)
            if isinstance(first, Reply):
                self._end(200, "ok")
                return Answer(200, [("Content-Type", first.content_type)], first.body)
            flow = _Flow(self, loop, first)
            return Answer(200, _stream_headers(self.call), flow, flow.close)
        except _Passed as passed:
            self._end(passed.status, "error", passed.code)
            return Answer(passed.status, passed.headers, passed.body)
        except Fault as fault:
            self._end(fault.status, "error", fault.code)
            raise
        except UpstreamError as error:
            raise AssertionError("an upstream error must have been judged") from error
        except BaseException:
            self._end(499, "client_gone")
            raise

    # -- the loop over keys ---------------------------------------------------------------------------------

    def _loop(self) -> Generator[Any, None, None]:
        """Yields HEARTBEAT while waiting, then one `Reply` or `_Committed`. Raises `Fault` or `_Passed`."""
        while True:
            attempt = self._next_attempt()
            try:
                result = yield from self._try(attempt)
            except UpstreamError as error:
                result = failed(error, self.penalties)
                self.last_fault = _upstream_trouble(result)
            except BaseException:
                self._close_attempt(attempt, "client_gone")
                raise
            if not isinstance(result, Outcome):
                yield result
                return
            self._judge(attempt, result)

    def _next_attempt(self) -> _Attempt:
        """Choose and admit a key. Raises `Fault` where nothing is left or the time is over."""
        relay = self.relay
        again, self.again = self.again, None
        if self.tried and relay.monotonic() - self.began >= self.settings.request_deadline_s:
            raise self.last_fault or Fault(504, "deadline_exceeded", "No key answered in time.", retry_after_s=1)
        if len(self.tried) >= self.settings.max_attempts:
            raise self.last_fault or Fault(503, "max_attempts", "Too many keys failed.", retry_after_s=1)
        if again is not None and relay.state.admit([self._demand(again.key)]):
            return self._begin(again.key, again.provider, again.rotation, "same_key_again", {})
        now = relay.clock()
        candidates = relay.catalogue.candidates(self.pool.id)
        route = self._route(candidates)
        usable = [slug for slug in route.providers if self._prepare(candidates[slug], route.model)]
        if not usable:
            raise self._no_provider(bool(candidates))
        self.record.model_used = route.model
        policy = self.caller.policy or self.pool.policy or self.settings.rotation_strategy
        for slug in usable:
            rotation = relay.catalogue.rotations[self.pool.id][slug]
            key = self._admit(rotation, policy, route.model, now)
            if key is not None:
                skipped = rotation.census(route.model, now) if self.tried else {}
                return self._begin(key, candidates[slug], rotation, policy, skipped)
        if self._fall_back():
            return self._next_attempt()
        raise self._nothing_left(route.model, usable)

    def _admit(self, rotation: Rotation, policy: str, model: str, now: float) -> Key | None:
        """The next key of a rotation that is still under its cap on attempts."""
        relay = self.relay
        while True:
            key_id = rotation.choose(policy, model, now, self.tried)
            if key_id is None:
                return None
            key = relay.catalogue.keys[key_id]
            if relay.state.admit([self._demand(key)]) is not None:
                return key
            until = cap_window(key.max_requests_window, now, self.settings.quota_reset)[1]
            relay.catalogue.bench(key_id, "limited", until)

    def _demand(self, key: Key) -> Demand:
        if key.max_requests is None:
            return Demand(key.id)
        window, _ = cap_window(key.max_requests_window, self.relay.clock(), self.settings.quota_reset)
        return Demand(key.id, key.max_requests, window)

    def _fall_back(self) -> bool:
        """One hop to the fallback pool, under the first pool's limits."""
        fallback = self.relay.catalogue.pools.get(self.pool.fallback_pool_id or 0)
        if self.pool is not self.caller.pool or fallback is None or not fallback.enabled:
            return False
        self.pool = fallback
        return True

    def _route(self, candidates: Mapping[str, Provider]) -> Route:
        """The providers to ask and the model to ask for; `unknown_model_policy` decides about strange names."""
        call, settings = self.call, self.settings
        if call.provider is not None:
            return Route((call.provider,) if call.provider in candidates else (), call.model)
        route = route_model(call.model, candidates, self.pool.aliases)
        if settings.unknown_model_policy == "passthrough" or known_model(route, candidates):
            return route
        if settings.unknown_model_policy == "default":
            return route_model(settings.default_model_name, candidates, self.pool.aliases)
        message = f"The model {call.model!r} does not exist here."
        raise Fault(404, "model_not_found", message, param="model", retryable=False)

    def _prepare(self, provider: Provider, model: str) -> bool:
        """Build the upstream request once a provider, before any of its keys is used. Raises `Fault` (400)."""
        if provider.slug in self.asks:
            return True
        codec = codec_for(self.call.dialect, provider.dialect, self.call.operation, settings=self._conversion())
        if codec is None:
            return False
        ask = codec.ask(self.call, model)
        accept = "text/event-stream" if self.call.stream else "application/json"
        headers = (
            *ask.headers,
            *self.call.headers,
            ("Accept", accept),
            ("User-Agent", self.relay.user_agent),
        )
        self.asks[provider.slug] = (codec, ask, provider.url(ask), headers)
        return True

    def _conversion(self) -> ConversionSettings:
        settings = self.settings
        return ConversionSettings(
            safety_preset=settings.safety_preset,
            thinking_enabled=settings.thinking_enabled,
            thinking_budget=settings.thinking_budget,
            include_thoughts=settings.include_thoughts,
        )

    # -- one attempt ----------------------------------------------------------------------------------------

    def _begin(self, key: Key, provider: Provider, rotation: Rotation, why: str, skipped: dict[str, int]) -> _Attempt:
        started_ms = int((self.relay.monotonic() - self.began) * 1000)
        record = AttemptRecord(key.id, provider.slug, why, started_ms, skipped)
        self.record.attempts.append(record)
        self.tried[key.id] = None
        self.current = attempt = _Attempt(key, provider, rotation, self.asks[provider.slug][0], record)
        return attempt

    def _try(self, attempt: _Attempt) -> Generator[Any, None, Any]:
        """One upstream call. Returns `Reply`, `_Committed`, or the `Outcome` that sends us on."""
        _, ask, url, headers = self.asks[attempt.provider.slug]
        secret = self.relay.unseal(attempt.key)
        target = Target(
            ask.method,
            url,
            (*headers, attempt.provider.credential(secret)),
            ask.body,
            self._timeouts(),
            attempt.key.proxy_url or attempt.provider.proxy_url,
        )
        exchange = attempt.exchange = self.relay.upstream.start(target)
        patience_s = self._patience_s()
        while not exchange.wait(patience_s):
            yield HEARTBEAT
        attempt.record.status = exchange.status
        if not 200 <= exchange.status < 300:
            return self._refused(attempt, exchange.status, exchange.headers, exchange.read(MOST_ERROR_BYTES))
        if self.call.stream:
            return (yield from self._await_content(attempt, exchange, patience_s))
        return self._plain(attempt, exchange)

    def _plain(self, attempt: _Attempt, exchange: Exchange) -> Reply | Outcome:
        body = exchange.read(MOST_ANSWER_BYTES)
        try:
            reply = attempt.codec.reply(self.call, dict(exchange.headers), body)
        except ValueError:
            return self._unreadable(attempt)
        if not reply.useful and self._another_try_for_empty(attempt):
            return outcomes.EMPTY
        self.record.usage = reply.usage
        self._succeed(attempt)
        return reply

    def _await_content(
        self, attempt: _Attempt, exchange: Exchange, patience_s: float | None
    ) -> Generator[Any, None, Any]:
        """Hold events back until the first useful one: the commit point."""
        if exchange.headers.get("content-type", "").startswith("text/html"):
            return self._unreadable(attempt)
        reader = attempt.codec.reader(self.call, dict(exchange.headers))
        held = bytearray()
        while not reader.useful:
            piece = exchange.read1(patience_s)
            if piece is None:
                yield HEARTBEAT
                continue
            if piece:
                held += reader.feed(piece)
            if reader.failure is not None:
                return self._failed_event(attempt, reader.failure, exchange.headers)
            if not piece:
                break
            if len(held) > MOST_HELD_BYTES:
                return self._unreadable(attempt)
        if not reader.useful and self._another_try_for_empty(attempt):
            return outcomes.EMPTY
        self.relay.judge.succeeded(attempt.key, self.record.model_used)
        self._first_byte(attempt)
        return _Committed(attempt, reader, bytes(held))

    def _another_try_for_empty(self, attempt: _Attempt) -> bool:
        """A 200 without content: another key is tried, once; the second goes to the client as it came."""
        self.empties += 1
        return self.empties == 1 and attempt.rotation.ready(self.record.model_used, self.relay.clock()) > 1

    def _unreadable(self, attempt: _Attempt) -> Outcome:
        self.last_fault = Fault(502, "upstream_error", "The upstream's answer could not be read.", retry_after_s=1)
        return outcomes.overloaded("unreadable answer", self.relay.clock())

    def _failed_event(self, attempt: _Attempt, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """A 200 stream whose first event is an error counts as that error's status."""
        status = _status_of(body)
        attempt.record.status = status
        return self._refused(attempt, status, headers, body)

    def _refused(self, attempt: _Attempt, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Judge an upstream's error; raises `_Passed` or `Fault` where it is the client's own."""
        refusal = error_fields(body)
        outcome = classify(status, headers, refusal, self.relay.clock(), self.penalties)
        secret = self.relay.unseal(attempt.key)
        fault = upstream_fault(attempt.provider.dialect, status, headers, body)
        fault.message = redact(fault.message, secret)
        if outcome.kind == "misrouted":
            fault = Fault(502, "upstream_error", "Keypool asked the upstream in a way it refused.")
        self.last_fault = fault
        if outcome.next == RETURN:
            self._close_attempt(attempt, outcome.kind, fault.message)
            if outcome.kind != "misrouted" and self.call.dialect == attempt.provider.dialect:
                kind = headers.get("content-type", "application/json")
                raise _Passed(status, [("Content-Type", kind)], redact_bytes(body, secret), fault.code)
            raise fault
        attempt.record.error = fault.message
        return outcome

    def _judge(self, attempt: _Attempt, outcome: Outcome) -> None:
        """An attempt failed in a way that lets us go on, or raises what the client is told."""
        relay, settings = self.relay, self.settings
        attempt.record.blamed = outcome.blamed
        error = attempt.record.error or outcome.reason
        self._close_attempt(attempt, outcome.kind, error)
        limits = Thresholds(settings.max_errors_threshold, settings.error_reset_interval)
        told = replace(outcome, reason=redact(outcome.reason, relay.unseal(attempt.key)))
        relay.judge.failed(attempt.key, self.record.model_used, told, relay.clock(), attempt.rotation, limits)
        if outcome.next == RETURN:
            raise self.last_fault or _upstream_trouble(outcome)
        if outcome.transient:
            self.transient += 1
            if self.transient >= MOST_TRANSIENT:
                raise self.last_fault or _upstream_trouble(outcome)
            if outcome.next == SAME_KEY and self.transient == 1:
                relay.pause(relay.rng.uniform(0.1, 0.4))
                self.again = attempt

    def _succeed(self, attempt: _Attempt) -> None:
        self.relay.judge.succeeded(attempt.key, self.record.model_used)
        self._first_byte(attempt)
        self._close_attempt(attempt, "ok")

    def _first_byte(self, attempt: _Attempt) -> None:
        elapsed_ms = int((self.relay.monotonic() - self.began) * 1000)
        self.record.ttfb_ms = elapsed_ms
        attempt.record.ttfb_ms = elapsed_ms - attempt.record.started_ms

    def _close_attempt(self, attempt: _Attempt, outcome: str, error: str = "") -> None:
        """End an attempt: close the upstream, give the reservation back. Only the first call counts."""
        if attempt is not self.current:
            return
        self.current = None
        if attempt.exchange is not None:
            attempt.exchange.close()
        self.relay.state.end(attempt.key.id)
        record = attempt.record
        record.outcome = outcome
        record.error = error
        record.duration_ms = int((self.relay.monotonic() - self.began) * 1000) - record.started_ms

    def _end(self, status: int, outcome: str, code: str = "") -> None:
        """The request is over: write its record. Only the first call counts."""
        if self.ended:
            return
        self.ended = True
        if self.current is not None:
            self._close_attempt(self.current, outcome)
        record = self.record
        record.status = status
        record.outcome = outcome
        record.code = code
        record.latency_ms = int((self.relay.monotonic() - self.began) * 1000)
        if record.request_id and self.settings.enable_usage_tracking:
            self.relay.remember(record.line())

    # -- what stands in settings, and what is said when nothing is left --------------------------------------

    def _patience_s(self) -> float | None:
        """How long silence may last before a heartbeat; None where none may be sent."""
        return self.settings.heartbeat_s or None if self.call.stream else None

    def _timeouts(self) -> Timeouts:
        settings = self.settings
        first_byte_s = settings.first_byte_timeout_s * (1 if self.call.stream else 5)
        return Timeouts(settings.connect_timeout_s, first_byte_s, settings.idle_timeout_s)

    def _no_provider(self, has_keys: bool) -> Fault:
        if not has_keys:
            return no_keys({})
        message = f"No provider of this pool serves {self.call.model!r} on this route."
        return Fault(404, "model_not_found", message, param="model", retryable=False)

    def _nothing_left(self, model: str, slugs: Sequence[str]) -> Fault:
        """Why no key can be tried (any more). Keys that are ready were tried: then the last upstream's word counts."""
        now = self.relay.clock()
        rotations = [self.relay.catalogue.rotations[self.pool.id][slug] for slug in slugs]
        if self.last_fault and (not slugs or any(rotation.ready(model, now) for rotation in rotations)):
            return self.last_fault
        return nothing_left(rotations, model, now)


class _Flow:
    """The body of a stream: an iterator whose `close()` ends the request, also if it was never started."""

    def __init__(self, run: _Run, loop: Generator[Any, None, None], first: Any) -> None:
        self._run = run
        self._pieces = self._produce(loop, first)

    def __iter__(self) -> _Flow:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self._pieces.close()
        # A generator that was never started runs no `finally`.
        self._run._end(499, "client_gone")

    def _produce(self, loop: Generator[Any, None, None], first: Any) -> Generator[bytes, None, None]:
        run = self._run
        try:
            while first is HEARTBEAT:
                yield HEARTBEAT
                first = next(loop)
            yield from self._events(first)
        except Fault as fault:
            run._end(200, "broken", fault.code)
            raise
        except _Passed as passed:
            run._end(200, "error", passed.code)
            raise (run.last_fault or Fault(passed.status, passed.code, "")) from None
        except UpstreamError as error:
            run._end(200, "broken", "upstream_stream_interrupted")
            raise _interrupted() from error
        except BaseException:
            run._end(499, "client_gone")
            raise

    def _events(self, committed: _Committed) -> Generator[bytes, None, None]:
        run, reader, attempt = self._run, committed.reader, committed.attempt
        exchange = attempt.exchange
        assert exchange is not None
        if committed.first:
            yield committed.first
        patience_s = run._patience_s()
        try:
            while reader.failure is None:
                piece = exchange.read1(patience_s)
                if piece is None:
                    yield HEARTBEAT
                    continue
                if not piece:
                    break
                ready = reader.feed(piece)
                if ready:
                    yield ready
        finally:
            run.record.usage = reader.usage
        if reader.failure is not None:
            status = _status_of(reader.failure)
            body = redact_bytes(reader.failure, attempt.key.secret or "")
            raise upstream_fault(attempt.provider.dialect, status, {}, body)
        if not reader.finished:
            raise _interrupted()
        last = reader.end()
        run._close_attempt(attempt, "ok")
        run._end(200, "ok")
        if last:
            yield last


def _interrupted() -> Fault:
    return Fault(503, "upstream_stream_interrupted", "The upstream broke off; the answer above is not complete.")


def _upstream_trouble(outcome: Outcome) -> Fault:
    """What a client is told where no upstream answered at all."""
    if outcome.kind == "timeout":
        return Fault(504, "upstream_timeout", "The upstream did not answer in time.", retry_after_s=1)
    return Fault(502, "upstream_error", "The upstream could not be reached or broke off.", retry_after_s=1)


def _status_of(body: bytes) -> int:
    """The HTTP status an error event stands for; 502 where it names none."""
    code = error_fields(body).number
    return code if code is not None and 400 <= code <= 599 else 502


def _stream_headers(call: Call) -> list[tuple[str, str]]:
    sse = call.dialect == OPENAI or ("alt", "sse") in call.query
    return [
        ("Content-Type", "text/event-stream; charset=utf-8" if sse else "application/json; charset=UTF-8"),
        ("Cache-Control", "no-cache, no-transform"),
        ("X-Accel-Buffering", "no"),
    ]
