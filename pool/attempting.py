"""One attempt: a key and an upstream, from the request that is sent to an answer, or to what sends us on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from . import as_it_came
from .choosing import Pick
from .core import outcomes
from .core.calls import Reply, StreamReader, Target
from .core.dialects import is_array_stream
from .core.dialects.passing import Failed
from .core.faults import Broken, CannotConnect, Fault
from .core.outcomes import Outcome
from .core.records import AttemptRecord
from .streaming import HEARTBEAT, TALKS, Committed, status_of

if TYPE_CHECKING:
    from .relay import Run

MOST_ERROR_BYTES = 256 * 1024
MOST_ANSWER_BYTES = 256 * 1024 * 1024
MOST_HELD_BYTES = 1024 * 1024

UNKNOWN = frozenset({"raw", "object"})
"""Operations that are passed through without a word for what they do: nobody knows what an answer to them holds."""


class Exchange(Protocol):
    """One upstream HTTP exchange, as the engine hands it out."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def wait(self, patience_s: float | None = None) -> bool: ...
    def read1(
        self, patience_s: float | None = None, passing: Callable[[bytes], bool] | None = None
    ) -> bytes | None: ...
    def read(self, limit_bytes: int) -> bytes: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Attempt:
    """One upstream call under way."""

    pick: Pick
    record: AttemptRecord
    idle_s: float
    exchange: Exchange | None = None


def tried(run: Run, attempt: Attempt) -> Generator[Any, None, Any]:
    """One upstream call: yields HEARTBEAT while waiting.

    Returns `Reply`, `Committed`, None where a part of the answer came and the next is to be asked for, or the `Outcome`
    that sends us on. Raises `Passed` or `Fault` where the client is told, and `UpstreamError` where nothing came.
    """
    exchange = yield from _ask(run, attempt)
    attempt.record.status = exchange.status
    call, plan, status, headers = run.call, attempt.pick.plan, exchange.status, exchange.headers
    if not 200 <= status < 300:
        if plan.native and as_it_came.moved(call, plan.provider, status, headers):
            return _plain(run, attempt, exchange)
        return run.refusing.judge(run, attempt, status, headers, _head(exchange))
    if as_it_came.flows(call, status, headers) if plan.native else call.stream:
        return (yield from _await_content(run, attempt, exchange))
    return _plain(run, attempt, exchange)


def _ask(run: Run, attempt: Attempt) -> Generator[Any, None, Exchange]:
    """Send, and wait for the head of an answer; without the proxy where that is away and may be gone around."""
    key, provider = attempt.pick.key, attempt.pick.plan.provider
    targets = [_target(run, attempt.pick)]
    if targets[0].proxy_url and (key.fallback_to_direct or provider.fallback_to_direct):
        targets.append(replace(targets[0], proxy_url=None))
    while True:
        try:
            exchange = attempt.exchange = run.relay.upstream.start(targets.pop(0))
            while not exchange.wait(run.patience_s):
                yield HEARTBEAT
            return exchange
        except CannotConnect:
            if not targets:
                raise


def _target(run: Run, pick: Pick) -> Target:
    plan, settings = pick.plan, run.settings
    credential = plan.provider.credential(run.relay.unseal(pick.key))
    usual = (settings.connect_timeout_s, settings.first_byte_timeout_s, settings.idle_timeout_s)
    timeouts = plan.provider.patience(*usual, plain=not run.call.stream)
    proxy_url = pick.key.proxy_url or plan.provider.proxy_url
    ask = run.series.ask(plan)
    return Target(ask.method, plan.url, (*plan.headers, credential), ask.body, timeouts, proxy_url)


def _plain(run: Run, attempt: Attempt, exchange: Exchange) -> Reply | Outcome | None:
    """The answer; None where a part of it came, and the next is to be asked for."""
    plan = attempt.pick.plan
    body = exchange.read(MOST_ANSWER_BYTES)
    call = run.series.call(plan, run.call)
    try:
        reply = plan.codec.reply(call, dict(exchange.headers), body)
    except Failed as failed:
        return _failed(run, attempt, exchange, failed.body)
    except ValueError:
        return _unreadable(run)
    if not reply.useful and run.may_try_elsewhere(attempt):
        return outcomes.EMPTY
    run.record.usage = reply.usage
    run.succeed(attempt)
    if plan.native:
        _told(run, attempt, exchange, body)
        reply = as_it_came.as_it_came(reply, exchange, lambda: run.relay.unseal(attempt.pick.key))
    run.close_attempt("ok")
    return run.series.added(run, plan, reply)


def _await_content(run: Run, attempt: Attempt, exchange: Exchange) -> Generator[Any, None, Any]:
    """Hold events back until the first useful one: the commit point."""
    call, plan = run.call, attempt.pick.plan
    # A page is no answer to a question, but it may be the file that somebody fetches.
    page = exchange.headers.get("content-type", "").startswith("text/html")
    if page and not (plan.native and call.method == "GET"):
        return _unreadable(run)
    reader: StreamReader = plan.codec.reader(call, dict(exchange.headers))
    held = bytearray()
    while not reader.useful:
        piece = exchange.read1(run.patience_s)
        if piece is None:
            yield HEARTBEAT
            continue
        if piece:
            held += reader.feed(piece)
        if reader.failure is not None:
            return _failed(run, attempt, exchange, reader.failure)
        if not piece and not reader.finished:
            raise Broken("the stream ended before any content")
        if not piece:
            break
        if len(held) > MOST_HELD_BYTES and not reader.useful:
            return _unreadable(run)
    asked_a_model = not plan.native or call.operation not in UNKNOWN
    if not reader.useful and asked_a_model and run.may_try_elsewhere(attempt):
        return outcomes.EMPTY
    run.succeed(attempt)
    if not plan.native:
        paced = call.operation in TALKS and not is_array_stream(call)
        return Committed(plan.provider.dialect, exchange, reader, bytes(held), paced=paced)
    _told(run, attempt, exchange, bytes(held))
    return as_it_came.committed(call, plan.provider.dialect, exchange, reader, bytes(held))


def _failed(run: Run, attempt: Attempt, exchange: Exchange, error: bytes) -> Outcome:
    """An error inside a 200, before anything of it reached the client."""
    attempt.record.status = status_of(error)
    return run.refusing.judge(run, attempt, attempt.record.status, exchange.headers, error)


def _told(run: Run, attempt: Attempt, exchange: Exchange, said: bytes) -> None:
    """Who passed the call through learns of what it made before its client does."""
    native = run.call.native
    if native is not None and native.learn is not None:
        native.learn(attempt.pick.key.id, attempt.pick.plan.provider.slug, exchange.headers, said)


def _unreadable(run: Run) -> Outcome:
    run.last_fault = Fault(502, "upstream_error", "The upstream's answer could not be read.", retry_after_s=1)
    return outcomes.overloaded("unreadable answer", run.relay.clock())


def _head(exchange: Exchange) -> bytes:
    """An error's body, or as much of it as anybody reads."""
    body = bytearray()
    while len(body) < MOST_ERROR_BYTES and (piece := exchange.read1()):
        body += piece
    return bytes(body)
