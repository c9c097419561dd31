"""A client that judges what it gets: whole, an error that is told, or an end that looks like a success."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent
import orjson
from gevent.pool import Pool

from tests.upstream import SAYS

MODEL, GEMINI_MODEL = "gpt-4o", "gemini-2.5-flash"
PATIENCE_S = 30.0
TEXT = "".join(SAYS)

WHOLE, TOLD, SILENT, CUT, GONE = "whole", "told", "silent", "cut", "gone"


@dataclass(slots=True)
class Tally:
    """What came of many requests. `ids`: of those that were answered whole, as the answers named them."""

    sent: int = 0
    told: int = 0
    silent: int = 0
    moved: int = 0
    """Sent once more to the other instance: it was refused, or ended before a byte of the answer."""
    cut: int = 0
    """Of the silent ones: whose connection broke in the middle of the answer, so that it is an error to any client."""
    gone: int = 0
    """Of the silent ones: found nobody at all, or the connection ended before a byte of the answer. An error, too."""
    slowest_s: float = 0.0
    ids: list[str] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    """What the first of them said that failed."""

    def add(self, verdict: str, request_id: str, took_s: float, said: bytes = b"") -> None:
        self.sent += 1
        self.told += verdict == TOLD
        self.silent += verdict in (SILENT, CUT, GONE)
        self.cut += verdict == CUT
        self.gone += verdict == GONE
        self.slowest_s = max(self.slowest_s, took_s)
        if verdict == WHOLE:
            self.ids.append(request_id)
        elif len(self.words) < 3:
            self.words.add(said[-200:].decode(errors="replace"))


def _body(stream: bool, model: str = MODEL) -> bytes:
    return orjson.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hello"}]})


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a client asks, plainly and for a stream, and what it reads."""

    paths: tuple[str, str]
    bodies: tuple[bytes, bytes]
    key_header: tuple[str, str]
    """Its name, and what stands before the key."""

    text_of: Callable[[Any], str]
    """The text of an answer, or of one event of it; any `LookupError` where it has none that it should have."""

    ended: Callable[[bytes], bool]
    """Does the stream say that this was all?"""


def _openai_text(answer: Any) -> str:
    texts = ((choice.get("message") or choice["delta"]).get("content") for choice in answer.get("choices", ()))
    return "".join(text or "" for text in texts)


def _gemini_text(answer: Any) -> str:
    parts = (part for each in answer["candidates"] for part in each.get("content", {}).get("parts", ()))
    return "".join(part["text"] for part in parts)


def _openai(model: str) -> Dialect:
    path, bodies = "/v1/chat/completions", (_body(False, model), _body(True, model))
    return Dialect(
        (path, path), bodies, ("Authorization", "Bearer "), _openai_text,
        lambda content: content.endswith(b"data: [DONE]"),
    )  # fmt: skip


OPENAI, OPENAI_OF_GEMINI = _openai(MODEL), _openai(GEMINI_MODEL)
PLAIN, STREAM = OPENAI.bodies
_ASKED = orjson.dumps({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]})
GEMINI = Dialect(
    (
        f"/v1beta/models/{GEMINI_MODEL}:generateContent",
        f"/v1beta/models/{GEMINI_MODEL}:streamGenerateContent?alt=sse",
    ),
    (_ASKED, _ASKED),
    ("x-goog-api-key", ""),
    _gemini_text,
    lambda content: b'"finishReason"' in content.rpartition(b"data: {")[2],
)


def judged(status: int, content: bytes, stream: bool, text: str = TEXT, dialect: Dialect = OPENAI) -> str:
    """Is it the whole text, or an error that no SDK takes for an answer?"""
    if status != 200:
        return TOLD if b'"error"' in content else SILENT
    content = content.replace(b"\r\n", b"\n").rstrip()
    events = [part[6:] for part in content.split(b"\n\n") if part.startswith(b"data: {")] if stream else [content]
    if stream and not dialect.ended(content):
        return TOLD if events and b'"error"' in events[-1] else SILENT
    try:
        return WHOLE if "".join(dialect.text_of(orjson.loads(event)) for event in events) == text else SILENT
    except (ValueError, LookupError, TypeError, AttributeError):
        return SILENT


class Caller:
    """One client with a connection it keeps. Where an instance refuses it, it goes to the next one."""

    def __init__(self, ports: Sequence[int], auth: str, start: int = 0, dialect: Dialect = OPENAI) -> None:
        self._ports = list(ports)
        self._dialect = dialect
        self._at = start % len(ports)
        self._connection: http.client.HTTPConnection | None = None
        name, before = dialect.key_header
        self._headers = {name: before + auth, "Content-Type": "application/json"}

    def ask(self, tally: Tally, stream: bool, text: str = TEXT) -> None:
        """One request, whatever it takes; two rounds of the instances at most."""
        began = time.monotonic()
        for more in reversed(range(2 * len(self._ports))):
            try:
                verdict, request_id, content = self._once(stream, text)
            except (OSError, http.client.HTTPException) as error:
                # Nothing of the answer came: refused, or the instance ended before it wrote.
                self.close()
                if len(self._ports) > 1 and more:
                    self._at = (self._at + 1) % len(self._ports)
                    tally.moved += 1
                    continue
                verdict, request_id, content = GONE, "", repr(error).encode()
            tally.add(verdict, request_id, time.monotonic() - began, content)
            return

    def _once(self, stream: bool, text: str) -> tuple[str, str, bytes]:
        connection = self._connection
        if connection is None:
            port = self._ports[self._at]
            connection = self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        asked = self._dialect
        connection.request("POST", asked.paths[stream], asked.bodies[stream], self._headers)
        answer = connection.getresponse()
        request_id = answer.headers.get("X-Keypool-Request-Id", "")
        try:
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return CUT, request_id, repr(error).encode()
        return judged(answer.status, content, stream, text, asked), request_id, content

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def ask_all(ports: Sequence[int], auth: str, count: int, at_once: int = 20, **how: Any) -> Tally:
    """So many requests, half of them streams unless `stream` says otherwise."""
    tally = Tally()
    stream, text, dialect = how.get("stream"), how.get("text", TEXT), how.get("dialect", OPENAI)

    def one(number: int) -> None:
        caller = Caller(ports, auth, number, dialect)
        try:
            caller.ask(tally, number % 2 == 0 if stream is None else stream, text)
        finally:
            caller.close()

    pool = Pool(at_once)
    for number in range(count):
        pool.spawn(one, number)
    pool.join(raise_error=True)
    return tally


class Load:
    """Clients that ask until they are told to stop, each over a connection it keeps."""

    def __init__(self, ports: Sequence[int], auth: str, clients: int = 8, pause_s: float = 0.0) -> None:
        self.tally = Tally()
        self._on = True
        self._pause_s = pause_s
        self._greenlets = [gevent.spawn(self._keep_asking, Caller(ports, auth, n), n) for n in range(clients)]

    def _keep_asking(self, caller: Caller, number: int) -> None:
        while self._on:
            number += 1
            caller.ask(self.tally, stream=number % 2 == 0)
            gevent.sleep(self._pause_s)
        caller.close()

    def stop(self) -> Tally:
        self._on = False
        gevent.joinall(self._greenlets, raise_error=True)
        return self.tally
