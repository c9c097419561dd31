"""Embeddings of Google's, as the numbers and as the base64 that OpenAI's clients ask for."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import orjson

from conformance.calls import chat_call, codec_of
from conformance.cases import require, same
from pool.core.calls import GEMINI, OPENAI


def are_packed(vectors: list[list[float]], model: str = "m") -> None:
    native = orjson.dumps({"embeddings": [{"values": vector} for vector in vectors]})
    for encoding in ("float", "base64"):
        payload = {"model": model, "input": ["x"] * len(vectors), "encoding_format": encoding}
        reply = codec_of(OPENAI, GEMINI, "embeddings").reply(chat_call(payload, "embeddings"), {}, native)
        answer = json.loads(reply.body)
        same([item["index"] for item in answer["data"]], list(range(len(vectors))), "index")
        require(answer["object"] == "list" and answer["usage"]["total_tokens"] > 0, "usage, even if it is estimated")
        for item, vector in zip(answer["data"], vectors, strict=True):
            wanted = vector if encoding == "float" else _single(vector)
            same(numbers(item["embedding"]), wanted, f"a vector as {encoding}")


def numbers(embedding: Any) -> list[float]:
    """Those behind base64 of little-endian floats of 32 bit."""
    if not isinstance(embedding, str):
        return list(embedding)
    raw = base64.b64decode(embedding, validate=True)
    require(len(raw) % 4 == 0, "a vector is no list of floats of 32 bit")
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


def _single(vector: list[float]) -> list[float]:
    return list(struct.unpack(f"<{len(vector)}f", struct.pack(f"<{len(vector)}f", *vector)))
