"""OpenAI clients on a Gemini provider: chat and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from pool.core.calls import NO_USAGE, Ask, Call, Reply, StreamReader, Usage
from pool.core.dialects.gemini import answer, choices, chunks, embeddings, ignored, request
from pool.core.dialects.gemini.names import bare_model
from pool.core.dialects.gemini.passthrough import model_path
from pool.core.dialects.gemini.stream import ChatReader
from pool.core.dialects.openai import check_model, encoded, payload_of
from pool.core.dialects.passing import MISSHAPEN, NOT_JSON, Misshapen, bare_failure, parsed
from pool.core.dialects.settings import DEFAULTS, ConversionSettings
from pool.core.dialects.spoken import estimated


class ChatCodec:
    def __init__(self, settings: ConversionSettings) -> None:
        self._settings = settings

    def ask(self, call: Call, model: str) -> Ask:
        check_model(model)
        payload = payload_of(call)
        choices.check(payload, bare_model(model))
        body = request.request_body(payload, model, self._settings)
        if self._settings.note and (sentence := ignored.sentence(payload, ignored.CHAT)):
            self._settings.note(sentence)
        verb = "streamGenerateContent" if call.stream else "generateContent"
        query = (("alt", "sse"),) if call.stream else ()
        return Ask("POST", model_path(bare_model(model), verb), encoded(body), query)

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        native = parsed(body)
        try:
            made, usage = answer.completion(call, native)
            if not usage.total:
                usage = estimated(call, chunks.said(native))
                made["usage"] |= answer.totals(usage)
            return Reply(orjson.dumps(made), usage, chunks.commits(native))
        except MISSHAPEN as e:
            raise Misshapen from e

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        return ChatReader(call)

    def cut(self, call: Call, model: str) -> Sequence[Call]:
        return choices.cut(call, payload_of(call), bare_model(model))

    def joined(self, call: Call, replies: Sequence[Reply]) -> Reply:
        return choices.joined(call, replies)


class EmbeddingsCodec:
    def __init__(self, settings: ConversionSettings = DEFAULTS) -> None:
        self._settings = settings

    def ask(self, call: Call, model: str) -> Ask:
        check_model(model)
        name = bare_model(model)
        payload = payload_of(call)
        body = embeddings.request_body(payload, name)
        if self._settings.note and (sentence := ignored.sentence(payload, ignored.EMBEDDINGS)):
            self._settings.note(sentence)
        return Ask("POST", model_path(name, "batchEmbedContents"), encoded(body))

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        native = parsed(body)
        try:
            made, usage = embeddings.embeddings(call, native, bare_model(call.model))
            return Reply(orjson.dumps(made), usage)
        except MISSHAPEN as e:
            raise Misshapen from e

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        return WholeReader(lambda body: self.reply(call, headers, body))

    def cut(self, call: Call, model: str) -> Sequence[Call]:
        return embeddings.cut(call, payload_of(call))

    def joined(self, call: Call, replies: Sequence[Reply]) -> Reply:
        return embeddings.joined(replies)


class WholeReader:
    """For what is never streamed: nothing until the answer is whole, then all of it, converted."""

    def __init__(self, convert: Callable[[bytes], Reply]) -> None:
        self.useful = False
        self.finished = False
        self.failure: bytes | None = None
        self.usage: Usage = NO_USAGE
        self._convert = convert
        self._body = bytearray()

    def feed(self, piece: bytes) -> bytes:
        self._body += piece
        if self.finished or self.failure is not None or not self._body.rstrip().endswith(b"}"):
            return b""
        try:
            reply = self._convert(bytes(self._body))
        except orjson.JSONDecodeError:
            # A brace, but not the last one.
            return b""
        except ValueError:
            self.failure = bare_failure(bytes(self._body)) or NOT_JSON
            return b""
        self.useful = self.finished = True
        self.usage = reply.usage
        return reply.body

    def end(self) -> bytes:
        return b""
