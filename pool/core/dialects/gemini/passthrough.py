"""Gemini's dialect to Gemini: bytes untouched both ways, looked at on the way back."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import orjson

from pool.core.calls import NO_USAGE, Ask, Call, Reply, StreamReader, Upload, Usage
from pool.core.dialects.gemini import chunks
from pool.core.dialects.gemini.arrays import ElementCutter, element_json
from pool.core.dialects.gemini.names import bare_model
from pool.core.dialects.openai import encoded, payload_of
from pool.core.dialects.passing import (
    MISSHAPEN,
    NOT_JSON,
    TOO_LARGE,
    BytesReader,
    Failed,
    Misshapen,
    PassingReader,
    bare_failure,
    failure_in,
    is_json,
    parsed,
    passed_headers,
    passed_query,
)
from pool.core.dialects.spoken import Spoken, estimated
from pool.core.faults import Fault
from pool.core.sse import EventTooLarge, events

VERBS = {
    "generate": "generateContent",
    "stream_generate": "streamGenerateContent",
    "count_tokens": "countTokens",
    "embed": "embedContent",
    "batch_embed": "batchEmbedContents",
}


INTERACTION_PREAMBLE = frozenset({"interaction.created", "interaction.start", "interaction.status_update"})
INTERACTION_ENDS = frozenset({"interaction.completed", "interaction.complete"})


NATIVE = ("raw", "object")
"""Operations that go to the path they came by."""


class GeminiCodec:
    """generate, stream_generate, count_tokens, embed, batch_embed, and `NATIVE` (any other path)."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._native = operation in NATIVE

    def ask(self, call: Call, model: str) -> Ask:
        query = passed_query(call.query)
        headers = passed_headers(call.headers)
        if self._native:
            return Ask(call.method, _native_path(call, model), _native_body(call, model), query, headers, call.version)
        path = model_path(model, VERBS[self._operation])
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers = (*headers, ("Content-Type", "application/json"))
        return Ask("POST", path, _renamed(call, model), query, headers, call.version)

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        content_type = headers.get("content-type", "application/json")
        if self._native:
            return _native_reply(call, headers, body)
        answer = parsed(body)
        try:
            useful = self._operation != "generate" or chunks.commits(answer)
            usage = chunks.usage_of(answer)
            if not usage.total and self._operation != "count_tokens":
                usage = estimated(call, chunks.said(answer))
        except MISSHAPEN as e:
            raise Misshapen from e
        return Reply(body, usage, useful, content_type)

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        if self._native:
            return RawReader(call) if "event-stream" in headers.get("content-type", "") else BytesReader()
        return ArrayReader(call) if is_array_stream(call) else SseReader(call)


def is_array_stream(call: Call) -> bool:
    """Whether a native streaming call gets a JSON array: it did not ask for alt=sse."""
    alt = (value for name, value in call.query if name in ("alt", "$alt"))
    return call.operation == "stream_generate" and not any(value.partition(";")[0] == "sse" for value in alt)


def model_path(model: str, verb: str) -> str:
    """The path of a model's verb. Raises `Fault` for a name that would lead out of the models."""
    return _model_path(bare_model(model) if isinstance(model, str) else "", verb)


@lru_cache(maxsize=1024)
def _model_path(name: str, verb: str) -> str:
    if not all(segment.strip(".") for segment in name.split("/")):
        raise Fault(400, "invalid_model", "Name a model.", param="model", retryable=False)
    folder = "" if name.startswith("tunedModels/") else "models/"
    return f"/{folder}{quote(name, safe='/@-._~')}:{verb}"


def _native_path(call: Call, model: str) -> str:
    """The path as it came, but for a model that has another name upstream."""
    if not call.model or model == call.model or not call.path.startswith("/models/"):
        return call.path
    return model_path(model, call.path.rpartition(":")[2])


def _native_body(call: Call, model: str) -> bytes | Upload:
    native = call.native
    if native is not None and native.upload is not None:
        return native.upload
    return _renamed(call, model) if call.model and isinstance(call.payload, dict) else call.body


def _native_reply(call: Call, headers: dict[str, str], body: bytes) -> Reply:
    content_type = headers.get("content-type", "application/octet-stream")
    usage = NO_USAGE
    # What is fetched may be a file, which need not be what its type says.
    if call.method != "GET" and body and is_json(headers):
        document = orjson.loads(body)
        if isinstance(document, dict) and _has_failed(document):
            raise Failed(failure_in(document) or NOT_JSON)
        if call.model and not isinstance(document, dict):
            raise ValueError("the answer is no JSON object")
        with suppress(*MISSHAPEN):
            usage = chunks.usage_of(document)
    return Reply(body, usage, bool(body) or not call.model, content_type)


def _has_failed(document: dict[str, Any]) -> bool:
    """An error in the place of an answer; an operation that failed tells of one, and is what was asked for."""
    return bool(document.get("error")) and (document.keys() == {"error"} or document.get("status") == "failed")


def _renamed(call: Call, model: str) -> bytes:
    """The body; where the model was renamed, the places that repeat its name follow."""
    if bare_model(model) == bare_model(call.model) or b'"model"' not in call.body:
        return call.body
    payload = payload_of(call)
    name = "models/" + bare_model(model)
    requests = payload.get("requests")
    for holder in (payload, payload.get("generateContentRequest"), *(requests if isinstance(requests, list) else ())):
        if isinstance(holder, dict) and "model" in holder:
            holder["model"] = name
    return encoded(payload)


class _Notes:
    """What both native readers learn from the chunks they look at."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._ended: set[int] = set()
        self.tokens = chunks.Tokens()

    def ends(self, chunk: dict[str, Any]) -> bool:
        """Notes the chunk; True once every candidate seen has finished, or the prompt was blocked."""
        self.tokens.note(chunk)
        for candidate in chunk.get("candidates") or ():
            ended = chunks.finish_of(candidate)
            (self._ended if ended else self._running).add(candidate.get("index", 0))
        return (bool(self._ended) and self._running <= self._ended) or chunks.block_of(chunk) is not None


class SseReader(PassingReader):
    """alt=sse. Read to the end of the body: STOP may come before the last chunk."""

    said_in = b'"parts"'

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._notes = _Notes()
        self._unread = b""

    def plain(self, block: bytes) -> bool:
        # Only what is said in quotes matters: inside a JSON string the quotes are escaped.
        if (
            b'"finishReason"' in block
            or b'"error"' in block
            or b'"blockReason"' in block
            or b"\n:" in block
            or block[:1] not in (b"d", b"\r", b"\n")
        ):
            return False
        # Every chunk states the usage so far: the last one is enough, unless it leaves a count out.
        if self._unread and any(count in self._unread and count not in block for count in chunks.COUNTS):
            self._catch_up()
        self._unread = block
        return True

    def note(self, document: Any) -> bool:
        self._catch_up()
        if isinstance(document, dict):
            if self._notes.ends(document):
                self.finished = True
            self.useful = self.useful or chunks.commits(document)
        return True

    def said(self, document: Any) -> Any:
        counted = self._notes.tokens.counts_output or not isinstance(document, dict)
        return None if counted else chunks.said(document)

    def stated_usage(self) -> Usage:
        self._catch_up()
        return self._notes.tokens.usage()

    def _catch_up(self) -> None:
        """Reads the usage in the last run of events that went on unread."""
        unread, self._unread = self._unread, b""
        for event in events(unread):
            try:
                document = orjson.loads(event.data)
            except orjson.JSONDecodeError:
                continue
            if isinstance(document, dict):
                self._notes.tokens.note(document)


class RawReader(SseReader):
    """Events of any other path: the Interactions API names its events, of the rest nothing is known."""

    def plain(self, block: bytes) -> bool:
        return False

    def note(self, document: Any) -> bool:
        super().note(document)
        kind = document.get("event_type") if isinstance(document, dict) else None
        if not isinstance(kind, str):
            self.useful = True
            # Without candidates nobody can tell the last event: an end of the body is taken for the end.
            self.finished = self.finished or not isinstance(document, dict) or "candidates" not in document
        elif kind == "interaction.failed" or _state(document) == "failed":
            self.failure = orjson.dumps({"error": _interaction(document).get("error") or document.get("error") or {}})
            return False
        elif kind not in INTERACTION_PREAMBLE:
            self.useful = True
            self.finished = self.finished or kind in INTERACTION_ENDS
        return True


def _interaction(document: dict[str, Any]) -> dict[str, Any]:
    found = document.get("interaction")
    return found if isinstance(found, dict) else {}


def _state(document: dict[str, Any]) -> Any:
    return _interaction(document).get("status") or document.get("status")


class ArrayReader:
    """No alt=sse: the answer is one JSON array, an error is its last element."""

    def __init__(self, call: Call) -> None:
        self.useful = False
        self.finished = False
        self.failure: bytes | None = None
        self._cutter = ElementCutter()
        self._notes = _Notes()
        self._spoken = Spoken(call)

    @property
    def usage(self) -> Usage:
        """Worked out when asked for: most streams are asked once, at their end."""
        return self._spoken.usage(self._notes.tokens.usage(), self.finished)

    @usage.setter
    def usage(self, usage: Usage) -> None:
        raise AttributeError("usage is what the stream said")

    def feed(self, piece: bytes) -> bytes:
        if self.failure is not None:
            return b""
        try:
            elements = self._cutter.feed(piece)
        except EventTooLarge:
            self.failure = TOO_LARGE
            return b""
        out = []
        for raw in elements:
            self._note(raw)
            if self.failure is not None:
                break
            out.append(raw)
        return b"".join(out)

    def end(self) -> bytes:
        left = self._cutter.end()
        if self.failure is None and left.lstrip(b" \r\n\t,")[:1] == b"{":
            self.failure = bare_failure(left.strip(b" \r\n\t,]"))
        return left if self.failure is None else b""

    def _note(self, raw: bytes) -> None:
        try:
            chunk = orjson.loads(element_json(raw))
        except orjson.JSONDecodeError:
            self.failure = NOT_JSON
            return
        self.failure = failure_in(chunk)
        if self.failure is not None:
            return
        try:
            self.finished = self._notes.ends(chunk) or self.finished
            if not self._notes.tokens.counts_output:
                self._spoken.read(chunks.said(chunk), raw)
            self.useful = self.useful or chunks.commits(chunk)
        except MISSHAPEN:
            self.failure = NOT_JSON
