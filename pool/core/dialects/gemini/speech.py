"""Speech that Gemini answers with, in the voice and form an OpenAI client asked for."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from typing import Any

from pool.core.calls import Call

RATE = re.compile(r"rate=(\d{1,7})")
DEFAULT_RATE = 24_000
"""Samples a second where the mime type does not say; what Gemini's speech models make."""
RAW = ("audio/l16", "audio/pcm")

VOICES = {
    "alloy": "Kore", "ash": "Orus", "ballad": "Iapetus", "cedar": "Alnilam", "coral": "Leda", "echo": "Charon",
    "fable": "Puck", "marin": "Zephyr", "nova": "Aoede", "onyx": "Fenrir", "sage": "Callirrhoe", "shimmer": "Autonoe",
    "verse": "Umbriel",
}  # fmt: skip
"""OpenAI's voices and one of Google's that comes near. Google's own names, which are capitalised, pass as they are."""


def known_voice(stated: str) -> str | None:
    """Google's name of a voice; None where nobody knows it."""
    return stated if stated[:1].isupper() else VOICES.get(stated)


def is_speech(media: dict[str, Any]) -> bool:
    return str(media.get("mimeType", "")).startswith("audio/")


def audio_of(call: Call, pieces: list[dict[str, Any]], streamed: bool = False) -> dict[str, Any]:
    """OpenAI's `audio` object of a message or delta. `pieces`: the blobs of one answer, in order.

    Gemini sends samples without a head. A stream of OpenAI's carries nothing else (`pcm16`); a whole answer asked for
    as anything but that becomes a WAV file, as we encode nothing.
    """
    return {
        "id": f"audio_{call.request_id}",
        "data": _joined(pieces, headed=not streamed and _format(call) != "pcm16"),
        "expires_at": 0,
        "transcript": "",
    }


def _format(call: Call) -> Any:
    audio = (call.payload or {}).get("audio")
    return audio.get("format") if isinstance(audio, dict) else None


def _joined(pieces: list[dict[str, Any]], headed: bool) -> str:
    kind = str(pieces[0].get("mimeType", "")).lower()
    raw = kind.startswith(RAW)
    if len(pieces) == 1 and not (raw and headed):
        return pieces[0].get("data", "")
    try:
        samples = b"".join(base64.b64decode(piece.get("data", "")) for piece in pieces)
    except binascii.Error as e:
        raise ValueError("an answer's audio is no base64") from e
    if raw and headed:
        found = RATE.search(kind)
        samples = wav_head(len(samples), int(found[1]) if found else DEFAULT_RATE) + samples
    return base64.b64encode(samples).decode()


def wav_head(size_bytes: int, rate: int) -> bytes:
    """The head of a WAV file of 16 bit samples in one channel. Source: RFC 2361, Microsoft's RIFF."""
    size_bytes = min(size_bytes, 2**32 - 37)
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    size, formed = struct.pack("<I", size_bytes), struct.pack("<I", len(form)) + form
    return b"RIFF" + struct.pack("<I", 36 + size_bytes) + b"WAVEfmt " + formed + b"data" + size
