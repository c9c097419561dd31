"""The body of a streamed answer, from the first heartbeat or event to its end, whatever that is."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .core import sse
from .core.calls import GEMINI, Call, Reply, StreamReader
from .core.dialects import error_fields, upstream_fault
from .core.faults import Draining, Fault, UpstreamError
from .core.masking import redact_bytes
from .core.pacing import PACED, Pacer
from .settings import pacing

if TYPE_CHECKING:
    from .relay import Exchange, Run

HEARTBEAT = b"\n"
"""A bare blank line: comments, `event:` lines and empty `data:` kill one SDK or the other."""


BEHIND_S = 0.25
"""A client that takes a piece this slowly is behind, and is not paced any more."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A stream that began to answer: no other key may be tried any more. `held` are its first events.

    `headers` and `status` are an upstream's own, where they go on as they came. `events`: it is one of events, so
    that a heartbeat may stand between two of them.
    """

    dialect: str
    exchange: Exchange
    reader: StreamReader
    held: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200
    events: bool = True


class Passed(Exception):
    """An upstream's own error body, on its way to a client of the same dialect."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body
        self.fault = fault


class Flow:
    """An iterator over the bytes for the client.

    Failures come out of it as `Fault`, to be rendered as the last event. `close()` ends the request, also where
    the iterator was never started: a generator that was not runs no `finally`.
    """

    def __init__(self, run: Run, loop: Generator[Any, None, None], first: Any) -> None:
        self._run = run
        paced = run.settings.stream_mode in PACED
        self._pacer = Pacer(pacing(run.settings), run.relay.rng) if paced else None
        self._came = run.relay.monotonic()
        self._pieces = self._produce(loop, first)

    def __iter__(self) -> Flow:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self._pieces.close()
        self._run.end(499, "client_gone")

    def _produce(self, loop: Generator[Any, None, None], first: Any) -> Generator[bytes, None, None]:
        run = self._run
        try:
            while first is HEARTBEAT:
                yield HEARTBEAT
                first = next(loop)
            if isinstance(first, Reply):
                # Asked for as a stream, answered in one piece, and after heartbeats too late to say so.
                run.end(first.status, "ok")
                yield sse.encode(first.body)
                return
            yield from self._events(first)
        except UpstreamError:
            run.end(200, "broken", "upstream_stream_interrupted")
            raise _interrupted() from None
        except Fault as fault:
            run.end(200, "broken" if run.current else "error", fault.code)
            raise
        except Passed as passed:
            # The head is out: an upstream's own error body can only go on as an event.
            run.end(200, "error", passed.fault.code)
            raise passed.fault from None
        except Draining:
            run.end(200, "broken", "server_draining")
            raise draining() from None
        except BaseException as error:
            run.end_by(error)
            raise

    def _events(self, committed: Committed) -> Generator[bytes, None, None]:
        run, exchange, reader = self._run, committed.exchange, committed.reader
        patience_s = run.patience_s if committed.events else None
        try:
            if committed.held:
                yield from self._paced(committed.held)
            while reader.failure is None:
                piece = exchange.read1(patience_s)
                if piece is None:
                    yield HEARTBEAT
                    continue
                if not piece:
                    break
                ready = reader.feed(piece)
                if ready:
                    yield from self._paced(ready)
        finally:
            run.record.usage = reader.usage
        if reader.failure is not None:
            raise self._failure(committed)
        if not reader.finished:
            raise _interrupted()
        last = reader.end()
        # The record is written before the last bytes: what a client has in full is never lost.
        run.close_attempt("ok")
        run.end(200, "ok")
        if last:
            yield last

    def _paced(self, events: bytes) -> Generator[bytes, None, None]:
        """Events as they came; in the paced modes in pieces, with pauses while the client keeps up."""
        pacer, relay = self._pacer, self._run.relay
        if pacer is None:
            yield events
            return
        came, self._came = self._came, relay.monotonic()
        for piece, pause_ms in pacer.pieces(events, (self._came - came) * 1000):
            began = relay.monotonic()
            yield piece
            took_s = relay.monotonic() - began
            if took_s > BEHIND_S:
                pacer.left_ms = 0.0
            elif pause_ms / 1000 > took_s and pacer.left_ms > 0:
                relay.pause(pause_ms / 1000 - took_s)

    def _failure(self, committed: Committed) -> Fault:
        """An error event in the middle of an answer, in the client's terms and without the key."""
        body = committed.reader.failure or b""
        attempt = self._run.current
        if attempt is not None:
            body = redact_bytes(body, self._run.relay.unseal(attempt.pick.key))
        return upstream_fault(committed.dialect, status_of(body), {}, body)


def status_of(body: bytes) -> int:
    """The HTTP status an error event stands for; 502 where it names none."""
    number = error_fields(body).number
    return number if number is not None and 400 <= number <= 599 else 502


def draining() -> Fault:
    return Fault(503, "server_draining", "Keypool is stopping; ask again.", retry_after_s=1)


def _interrupted() -> Fault:
    return Fault(503, "upstream_stream_interrupted", "The upstream broke off; the answer above is not complete.")


def stream_headers(call: Call) -> list[tuple[str, str]]:
    sse = call.dialect != GEMINI or ("alt", "sse") in call.query
    return [
        ("Content-Type", "text/event-stream; charset=utf-8" if sse else "application/json; charset=UTF-8"),
        ("Cache-Control", "no-cache, no-transform"),
        ("X-Accel-Buffering", "no"),
    ]
