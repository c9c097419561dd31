"""OpenAI's dialect to an OpenAI-style provider: bytes pass untouched, usage is read on the side."""

from __future__ import annotations

from typing import Any

import orjson

from pool.core.calls import NO_USAGE, Ask, Call, Reply, StreamReader, Upload, Usage
from pool.core.dialects.counts import count, usage
from pool.core.dialects.passing import (
    MISSHAPEN,
    NOT_JSON,
    BytesReader,
    Failed,
    Misshapen,
    PassingReader,
    failure_in,
    is_json,
    parsed,
    passed_headers,
    passed_query,
    spliced,
)
from pool.core.dialects.refusals import refuse
from pool.core.dialects.spoken import estimated
from pool.core.faults import Fault
from pool.core.sse import DONE

PATHS = {"chat": "/chat/completions", "embeddings": "/embeddings"}

NATIVE = (
    "raw", "object", "responses", "completions", "images", "image_edits", "speech", "transcriptions", "moderations",
    "rerank",
)  # fmt: skip
"""Operations that go to the path they came by."""

IN_JSON = {
    "responses": "output",
    "completions": "choices",
    "images": "data",
    "image_edits": "data",
    "moderations": "results",
    "rerank": "",
}
"""Operations that are answered with a JSON object, and the member that holds the answer where all agree on one."""

ANSWERS = frozenset({"length", "content_filter", "tool_calls", "function_call"})
"""Finish reasons that are an answer even where no content came; "stop" with nothing is an empty answer."""

NOT_USEFUL = frozenset({"role", "name", "index", "obfuscation", "id", "extra_content"})
"""Members of a delta or message that are no content."""

PREAMBLE = frozenset({"response.created", "response.queued", "response.in_progress"})
ENDS = frozenset(
    {
        "response.completed",
        "response.incomplete",
        "response.failed",
        "speech.audio.done",
        "transcript.text.done",
    }
)


FAMILIES = ("speech.", "transcript.", "image_")
LAST_WORDS = (".done", ".completed", ".failed")
"""Events of these families have a last one, which ends so."""


class OpenAiCodec:
    """chat, embeddings, and `NATIVE` (any other path below the base URL, JSON or not)."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._native = operation in NATIVE

    def ask(self, call: Call, model: str) -> Ask:
        if self._native:
            query, headers = passed_query(call.query), passed_headers(call.headers)
            return Ask(call.method, call.path, native_body(call, model), query, headers, call.version)
        check_model(model)
        body = renamed(call, model)
        if call.stream and call.metered:
            body = with_usage(call, body)
        return Ask("POST", PATHS[self._operation], body)

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        if self._native:
            return _native_reply(call, headers, body)
        document = parsed(body)
        useful, said = True, None
        if self._operation == "chat":
            if not isinstance(document.get("choices"), list):
                raise ValueError("the answer has no choices")
            try:
                useful = any(_commits(choice) for choice in document["choices"])
            except MISSHAPEN as e:
                raise Misshapen from e
            said = [choice.get("message") for choice in document["choices"] if isinstance(choice, dict)]
        usage = usage_of(document.get("usage"))
        return Reply(body, usage if usage.total else estimated(call, said), useful)

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        if self._native:
            events = "event-stream" in headers.get("content-type", "event-stream")
            return NativeReader(call) if events else BytesReader()
        payload = call.payload or {}
        wants_usage = stream_options(payload).get("include_usage")
        return OpenAiReader(
            call,
            many=payload.get("n") not in (None, 1),
            closing=DONE if self._operation == "chat" else b"",
            hide_usage=call.metered and not wants_usage,
        )


def check_model(model: str) -> None:
    if not isinstance(model, str) or not model.strip():
        raise Fault(400, "missing_required_parameter", "Name a model.", param="model", retryable=False)


def payload_of(call: Call) -> dict[str, Any]:
    """The JSON object a client sent. Raises `Fault` 400 where it sent anything else."""
    payload: Any = call.payload
    if payload is None:
        try:
            payload = orjson.loads(call.body)
        except orjson.JSONDecodeError as e:
            raise refuse("The body is no JSON.", "body", "invalid_json") from e
    if not isinstance(payload, dict):
        raise refuse("The body must be a JSON object.", "body", "invalid_json")
    return payload


def encoded(body: dict[str, Any]) -> bytes:
    """orjson reads deeper than it writes, and a bound moved by one may leave its 64 bits."""
    try:
        return orjson.dumps(body)
    except TypeError as e:
        raise refuse("The request is nested too deeply or holds a number beyond 64 bits.", "body") from e


def renamed(call: Call, model: str) -> bytes:
    """The body with the upstream's name for the model; the very bytes of the client where it is the same."""
    payload = payload_of(call)
    asked = payload.get("model", call.model)
    if asked == model:
        return call.body
    if isinstance(asked, str) and call.body.count(b'"model"') == 1:
        old, new = orjson.dumps(asked), orjson.dumps(model)
        for colon in (b":", b": "):
            if call.body.count(b'"model"' + colon + old) == 1:
                return call.body.replace(b'"model"' + colon + old, b'"model"' + colon + new)
    return encoded({**payload, "model": model})


def stream_options(payload: dict[str, Any]) -> dict[str, Any]:
    options = payload.get("stream_options")
    return options if isinstance(options, dict) else {}


def with_usage(call: Call, body: bytes) -> bytes:
    """The body asking for `include_usage`, for client keys whose tokens are limited."""
    options = stream_options(call.payload or {})
    if options.get("include_usage"):
        return body
    return encoded({**orjson.loads(body), "stream_options": {**options, "include_usage": True}})


def native_body(call: Call, model: str) -> bytes | Upload:
    """The body as it came, but for the model where the upstream has another name for it."""
    native = call.native
    body: bytes | Upload = (native and native.upload) or call.body
    if not call.model or model == call.model:
        return body
    if isinstance(call.payload, dict) and "model" in call.payload:
        return renamed(call, model)
    if native is not None and native.model_at is not None:
        return spliced(body, *native.model_at, model.encode())
    return body


def _native_reply(call: Call, headers: dict[str, str], body: bytes) -> Reply:
    """The answer as it came. Raises `ValueError` for what is no answer to a question of its kind."""
    content_type = headers.get("content-type", "application/octet-stream")
    # What is fetched may be a file, which need not be what its type says.
    if call.method == "GET":
        return Reply(body, content_type=content_type)
    if call.operation not in IN_JSON and (not body or not is_json(headers)):
        return Reply(body, useful=bool(body) or call.operation in ("raw", "object"), content_type=content_type)
    document = orjson.loads(body)
    if not isinstance(document, dict):
        if call.operation in IN_JSON:
            raise ValueError("the answer is no JSON object")
        return Reply(body, content_type=content_type)
    if _has_failed(call.operation, document):
        raise Failed(failure_in(document) or NOT_JSON)
    return Reply(body, usage_of(document.get("usage")), _answers(call.operation, document), content_type)


def _has_failed(operation: str, document: dict[str, Any]) -> bool:
    """An error in the place of an answer; objects that only tell of one say what they are."""
    if operation in ("raw", "object"):
        return document.keys() == {"error"} and bool(document["error"])
    return bool(document.get("error")) and ("object" not in document or document.get("status") == "failed")


def _answers(operation: str, document: dict[str, Any]) -> bool:
    """Does an answer hold what such answers are for?"""
    if operation == "responses" and document.get("status", "completed") != "completed":
        return True
    member = IN_JSON.get(operation, "")
    return bool(document.get(member, document))


def usage_of(stated: Any) -> Usage:
    """Usage of a chat, embeddings or responses answer; NO_USAGE where it says nothing."""
    if not isinstance(stated, dict):
        return NO_USAGE
    read = count(stated, "prompt_tokens") or count(stated, "input_tokens")
    written = count(stated, "completion_tokens") or count(stated, "output_tokens")
    cached = count(stated.get("prompt_tokens_details") or stated.get("input_tokens_details"), "cached_tokens")
    details = stated.get("completion_tokens_details") or stated.get("output_tokens_details")
    thinking = count(details, "reasoning_tokens")
    # Google's OpenAI layer counts thoughts in total_tokens only (recorded: 2 + 18 of 1258).
    unnamed = count(stated, "total_tokens") - read - written
    if unnamed > 0 and not thinking:
        thinking = unnamed
        written += unnamed
    return usage(read, written, cached, thinking)


def _commits(choice: Any) -> bool:
    """Whether a choice (of a chunk or a whole answer) holds content or a finish that is an answer."""
    if not isinstance(choice, dict):
        return False
    if choice.get("finish_reason") in ANSWERS or choice.get("text"):
        return True
    said = choice.get("delta") or choice.get("message") or {}
    return any(value and name not in NOT_USEFUL for name, value in said.items())


class OpenAiReader(PassingReader):
    """`many`: several choices were asked for. `closing` ends a stream whose upstream forgot `[DONE]`."""

    said_in = b'"delta"'

    def __init__(self, call: Call, many: bool = False, closing: bytes = b"", hide_usage: bool = False) -> None:
        super().__init__(call)
        self._many = many
        self._closing = closing
        self._hide_usage = hide_usage
        self._running: set[Any] = set()
        self._ended: set[Any] = set()
        self._stated: Any = None
        self._no_finish = b'"finish_reason":null'
        self._no_usage = b'"usage":null'

    def stated_usage(self) -> Usage:
        return usage_of(self._stated)

    def plain(self, block: bytes) -> bool:
        # Only what is said in quotes matters: inside a JSON string the quotes are escaped.
        return (
            not self._many
            and block.count(b'"finish_reason"') == block.count(self._no_finish)
            and block.count(b'"usage"') == block.count(self._no_usage)
            and b'"error"' not in block
            and b"[DONE]" not in block
            and b"\n:" not in block
            and b'"type":"response.' not in block
            and block[:1] != b":"
        )

    def end(self) -> bytes:
        last = super().end()
        return last if self.failure is not None else last + self._closing

    def note_done(self) -> None:
        self.finished = True
        self._closing = b""

    def note(self, document: Any) -> bool:
        if not isinstance(document, dict):
            return True
        kind = document.get("type")
        if isinstance(kind, str) and "choices" not in document:
            self._note_typed(kind, document)
            return True
        stated = document.get("usage")
        if stated:
            self._stated = stated
        choices = document.get("choices") or ()
        for choice in choices:
            ended = choice.get("finish_reason")
            (self._ended if ended else self._running).add(choice.get("index", 0))
            if ended:
                self.finished = self._running <= self._ended
            if not self.useful:
                self.useful = _commits(choice)
        return not (self._hide_usage and stated and not choices)

    def said(self, document: Any) -> Any:
        if self._stated or not isinstance(document, dict):
            return None
        if "choices" not in document:
            return document.get("delta")
        return [choice.get("delta") or choice.get("text") for choice in document["choices"] or ()]

    def _note_typed(self, kind: str, document: dict[str, Any]) -> None:
        """Events of the Responses API and of streamed speech, which name their type."""
        ended = kind in ENDS
        inner = document.get("response") if ended else None
        if kind not in PREAMBLE and not (kind == "response.completed" and not _answers("responses", inner or {})):
            self.useful = True
        if ended:
            self.finished = True
            self._stated = (inner or document).get("usage") or self._stated

    def _one(self, block: bytes) -> bytes:
        committed = self.useful
        out = super()._one(block)
        if self.useful and not committed:
            self._learn_spacing(block)
        return out

    def _learn_spacing(self, block: bytes) -> None:
        """Some servers write `: null`; `plain` compares with what this one writes."""
        if b'"finish_reason": null' in block:
            self._no_finish = b'"finish_reason": null'
        if b'"usage": null' in block:
            self._no_usage = b'"usage": null'


class NativeReader(OpenAiReader):
    """Events of any other path: some APIs name them and have a last one, of the rest nothing is known.

    `number`: that of the next event, where they count themselves.
    """

    number = 0

    def plain(self, block: bytes) -> bool:
        # What names no type may be anything.
        return b'"type":"' not in block and b'"choices"' in block and super().plain(block)

    def note(self, document: Any) -> bool:
        kind = document.get("type") if isinstance(document, dict) else None
        if isinstance(document, dict) and "choices" in document:
            return super().note(document)
        if not isinstance(kind, str):
            self.useful = self.finished = True  # without a known last event, the end of the body is the end
            return True
        number = document.get("sequence_number")
        self.number = number + 1 if type(number) is int else self.number
        if kind in ("error", "response.failed"):
            self.failure = orjson.dumps(document if kind != "error" else {"error": document})
            return False
        self._note_typed(kind, document)
        if not kind.startswith("response."):
            self.finished = kind.endswith(LAST_WORDS) or not kind.startswith(FAMILIES)
        return True
