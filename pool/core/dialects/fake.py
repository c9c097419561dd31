"""Streams made of whole answers, for models and upstreams that cannot stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from pool.core import sse
from pool.core.calls import GEMINI, Ask, Call, Codec, Reply, StreamReader, Usage
from pool.core.dialects.cutting import joined, parts_of
from pool.core.dialects.gemini.passthrough import is_array_stream
from pool.core.dialects.passing import NOT_JSON, bare_failure


class FakeStreamCodec:
    """Asks for a whole answer where a stream was wanted, and hands it to the stream's reader as one event.

    `plain` is the codec of the whole answer, `streamed` the one of the stream.
    """

    def __init__(self, plain: Codec, streamed: Codec, provider_dialect: str) -> None:
        self._plain = plain
        self._streamed = streamed
        self._provider_dialect = provider_dialect

    def ask(self, call: Call, model: str) -> Ask:
        return self._plain.ask(_whole(call), model)

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        return self._plain.reply(call, headers, body)

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        inner = self._streamed.reader(call, {**headers, "content-type": "text/event-stream"})
        return _WholeReader(call, inner, self._provider_dialect)

    def cut(self, call: Call, model: str) -> Sequence[Call]:
        return (call,) if call.stream else parts_of(self._plain, call, model)

    def joined(self, call: Call, replies: Sequence[Reply]) -> Reply:
        return joined(self._plain, call, replies)


def _whole(call: Call) -> Call:
    operation = "generate" if call.operation == "stream_generate" else call.operation
    payload = call.payload
    if payload is not None:
        payload = {name: value for name, value in payload.items() if name not in ("stream", "stream_options")}
    query = tuple(pair for pair in call.query if pair[0] != "alt")
    body = call.body if payload is None else orjson.dumps(payload)
    return replace(call, operation=operation, stream=False, payload=payload, body=body, query=query)


class _WholeReader:
    """Waits until the answer is whole, then feeds it to the stream's own reader."""

    def __init__(self, call: Call, inner: StreamReader, provider_dialect: str) -> None:
        self._call = call
        self._inner = inner
        self._provider_dialect = provider_dialect
        self._body = bytearray()
        self._failure: bytes | None = None
        self._fed = False

    @property
    def useful(self) -> bool:
        return self._inner.useful

    @property
    def finished(self) -> bool:
        return self._fed and self._inner.finished

    @property
    def failure(self) -> bytes | None:
        return self._failure or self._inner.failure

    @property
    def usage(self) -> Usage:
        return self._inner.usage

    def feed(self, piece: bytes) -> bytes:
        self._body += piece
        if self._fed or self._failure or not self._body.rstrip().endswith(b"}"):
            return b""
        try:
            document = orjson.loads(self._body)
        except orjson.JSONDecodeError:
            # A brace, but not the last one.
            return b""
        if not isinstance(document, dict) or "error" in document:
            self._failure = bare_failure(bytes(self._body)) or NOT_JSON
            return b""
        self._fed = True
        return self._inner.feed(self._as_stream(document))

    def end(self) -> bytes:
        return self._inner.end()

    def _as_stream(self, document: dict[str, Any]) -> bytes:
        if self._provider_dialect == GEMINI:
            whole = orjson.dumps(document)
            array = self._call.dialect == GEMINI and is_array_stream(self._call)
            return b"[" + whole + b"]" if array else sse.encode(whole)
        return b"".join(map(sse.encode, map(orjson.dumps, _chunks(document)))) + sse.DONE


def _chunks(completion: dict[str, Any]) -> list[dict[str, Any]]:
    """A chat completion as the chunks of its stream: what was said, why it ended, and its usage."""
    head = {name: value for name, value in completion.items() if name not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    said, ended = [], []
    for choice in completion.get("choices") or ():
        delta = dict(choice.get("message") or {})
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [{"index": n, **each} for n, each in enumerate(calls)]
        index = choice.get("index", 0)
        said.append({"index": index, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": None})
        ended.append({"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.get("finish_reason")})
    chunks = [{**head, "choices": said}, {**head, "choices": ended}]
    if completion.get("usage"):
        chunks.append({**head, "choices": [], "usage": completion["usage"]})
    return chunks
