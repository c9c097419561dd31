"""A client that judges what it gets: whole, an error that is told, or an end that looks like a success."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent
import orjson
from gevent.pool import Pool

from tests.upstream import SAYS

MODEL = "gpt-4o"
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


def body(stream: bool) -> bytes:
    return orjson.dumps({"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": "Hello"}]})


PLAIN, STREAM = body(False), body(True)


def judged(status: int, content: bytes, stream: bool, text: str = TEXT) -> str:
    """Is it the whole text, or an error that no SDK takes for an answer?"""
    if status != 200:
        return TOLD if b'"error"' in content else SILENT
    if not stream:
        try:
            return WHOLE if orjson.loads(content)["choices"][0]["message"]["content"] == text else SILENT
        except (ValueError, LookupError, TypeError):
            return SILENT
    done = content.rstrip().endswith(b"data: [DONE]")
    events = [part[6:] for part in content.split(b"\n\n") if part.startswith(b"data: {")]
    if not done:
        return TOLD if events and b'"error"' in events[-1] else SILENT
    return WHOLE if _text(events) == text else SILENT


def _text(events: Sequence[bytes]) -> str:
    choices = (choice for event in events for choice in orjson.loads(event).get("choices", ()))
    return "".join(choice["delta"].get("content") or "" for choice in choices)


class Caller:
    """One client with a connection it keeps. Where an instance refuses it, it goes to the next one."""

    def __init__(self, ports: Sequence[int], auth: str, start: int = 0) -> None:
        self._ports = list(ports)
        self._at = start % len(ports)
        self._connection: http.client.HTTPConnection | None = None
        self._headers = {"Authorization": f"Bearer {auth}", "Content-Type": "application/json"}

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
        connection.request("POST", "/v1/chat/completions", STREAM if stream else PLAIN, self._headers)
        answer = connection.getresponse()
        request_id = answer.headers.get("X-Keypool-Request-Id", "")
        try:
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return CUT, request_id, repr(error).encode()
        return judged(answer.status, content, stream, text), request_id, content

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def ask_all(ports: Sequence[int], auth: str, count: int, at_once: int = 20, **how: Any) -> Tally:
    """So many requests, half of them streams unless `stream` says otherwise."""
    tally = Tally()
    stream, text = how.get("stream"), how.get("text", TEXT)

    def one(number: int) -> None:
        caller = Caller(ports, auth, number)
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
