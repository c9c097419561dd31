"""Thought signatures in OpenAI's messages: where clients carry them, and what stands in for one that was lost.

Source: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from typing import Any

from pool.core.dialects.gemini.media import is_base64

SKIP_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""base64 of "skip_thought_signature_validator": Gemini 3 refuses a replayed call without any signature,
and most OpenAI clients lose what they do not know."""

IN_ID = "__thought__"
"""What other gateways put between the id of a call and its signature. We read it, and never write it: OpenAI refuses
ids of more than 40 characters, so that a conversation could not move on to another provider."""


def signed(signature: str) -> dict[str, Any]:
    """The channel of Google's own OpenAI layer, as a value of `extra_content`."""
    return {"google": {"thought_signature": signature}}


def signature_of(holder: dict[str, Any]) -> str | None:
    """The signature of a message, a call or an image, in whichever place; None where it is missing or unusable."""
    return next((found for found in _candidates(holder) if isinstance(found, str) and is_base64(found)), None)


def _candidates(holder: dict[str, Any]) -> list[Any]:
    google = _dict(_dict(holder.get("extra_content")).get("google"))
    others = _dict(holder.get("provider_specific_fields"))
    return [
        google.get("thought_signature"),
        holder.get("thought_signature"),
        others.get("thought_signature"),
        *_list(others.get("thought_signatures")),
        *(_dict(block).get("signature") for block in _list(holder.get("thinking_blocks"))),
        _in_id(holder.get("id")),
    ]


def plain_id(call_id: str) -> str:
    """The id of a call without the signature another gateway put behind it."""
    return call_id.partition(IN_ID)[0]


def _in_id(call_id: Any) -> str | None:
    return call_id.partition(IN_ID)[2] or None if isinstance(call_id, str) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
