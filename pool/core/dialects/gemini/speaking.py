"""OpenAI's audio/speech for the models of Google's that speak.

Source: https://ai.google.dev/gemini-api/docs/speech-generation
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pool.core.calls import Ask, Call, Reply, StreamReader
from pool.core.dialects.gemini import chunks
from pool.core.dialects.gemini.names import bare_model
from pool.core.dialects.gemini.passthrough import model_path
from pool.core.dialects.gemini.speech import DEFAULT_RATE, RATE, RAW, VOICES, known_voice, wav_head
from pool.core.dialects.openai import check_model, encoded, payload_of
from pool.core.dialects.passing import MISSHAPEN, Misshapen, parsed
from pool.core.dialects.refusals import refuse, shown


class SpeechCodec:
    """16-bit samples come back; they are sent on as they are (`pcm`), or as a WAV file, which needs no encoder."""

    def ask(self, call: Call, model: str) -> Ask:
        check_model(model)
        payload = payload_of(call)
        text = payload.get("input")
        if not isinstance(text, str) or not text:
            raise refuse("input must be a string.", "input")
        if payload.get("stream_format") == "sse" or payload.get("stream"):
            raise refuse("This model's speech cannot be streamed.", "stream_format")
        stated = payload.get("response_format")
        if stated not in (None, "wav", "pcm"):
            raise refuse(f"This model speaks wav or pcm, not {shown(stated)}.", "response_format")
        instructions = payload.get("instructions")
        if isinstance(instructions, str) and instructions:
            text = f"{instructions.rstrip(':.')}: {text}"
        voice = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": _voice(payload.get("voice"))}}}
        body: dict[str, Any] = {
            "contents": [{"role": "user", "parts": [{"text": text}]}],
            "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": voice},
        }
        return Ask("POST", model_path(bare_model(model), "generateContent"), encoded(body))

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        native = parsed(body)
        try:
            kind, samples = _samples(native)
            usage = chunks.usage_of(native)
        except (*MISSHAPEN, binascii.Error) as e:
            raise Misshapen from e
        if payload_of(call).get("response_format") == "pcm":
            return Reply(samples, usage, bool(samples), "audio/pcm")
        if not kind.startswith(RAW):
            return Reply(samples, usage, bool(samples), kind.partition(";")[0] or "application/octet-stream")
        found = RATE.search(kind)
        file = wav_head(len(samples), int(found[1]) if found else DEFAULT_RATE) + samples
        return Reply(file, usage, bool(samples), "audio/wav")

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        raise ValueError("speech is not streamed")


def _voice(stated: Any) -> str:
    if isinstance(stated, dict):
        stated = stated.get("id")
    if not isinstance(stated, str) or not stated:
        raise refuse("voice must be a string.", "voice")
    voice = known_voice(stated)
    if voice is None:
        raise refuse(f"There is no voice {shown(stated)}; use one of {', '.join(VOICES)}, or one of Google's.", "voice")
    return voice


def _samples(native: dict[str, Any]) -> tuple[str, bytes]:
    """The mime type, in lower case, and the bytes of all audio parts together."""
    kind, pieces = "audio/l16", []
    for candidate in native.get("candidates") or ():
        for part in chunks.parts_of(candidate):
            media = part.get("inlineData") or {}
            if isinstance(media.get("data"), str):
                kind = str(media.get("mimeType") or kind).lower()
                pieces.append(base64.b64decode(media["data"]))
    return kind, b"".join(pieces)
