"""The Responses API over whatever carries OpenAI's chat to a provider."""

from __future__ import annotations

from dataclasses import replace

import orjson

from pool.core.calls import Ask, Call, Codec, Reply, StreamReader
from pool.core.dialects.openai import encoded, payload_of
from pool.core.dialects.passing import MISSHAPEN, Misshapen
from pool.core.dialects.responses import answer
from pool.core.dialects.responses.request import chat_payload
from pool.core.dialects.responses.stream import ResponsesReader
from pool.core.dialects.retelling import told_as_chat


class ResponsesCodec:
    """`inner` carries the chat request to the provider."""

    def __init__(self, inner: Codec) -> None:
        self._inner = inner

    def ask(self, call: Call, model: str) -> Ask:
        payload = chat_payload(payload_of(call), model)
        if call.stream:
            payload |= {"stream": True, "stream_options": {"include_usage": True}}
        chat = replace(call, operation="chat", body=encoded(payload), payload=payload, metered=False)
        return self._inner.ask(chat, model)

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        inner = self._inner.reply(replace(call, operation="chat"), headers, body)
        try:
            output, finish = answer.items(call, orjson.loads(inner.body))
        except MISSHAPEN as e:
            raise Misshapen from e
        return Reply(orjson.dumps(answer.closed(call, output, finish, inner.usage)), inner.usage, inner.useful)

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        return ResponsesReader(call, self._inner.reader(told_as_chat(call), headers))
