"""OpenAI clients on a Gemini provider: chat and embeddings."""

from __future__ import annotations

from typing import Any

import orjson

from pool.core.calls import Ask, Call, Reply, StreamReader
from pool.core.dialects.gemini import answer, chunks, embeddings, request
from pool.core.dialects.gemini.names import bare_model
from pool.core.dialects.gemini.passthrough import model_path
from pool.core.dialects.gemini.refusals import refuse
from pool.core.dialects.gemini.stream import ChatReader
from pool.core.dialects.openai import check_model
from pool.core.dialects.passing import MISSHAPEN, Misshapen, parsed
from pool.core.dialects.settings import ConversionSettings


class ChatCodec:
    def __init__(self, settings: ConversionSettings) -> None:
        self._settings = settings

    def ask(self, call: Call, model: str) -> Ask:
        check_model(model)
        body = request.request_body(request.payload_of(call), model, self._settings)
        verb = "streamGenerateContent" if call.stream else "generateContent"
        query = (("alt", "sse"),) if call.stream else ()
        return Ask("POST", model_path(bare_model(model), verb), _encoded(body), query)

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        native = parsed(body)
        try:
            made = answer.completion(call, native)
            return Reply(orjson.dumps(made), chunks.usage_of(native), chunks.commits(native))
        except MISSHAPEN as e:
            raise Misshapen from e

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        return ChatReader(call)


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as e:
        raise refuse("The request is nested too deeply.", "body") from e


class EmbeddingsCodec:
    def ask(self, call: Call, model: str) -> Ask:
        check_model(model)
        name = bare_model(model)
        body = embeddings.request_body(request.payload_of(call), name)
        return Ask("POST", model_path(name, "batchEmbedContents"), orjson.dumps(body))

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        native = parsed(body)
        try:
            made, usage = embeddings.embeddings(call, native, bare_model(call.model))
        except MISSHAPEN as e:
            raise Misshapen from e
        return Reply(orjson.dumps(made), usage)

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        raise ValueError("embeddings are never streamed")
