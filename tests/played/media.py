"""Pictures and speech, as Google's models and OpenAI's hand them out."""

from __future__ import annotations

from typing import Any

from tests.upstream import Action, Request, answer

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture of one pixel: base64 of a PNG."""

IMAGE_PART: dict[str, Any] = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
AUDIO_PART: dict[str, Any] = {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": "AAABAAIAAwA="}}


def imagen(request: Request) -> Action:
    wanted = (request.json.get("parameters") or {}).get("sampleCount") or 1
    return answer(200, {"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": PIXEL}] * wanted})


def pictures(request: Request) -> Action:
    usage = {"input_tokens": 5, "output_tokens": 272, "total_tokens": 277}
    made = [{"b64_json": PIXEL}] * (request.json.get("n") or 1)
    return answer(200, {"created": 1780000000, "data": made, "output_format": "png", "usage": usage})


def speech(request: Request) -> Action:
    return answer(200, b"ID3 played speech", {"Content-Type": "audio/mpeg"})
