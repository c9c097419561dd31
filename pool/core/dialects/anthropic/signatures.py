"""Google's thought signatures on their way through Anthropic's clients.

A client sends an answer's blocks back as they were. A signature belongs to a call, and a `tool_use` has no place for
one; a `redacted_thinking` block exists to carry what only the server reads.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

MARK = "keypool."
THOUGHT = base64.b64encode(b"keypool").decode()
"""The signature of a thinking block of ours: clients want one, and nobody checks it."""


def signature_block(signatures: Mapping[str, str]) -> dict[str, Any]:
    """A block that carries the signatures of calls by their ids."""
    data = base64.urlsafe_b64encode(orjson.dumps(dict(signatures))).decode()
    return {"type": "redacted_thinking", "data": MARK + data}


def signatures_of(blocks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What such blocks carry; blocks of anybody else's are left alone."""
    found: dict[str, str] = {}
    for block in blocks:
        data = block.get("data")
        if block.get("type") != "redacted_thinking" or not isinstance(data, str) or not data.startswith(MARK):
            continue
        try:
            carried = orjson.loads(base64.urlsafe_b64decode(data.removeprefix(MARK)))
        except (binascii.Error, ValueError):
            continue
        if isinstance(carried, dict):
            found |= {call_id: text for call_id, text in carried.items() if isinstance(text, str)}
    return found


def signature_in(call: Mapping[str, Any]) -> str | None:
    """The signature an OpenAI tool call of ours carries."""
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    text = google.get("thought_signature") if isinstance(google, dict) else None
    return text if isinstance(text, str) else None
