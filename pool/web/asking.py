"""One question asked through the door of the proxy, as a program with a pool's auth key asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from flask import request
from werkzeug.test import EnvironBuilder

from pool.core.records import REQUEST, AttemptRecord, RequestRecord, parse_line, parse_request
from pool.web.here import caller_ip, keypool

EVENTS = "text/event-stream"
_OF_THE_SOCKET = ("gunicorn.socket", "keypool.arrivals", "keypool.write_now")
"""What tells that a browser has gone."""


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt as a page shows it: `key` is masked, `skipped` counts the keys passed over by reason."""

    key: str
    record: AttemptRecord


@dataclass(slots=True)
class Told:
    """What became of a question. `text` and `thoughts` are never kept; a stream's are in its pieces alone."""

    status: int = 0
    request_id: str = ""
    text: str = ""
    thoughts: str = ""
    error: str = ""
    finish: str = ""
    record: RequestRecord | None = None
    tries: list[Try] = field(default_factory=list)


class Question:
    """A chat of one message, to a pool. Ask once; `told` is whole when the answer was read and closed."""

    def __init__(self, pool_id: int, model: str, text: str, stream: bool) -> None:
        self.told = Told()
        self._stream = stream
        self._kind = ""
        body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
        self._environ = self._as_a_program(keypool().inventory.auth_key(pool_id), orjson.dumps(body))
        self._pieces: Iterable[bytes] = ()

    def ask(self) -> None:
        """Returns when the answer begins. A plain one is whole then."""
        self._pieces = keypool().proxy.heard_by(self._hear)(self._environ, self._begin)
        if not self.streaming:
            try:
                self._read(b"".join(self._pieces))
            finally:
                self.close()

    @property
    def streaming(self) -> bool:
        return self._stream and self.told.status == 200 and self._kind.startswith(EVENTS)

    def pieces(self) -> Iterator[bytes]:
        """The stream as it comes."""
        try:
            yield from self._pieces
        finally:
            self.close()

    def close(self) -> None:
        close: Callable[[], None] | None = getattr(self._pieces, "close", None)
        if close is not None:
            close()

    def _as_a_program(self, auth_key: str, body: bytes) -> dict[str, Any]:
        builder = EnvironBuilder(
            path="/v1/chat/completions", method="POST", data=body, content_type="application/json",
            headers=[("Authorization", f"Bearer {auth_key}")], environ_base={"REMOTE_ADDR": caller_ip()},
        )  # fmt: skip
        environ: dict[str, Any] = dict(builder.get_environ())
        environ.update((name, request.environ[name]) for name in _OF_THE_SOCKET if name in request.environ)
        return environ

    def _begin(self, status: str, headers: list[tuple[str, str]], *error: Any) -> None:
        given = {name.lower(): value for name, value in headers}
        self.told.status = int(status.split()[0])
        self.told.request_id = given.get("x-keypool-request-id", "")
        self._kind = given.get("content-type", "")

    def _hear(self, line: bytes) -> None:
        fields = parse_line(line)
        if fields[0] != REQUEST:
            return
        self.told.record = record = parse_request(fields)
        keys = keypool().catalogue.keys
        self.told.tries = [
            Try(keys[each.key_id].hint if each.key_id in keys else "…", each) for each in record.attempts
        ]

    def _read(self, body: bytes) -> None:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        if self.told.status != 200 or not isinstance(answer, dict) or not answer.get("choices"):
            self.told.error = error_in(answer) or f"HTTP {self.told.status}"
            return
        choice = answer["choices"][0]
        message = choice.get("message") or {}
        self.told.text = str(message.get("content") or message.get("refusal") or "")
        self.told.thoughts = str(message.get("reasoning_content") or "")
        self.told.finish = str(choice.get("finish_reason") or "")


def error_in(answer: Any) -> str:
    """The message of an error in OpenAI's shape; "" where there is none."""
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("message") or "") if isinstance(error, dict) else ""
