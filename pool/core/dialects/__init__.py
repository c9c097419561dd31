"""The wire formats: how a call travels from a client's dialect to a provider's and back."""

from __future__ import annotations

from dataclasses import replace

from pool.core.calls import ANTHROPIC, GEMINI, OPENAI, Codec
from pool.core.dialects import openai
from pool.core.dialects.anthropic.codecs import CountCodec, MessagesCodec
from pool.core.dialects.errors import (
    ErrorFields,
    error_fields,
    render_fault,
    render_stream_fault,
    upstream_fault,
)
from pool.core.dialects.fake import FakeStreamCodec
from pool.core.dialects.gemini import passthrough
from pool.core.dialects.gemini.codecs import ChatCodec, EmbeddingsCodec
from pool.core.dialects.gemini.images import ImagesCodec
from pool.core.dialects.gemini.passthrough import VERBS, GeminiCodec, is_array_stream
from pool.core.dialects.gemini.speaking import SpeechCodec
from pool.core.dialects.openai import PATHS, OpenAiCodec
from pool.core.dialects.responses.codecs import ResponsesCodec
from pool.core.dialects.settings import DEFAULTS, ConversionSettings

_PASSING: dict[tuple[str, str, str], Codec] = {
    **{(OPENAI, OPENAI, operation): OpenAiCodec(operation) for operation in (*PATHS, *openai.NATIVE)},
    **{(GEMINI, GEMINI, operation): GeminiCodec(operation) for operation in (*VERBS, *passthrough.NATIVE)},
    (OPENAI, GEMINI, "speech"): SpeechCodec(),
}


def codec_for(
    client_dialect: str, provider_dialect: str, operation: str, settings: ConversionSettings = DEFAULTS
) -> Codec | None:
    """None where the operation cannot be carried from the one dialect to the other."""
    if settings.fake_streams and operation in ("chat", "stream_generate"):
        real = replace(settings, fake_streams=False)
        streamed = codec_for(client_dialect, provider_dialect, operation, real)
        whole = "generate" if operation == "stream_generate" else operation
        plain = codec_for(client_dialect, provider_dialect, whole, real)
        return streamed and plain and FakeStreamCodec(plain, streamed, provider_dialect)
    if (client_dialect, provider_dialect, operation) == (OPENAI, GEMINI, "chat"):
        return ChatCodec(settings)
    if (client_dialect, provider_dialect, operation) == (OPENAI, GEMINI, "embeddings"):
        return EmbeddingsCodec(settings)
    if (client_dialect, provider_dialect, operation) == (OPENAI, GEMINI, "responses"):
        chat = codec_for(OPENAI, GEMINI, "chat", settings)
        return chat and ResponsesCodec(chat)
    if (client_dialect, provider_dialect, operation) == (OPENAI, GEMINI, "images"):
        return ImagesCodec(settings)
    if client_dialect == ANTHROPIC and operation == "messages":
        chat = codec_for(OPENAI, provider_dialect, "chat", settings)
        return chat and MessagesCodec(chat, provider_dialect)
    if (client_dialect, provider_dialect, operation) == (ANTHROPIC, GEMINI, "count_messages"):
        return CountCodec(settings)
    return _PASSING.get((client_dialect, provider_dialect, operation))


__all__ = [
    "ConversionSettings",
    "ErrorFields",
    "codec_for",
    "error_fields",
    "is_array_stream",
    "render_fault",
    "render_stream_fault",
    "upstream_fault",
]
