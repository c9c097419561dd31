"""A Gemini event stream as OpenAI chat completion chunks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from pool.core import sse
from pool.core.calls import Call, Usage
from pool.core.dialects.gemini import answer, chunks
from pool.core.dialects.gemini.alike import Alike
from pool.core.dialects.gemini.arrays import ElementCutter, element_json
from pool.core.dialects.gemini.grounding import annotations_of
from pool.core.dialects.gemini.partials import PartialCall
from pool.core.dialects.gemini.signatures import signed
from pool.core.dialects.gemini.speech import audio_of, is_speech
from pool.core.dialects.gemini.written import MOST_CHARS, Written
from pool.core.dialects.passing import (
    MISSHAPEN,
    NOT_JSON,
    TOO_LARGE,
    bare_failure,
    failure_in,
)
from pool.core.dialects.spoken import BYTES_A_TOKEN, Spoken
from pool.core.tokens import PICTURE_TOKENS

SIMPLE_PART = {"text"}
BEFORE = b" \t\r\n" + sse.BOM


class _Objects:
    """Reads bare JSON objects as if they were events: upstreams that do not know alt=sse send them in an array,
    those that do not stream send one, and so do those that refuse."""

    def __init__(self) -> None:
        self._cutter = ElementCutter()
        self.pending = b""

    def sole(self, piece: bytes) -> bytes | None:
        return None

    def feed(self, piece: bytes) -> list[sse.Event]:
        return [sse.Event(element_json(raw)) for raw in self._cutter.feed(piece)]

    def end(self) -> list[sse.Event]:
        left = self._cutter.end().strip(b" \r\n\t,]")
        return [sse.Event(b"", b"", left)] if left else []


class _Choice:
    """What one candidate said so far."""

    __slots__ = ("annotations", "calls", "finish", "images", "note", "partial", "told", "written")

    def __init__(self) -> None:
        self.annotations: list[dict[str, Any]] = []
        self.calls = 0
        self.images = 0
        self.finish: str | None = None
        self.note: dict[str, Any] = {}
        self.partial: PartialCall | None = None
        self.told: tuple[Any, Any] | None = None
        self.written = Written(MOST_CHARS)


class ChatReader:
    """Chunks as OpenAI sends them: one id, a role first, a finish last, usage only where asked, one [DONE].

    The finish chunk waits for `end()`: STOP may come before the last chunk, and a finish reason must
    remember the calls of earlier ones.
    """

    def __init__(self, call: Call) -> None:
        self.useful = False
        self.finished = False
        self.failure: bytes | None = None
        self._call = call
        self._decoder: sse.Decoder | _Objects | None = None
        self._legacy = answer.speaks_functions(call)
        self._tokens = chunks.Tokens()
        self._spoken = Spoken(call)
        self._choices: dict[int, _Choice] = {}
        self._blocked: str | None = None
        self._alike = Alike()
        payload = call.payload or {}
        options = payload.get("stream_options")
        self._with_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._head = b""
        self._tail = b',"usage":null}\n\n' if self._with_usage else b"}\n\n"

    @property
    def usage(self) -> Usage:
        """Worked out when asked for: most streams are asked once, at their end."""
        return self._spoken.usage(self._tokens.usage(), self.finished)

    @usage.setter
    def usage(self, usage: Usage) -> None:
        raise AttributeError("usage is what the stream said")

    def feed(self, piece: bytes) -> bytes:
        if self.failure is not None:
            return b""
        if self._decoder is None:
            # White space tells nothing yet, nor does a byte order mark, which may come in pieces.
            piece = piece.lstrip(BEFORE)
            if not piece:
                return b""
            # Events begin with a name, JSON with a bracket or brace.
            self._decoder = _Objects() if piece[:1] in (b"[", b"{") else sse.Decoder()
        decoder = self._decoder
        try:
            events = decoder.feed(piece)
        except sse.EventTooLarge:
            self.failure = TOO_LARGE
            return b""
        out: list[bytes] = []
        for event in events:
            self._read(event, out)
            if self.failure is not None:
                break
        if self.failure is None and (pending := decoder.pending):
            self._peek(pending)
        return b"".join(out)

    def pass_on(self, write: Callable[[bytes], bool], piece: bytes) -> bool:
        """Write what `feed` would make of a piece that says something and no more; False leaves it to be fed."""
        data = self._decoder.sole(piece) if self._decoder is not None and self.failure is None else None
        text = self._alike.text_in(data) if data is not None else ""
        if data is None or not text:
            return False
        said = orjson.dumps(text)
        if not write(self._event(self._alike.index, b'{"content":' + said + b"}")):
            return False
        self._note(data, text, said)
        return True

    def end(self) -> bytes:
        out: list[bytes] = []
        for event in self._decoder.end() if self._decoder else ():
            self._read(event, out)
        if self.failure is not None:
            return b""
        try:
            self._close_all(out)
        except MISSHAPEN:
            self.failure = NOT_JSON
            return b""
        return b"".join(out)

    def _close_all(self, out: list[bytes]) -> None:
        if not self._choices:
            self._choice(0, out)
        for index, choice in self._choices.items():
            self._close(index, choice, out)
        if self._with_usage:
            told = answer.usage_json(self._tokens, self._tokens.usage()) | answer.totals(self.usage)
            out.append(self._head + b'"choices":[],"usage":' + orjson.dumps(told) + b"}\n\n")
        out.append(sse.DONE)

    def _peek(self, pending: bytes) -> None:
        """An error without `data:` may never get its blank line, nor may the last event."""
        for event in sse.events(pending.rstrip(b"\r\n")):
            if event.bare:
                self.failure = bare_failure(event.bare)
            elif b"inish" in event.data or b"lockReason" in event.data:
                self._peek_finish(event.data)

    def _peek_finish(self, data: bytes) -> None:
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        # What is misshapen fails when it is read, with its blank line or at the end.
        with suppress(*MISSHAPEN):
            finishes = [chunks.finish_of(candidate) for candidate in chunk.get("candidates") or ()]
            if any(finishes) or chunks.block_of(chunk):
                self.finished = True
                self.useful = self.useful or chunks.commits(chunk)

    def _read(self, event: sse.Event, out: list[bytes]) -> None:
        if event.bare:
            self.failure = bare_failure(event.bare) or NOT_JSON
            return
        if event.data in (b"", b"[DONE]"):
            return
        if text := self._alike.text_in(event.data):
            said = orjson.dumps(text)
            out.append(self._event(self._alike.index, b'{"content":' + said + b"}"))
            self._note(event.data, text, said)
            return
        try:
            chunk = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            self.failure = NOT_JSON
            return
        self.failure = failure_in(chunk)
        if self.failure is None and isinstance(chunk, dict):
            try:
                self._chunk(chunk, out)
            except MISSHAPEN:
                self.failure = NOT_JSON
                return
            self._alike.learn(event.data, chunk)

    def _note(self, data: bytes, text: str, said: bytes) -> None:
        """An event that was not read: what it says, and that as JSON."""
        self._choices[self._alike.index].written.add_text(text)
        self._spoken.wrote(len(said) - 2)
        self._tokens.note_later(data)

    def _chunk(self, chunk: dict[str, Any], out: list[bytes]) -> None:
        if not self._head:
            self._head = self._make_head(chunk)
        self._tokens.note(chunk)
        for candidate in chunk.get("candidates") or ():
            self._candidate(candidate, out)
        if not self.useful:
            self.useful = chunks.commits(chunk)
        block = chunks.block_of(chunk) if "promptFeedback" in chunk else None
        if block and self._blocked is None:
            self._block(chunk, out)

    def _make_head(self, chunk: dict[str, Any]) -> bytes:
        fixed = {
            "id": answer.completion_id(self._call),
            "object": "chat.completion.chunk",
            "created": self._call.created,
            "model": answer.model_name(self._call, chunk),
            "system_fingerprint": None,
        }
        return b"data: " + orjson.dumps(fixed)[:-1] + b","

    def _candidate(self, candidate: dict[str, Any], out: list[bytes]) -> None:
        index = candidate.get("index", 0)
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choice(index, out)
            self.finished = False
        logprobs = answer.logprobs_of(candidate) if "logprobsResult" in candidate else None
        for part in chunks.parts_of(candidate):
            if part.keys() == SIMPLE_PART:
                if part["text"]:
                    choice.written.add_text(part["text"])
                    text = orjson.dumps(part["text"])
                    self._spoken.wrote(len(text) - 2)
                    self._emit(out, index, b'{"content":' + text + b"}", logprobs)
                    logprobs = None
            else:
                self._part(index, choice, part, out)
        if logprobs:
            self._emit(out, index, b"{}", logprobs)
        if "groundingMetadata" in candidate or "citationMetadata" in candidate:
            self._ground(index, choice, candidate, out)
        finish = chunks.finish_of(candidate)
        if finish:
            choice.finish = finish
            choice.note = answer.finish_note(candidate, finish)
            self.finished = all(one.finish for one in self._choices.values())

    def _part(self, index: int, choice: _Choice, part: dict[str, Any], out: list[bytes]) -> None:
        if "functionCall" in part:
            choice.written.add(part)
            self._call_part(index, choice, part, out)
            return
        delta: dict[str, Any] = {}
        shown = ""
        signature = part.get("thoughtSignature") if "text" in part else None
        if part.get("thought"):
            if part.get("text"):
                delta["reasoning_content"] = part["text"]
                self._spoken.wrote(len(part["text"].encode()))
        elif media := part.get("inlineData") or part.get("fileData"):
            if "inlineData" in part and is_speech(media):
                delta["audio"] = audio_of(self._call, [media], streamed=True)
            else:
                delta["images"] = [answer.image_of(part, choice.images)]
                choice.images += 1
                self._spoken.wrote(PICTURE_TOKENS * BYTES_A_TOKEN)
        elif shown := answer.text_of(part) or "":
            delta["content"] = shown
            self._spoken.wrote(len(shown.encode()))
        choice.written.add(part, shown)
        if signature:
            delta["extra_content"] = signed(signature)
        if delta:
            self._emit(out, index, orjson.dumps(delta))

    def _call_part(self, index: int, choice: _Choice, part: dict[str, Any], out: list[bytes]) -> None:
        """Arguments that come as patches are put together first: a call is never split.

        Recorded: a call of patches ends with `willContinue` left out, sometimes on an empty functionCall.
        """
        asked = part["functionCall"]
        if asked.get("name"):
            self._flush_partial(index, choice, out)
            if "partialArgs" not in asked and not asked.get("willContinue"):
                self._tool_call(index, choice, part, out)
                return
            choice.partial = PartialCall()
        if choice.partial is None:
            return
        choice.partial.add(part)
        if not asked.get("willContinue"):
            self._flush_partial(index, choice, out)

    def _flush_partial(self, index: int, choice: _Choice, out: list[bytes]) -> None:
        if choice.partial is not None:
            whole, choice.partial = choice.partial.part(), None
            self._tool_call(index, choice, whole, out)

    def _tool_call(self, index: int, choice: _Choice, part: dict[str, Any], out: list[bytes]) -> None:
        made = answer.tool_call(self._call, part, 100 * index + choice.calls)
        delta: dict[str, Any] = {"tool_calls": [{"index": choice.calls, **made}]}
        choice.calls += 1
        self._spoken.wrote(len(made["function"]["name"]) + len(made["function"]["arguments"]))
        if self._legacy:
            # Such a client knows one call; whatever else the model called, it could not be told apart.
            delta = {"function_call": made["function"]} if choice.calls == 1 else {}
        if delta:
            self._emit(out, index, orjson.dumps(delta))

    def _ground(self, index: int, choice: _Choice, candidate: dict[str, Any], out: list[bytes]) -> None:
        """Chunks may repeat what earlier ones told."""
        told = candidate.get("groundingMetadata"), candidate.get("citationMetadata")
        if told == choice.told:
            return
        choice.told = told
        found = annotations_of(candidate, choice.written)
        annotations = [annotation for annotation in found if annotation not in choice.annotations]
        choice.annotations += annotations
        if annotations:
            self._emit(out, index, orjson.dumps({"annotations": annotations}))

    def _block(self, chunk: dict[str, Any], out: list[bytes]) -> None:
        self._blocked = chunks.block_of(chunk)
        self.finished = True
        choice = self._choices.get(0) or self._choice(0, out)
        choice.finish = choice.finish or "PROHIBITED_CONTENT"
        self._emit(out, 0, orjson.dumps({"refusal": answer.refusal_of(chunk)}))

    def _choice(self, index: int, out: list[bytes]) -> _Choice:
        choice = self._choices[index] = _Choice()
        if not self._head:
            self._head = self._make_head({})
        self._emit(out, index, b'{"role":"assistant","content":"","refusal":null}')
        return choice

    def _close(self, index: int, choice: _Choice, out: list[bytes]) -> None:
        self._flush_partial(index, choice, out)
        reason = answer.finish_reason(choice.finish, choice.calls > 0)
        if self._legacy and reason == "tool_calls":
            reason = "function_call"
        end = {"index": index, "delta": {}, "logprobs": None, "finish_reason": reason, **choice.note}
        out.append(self._head + b'"choices":[' + orjson.dumps(end) + b"]" + self._tail)

    def _emit(self, out: list[bytes], index: int, delta: bytes, logprobs: Any = None) -> None:
        out.append(self._event(index, delta, orjson.dumps(logprobs) if logprobs else b"null"))

    def _event(self, index: int, delta: bytes, logprobs: bytes = b"null") -> bytes:
        return b'%b"choices":[{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":null}]%b' % (
            self._head, index, delta, logprobs, self._tail,
        )  # fmt: skip
