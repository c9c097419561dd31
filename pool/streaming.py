"""The body of a streamed answer, from the first heartbeat or event to its end, whatever that is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from .core import sse
from .core.calls import GEMINI, Call, Reply, StreamReader
from .core.dialects import error_fields, upstream_fault
from .core.dialects.gemini.stream import ChatReader
from .core.dialects.passing import PassingReader
from .core.faults import Draining, Fault, UpstreamError
from .core.masking import redact_bytes
from .core.pacing import PACED, Pacer
from .settings import pacing

if TYPE_CHECKING:
    from .attempting import Exchange
    from .relay import Run

HEARTBEAT = b"\n"
"""A bare blank line: comments, `event:` lines and empty `data:` kill one SDK or the other."""


TALKS = frozenset({"chat", "messages", "responses", "stream_generate"})
"""Operations whose streams are what a model says, and may be handed out slowly."""

LARGE_BYTES = 16 * 1024
"""So much comes in one piece only where more is waiting: then others would never have their turn."""

TURN_S = 1e-9
"""A timer that is due makes the loop look at every socket; a pause of nothing may come back before it did."""

TURN_BYTES = 64 * 1024
LEAST_TURN_BYTES = 4096
LONG_TURN_S = 0.002

BEHIND_S = 0.25
"""A client that takes a piece this slowly is behind, and is not paced any more."""


@dataclass(slots=True)
class Committed:
    """A stream that began to answer: no other key may be tried any more. `held` are its first events.

    `headers` and `status` are an upstream's own, where they go on as they came. `events`: it is one of events, so
    that a heartbeat may stand between two of them. `paced`: it may be handed out slowly, as what is said.
    """

    dialect: str
    exchange: Exchange
    reader: StreamReader
    held: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200
    events: bool = True
    paced: bool = False


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
        self._reader: StreamReader | None = None
        self._turn_bytes = TURN_BYTES
        self.began = False
        """Whether anything but heartbeats has come."""
        self.write: Callable[[bytes], bool] | None = None
        """Sends a piece to the client at once, or leaves it; where a server offers that."""
        self._pieces = self._produce(loop, first)

    def __iter__(self) -> Iterator[bytes]:
        # The generator itself: whoever goes through it resumes it without a call of Python's between.
        return self._pieces

    def close(self) -> None:
        self._pieces.close()
        self._run.end(499, "client_gone")

    @property
    def number(self) -> int | None:
        """The number of the next event, where a dialect counts them."""
        if self._run.call.operation != "responses":
            return None
        return getattr(self._reader, "number", 0) + (self._pacer.added if self._pacer else 0)

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
        self._reader = reader
        pacer = self._pacer if committed.paced else None
        try:
            held, committed.held = committed.held, b""
            if held:
                self.began = True
                yield from self._paced(pacer, held)
            passing = None
            if self.write is not None and pacer is None and isinstance(reader, PassingReader | ChatReader):
                passing = partial(reader.pass_on, self.write)
            del held  # a slow client's stream would carry it to its end
            while reader.failure is None:
                piece = exchange.read1(patience_s, passing)
                if piece is None:
                    yield HEARTBEAT
                    continue
                if not piece:
                    break
                if len(piece) >= LARGE_BYTES:
                    yield from self._in_turns(pacer, reader, piece)
                    continue
                ready = reader.feed(piece)
                if not ready:
                    continue
                self.began = True
                if pacer is None:
                    yield ready
                else:
                    yield from self._paced(pacer, ready)
        finally:
            run.record.usage = reader.usage
        if reader.failure is not None:
            yield self._farewell(committed)
            return
        if not reader.finished:
            raise _interrupted()
        last = reader.end()
        # The record is written before the last bytes: what a client has in full is never lost.
        run.close_attempt("ok")
        run.end(200, "ok")
        if last:
            yield last if pacer is None else pacer.at_once(last)

    def _in_turns(self, pacer: Pacer | None, reader: StreamReader, piece: bytes) -> Generator[bytes, None, None]:
        """A large piece, with turns for everybody else: in parts as small as it takes for a turn to be short."""
        relay, at = self._run.relay, 0
        while at < len(piece) and reader.failure is None:
            part = piece[at : at + self._turn_bytes]
            at += len(part)
            began = relay.monotonic()
            ready = reader.feed(part)
            if relay.monotonic() - began > LONG_TURN_S:
                self._turn_bytes = max(self._turn_bytes // 2, LEAST_TURN_BYTES)
            if ready:
                self.began = True
                yield from self._paced(pacer, ready)
            relay.pause(TURN_S)

    def _paced(self, pacer: Pacer | None, events: bytes) -> Generator[bytes, None, None]:
        """Events as they came; in the paced modes in pieces, with pauses while the client keeps up."""
        relay = self._run.relay
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
            elif pacer.left_ms > 0:
                relay.pause(max(pause_ms / 1000 - took_s, TURN_S))
                pacer.left_ms -= max(0.0, (relay.monotonic() - began) * 1000 - pause_ms)

    def _farewell(self, committed: Committed) -> bytes:
        """The event in which an upstream says that it failed, without keys; where it is none to be passed on, raises
        the `Fault` that tells the same."""
        fault, attempt = self._failure(committed), self._run.current
        if attempt is not None:
            attempt.record.error = attempt.record.error or self._run.kept(fault.message)
        event: bytes = getattr(committed.reader, "farewell", b"")
        if not event:
            raise fault
        event = self._scrubbed(event)
        self._run.end(200, "broken", fault.code)
        return self._pacer.at_once(event) if self._pacer else event

    def _failure(self, committed: Committed) -> Fault:
        """An error event in the middle of an answer, in the client's terms and without the key."""
        body = self._scrubbed(committed.reader.failure or b"")
        return upstream_fault(committed.dialect, status_of(body), {}, body)

    def _scrubbed(self, event: bytes) -> bytes:
        attempt = self._run.current
        return redact_bytes(event, self._run.relay.unseal(attempt.pick.key) if attempt is not None else "")


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
