"""The programs of the demo: they call Keypool two to four times a second, now and then wrongly, some leave early."""

from __future__ import annotations

import http.client
import json
import random
from contextlib import suppress
from typing import Any

import gevent
from gevent.pool import Pool

from demo.cast import DEFAULT, EMBEDDING, FLASH, PROGRAMS, REVOKED, Program
from demo.placing import Placed

MOST_AT_ONCE = 50
WRONG, LEAVES, REVOKED_RATE = 0.025, 0.03, 0.05
"""Shares of requests that are a mistake, and of streams that are left; how often a second the revoked key is tried."""

_PROMPT = "Summarise what happened to the keys since yesterday, and say which of them will need new quota. "


class Callers:
    """Call from `start` to `stop`."""

    def __init__(self, port: int, placed: Placed, rng: random.Random) -> None:
        self._port = port
        self._placed = placed
        self._rng = rng
        self._under_way = Pool(MOST_AT_ONCE)
        self._loops: list[gevent.Greenlet] = []

    def start(self) -> None:
        revoked = Program(DEFAULT, REVOKED, "openai", REVOKED_RATE, {FLASH: 1}, 0.0)
        self._loops = [gevent.spawn(self._keep_calling, program) for program in (*PROGRAMS, revoked)]

    def stop(self) -> None:
        gevent.killall(self._loops)
        self._under_way.kill()

    def _keep_calling(self, program: Program) -> None:
        while True:
            gevent.sleep(self._rng.expovariate(program.rate))
            self._under_way.spawn(self._call, program)

    def _call(self, program: Program) -> None:
        rng = self._rng
        model = rng.choices(list(program.models), list(program.models.values()))[0]
        stream = model != EMBEDDING and rng.random() < program.streams
        body: dict[str, Any]
        if program.dialect == "openai":
            path, body = _openai_call(model, stream, self._prompt())
        else:
            path, body = _gemini_call(model, stream, self._prompt())
        if rng.random() < WRONG:
            path, body = _spoilt(path, body, rng)
        leaves = stream and rng.random() < LEAVES
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=90)
        with suppress(OSError, http.client.HTTPException):
            headers = {"Authorization": f"Bearer {self._placed.token(program)}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            if leaves:
                answer.read1()
            else:
                answer.read()
        connection.close()

    def _prompt(self) -> str:
        return _PROMPT * min(40, int(self._rng.lognormvariate(1.5, 1)) + 1)


def _openai_call(model: str, stream: bool, prompt: str) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return "/v1/chat/completions", body


def _gemini_call(model: str, stream: bool, prompt: str) -> tuple[str, dict[str, Any]]:
    content = {"role": "user", "parts": [{"text": prompt}]}
    if model == EMBEDDING:
        return f"/v1beta/models/{model}:embedContent", {"content": content}
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/{model}:{verb}", {"contents": [content]}


def _spoilt(path: str, body: dict[str, Any], rng: random.Random) -> tuple[str, dict[str, Any]]:
    """A mistake of the caller's: a model that is gone (404), or a value out of range (400)."""
    gone, openai = rng.random() < 0.5, "model" in body
    if gone and openai:
        body["model"] = "gemini-1.5-flash"
    elif gone:
        path = path.replace(path.rpartition("/")[2].partition(":")[0], "gemini-1.5-flash")
    elif openai:
        body["temperature"] = 9
    else:
        body["generationConfig"] = {"temperature": 9}
    return path, body
