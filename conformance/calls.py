"""Calls as the routes would make them of a recorded request."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from conformance.cases import Unmet
from pool.core.calls import GEMINI, OPENAI, Ask, Call, Codec
from pool.core.dialects import ConversionSettings, codec_for
from pool.core.dialects.gemini.passthrough import VERBS

PICTURE = ("image/png", b"\x89PNG")
UNTOUCHED = ConversionSettings(safety_preset="google_default", resolve=lambda url: PICTURE)
"""Recordings say nothing about safety; what stands at an address is whatever is there."""

OPERATIONS = {verb: operation for operation, verb in VERBS.items()}
_MODEL = re.compile(r"models/([^:/?]+)")


def codec_of(client: str, provider: str, operation: str, settings: ConversionSettings = UNTOUCHED) -> Codec:
    found = codec_for(client, provider, operation, settings)
    if found is None:
        raise Unmet(f"no codec carries {operation} from {client} to {provider}")
    return found


def body_of(ask: Ask) -> bytes:
    if not isinstance(ask.body, bytes):
        raise Unmet("the request is no JSON")
    return ask.body


def chat_call(payload: dict[str, Any], operation: str = "chat", **over: Any) -> Call:
    known = {"model": str(payload.get("model") or ""), "stream": bool(payload.get("stream")), "created": 1}
    body = orjson.dumps(payload)
    fields: dict[str, Any] = {
        "request_id": "r1",
        "dialect": OPENAI,
        "operation": operation,
        "body": body,
        "payload": payload,
    }
    return Call(**(fields | known | over))


def native_call(path: str, body: Any = None, endpoint: str = "") -> Call:
    """`endpoint` is the verb where the recording has no path."""
    where, _, query = path.partition("?")
    verb = where.rpartition(":")[2] if ":" in where else endpoint
    found = _MODEL.search(where)
    operation = OPERATIONS.get(verb, "raw")
    pairs = tuple(parse_qsl(query, keep_blank_values=True))
    if operation == "stream_generate" and not path:
        pairs = (("alt", "sse"),)
    return Call(
        request_id="r1",
        dialect=GEMINI,
        operation=operation,
        model=unquote(found[1]) if found else "m",
        stream=operation == "stream_generate",
        body=b"" if body is None else json.dumps(body, ensure_ascii=False).encode(),
        payload=body if isinstance(body, dict) else None,
        method="POST",
        path=where,
        query=pairs,
        created=1,
    )
