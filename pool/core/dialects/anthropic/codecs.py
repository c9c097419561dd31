"""Messages and their token counts, over whatever carries OpenAI's chat to a provider."""

from __future__ import annotations

from dataclasses import replace

import orjson

from pool.core.calls import OPENAI, Ask, Call, Codec, Reply, StreamReader
from pool.core.dialects.anthropic import answer
from pool.core.dialects.anthropic.request import chat_payload
from pool.core.dialects.anthropic.stream import MessagesReader
from pool.core.dialects.gemini import request
from pool.core.dialects.gemini.names import bare_model
from pool.core.dialects.gemini.passthrough import model_path
from pool.core.dialects.openai import check_model, encoded, payload_of
from pool.core.dialects.passing import MISSHAPEN, Misshapen, parsed
from pool.core.dialects.retelling import told_as_chat
from pool.core.dialects.settings import ConversionSettings


class MessagesCodec:
    """`inner` carries the chat request to the provider, whose dialect is `provider_dialect`."""

    def __init__(self, inner: Codec, provider_dialect: str) -> None:
        self._inner = inner
        self._provider_dialect = provider_dialect

    def ask(self, call: Call, model: str) -> Ask:
        return self._inner.ask(self._chat(call, model), model)

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        inner = self._inner.reply(_as_chat(call), headers, body)
        try:
            made = answer.message(orjson.loads(inner.body), call.model, inner.usage)
        except MISSHAPEN as e:
            raise Misshapen from e
        return Reply(orjson.dumps(made), inner.usage, inner.useful)

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        return MessagesReader(call, self._inner.reader(told_as_chat(call), headers))

    def _chat(self, call: Call, model: str) -> Call:
        payload = chat_payload(payload_of(call), model, self._provider_dialect)
        if call.stream:
            payload |= {"stream": True, "stream_options": {"include_usage": True}}
        return replace(_as_chat(call), body=encoded(payload), payload=payload, metered=False)


class CountCodec:
    """How many tokens a Messages request has, counted by Gemini, which takes no quota for it."""

    def __init__(self, settings: ConversionSettings) -> None:
        self._settings = settings

    def ask(self, call: Call, model: str) -> Ask:
        check_model(model)
        name = bare_model(model)
        chat = chat_payload(payload_of(call), model, "gemini")
        inner = {"model": f"models/{name}", **request.request_body(chat, name, self._settings)}
        return Ask("POST", model_path(name, "countTokens"), encoded({"generateContentRequest": inner}))

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        total = parsed(body).get("totalTokens")
        if not isinstance(total, int):
            raise ValueError("the answer has no totalTokens")
        return Reply(orjson.dumps({"input_tokens": total}))

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        raise ValueError("a count is not streamed")


def _as_chat(call: Call) -> Call:
    return replace(call, dialect=OPENAI, operation="chat", payload=call.payload or {})
