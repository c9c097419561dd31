"""Google's thought signatures, packed into a text that clients of other dialects send back unread.

A signature belongs to a call or a picture, and those of other dialects have no place for one; each dialect has a place
for something opaque before them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

MARK = "keypool."


def carry(signatures: Mapping[str, str]) -> str:
    """Signatures by what they belong to, such as the id of a call, as one text."""
    return MARK + base64.urlsafe_b64encode(orjson.dumps(dict(signatures))).decode()


def carried(text: Any) -> dict[str, str]:
    """What `carry` packed; nothing where the text is anybody else's."""
    if not isinstance(text, str) or not text.startswith(MARK):
        return {}
    try:
        found = orjson.loads(base64.urlsafe_b64decode(text.removeprefix(MARK)))
    except (binascii.Error, ValueError):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def signature_in(holder: Mapping[str, Any]) -> str | None:
    """The signature a call or a picture of ours in OpenAI's format has in its `extra_content`."""
    extra = holder.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    text = google.get("thought_signature") if isinstance(google, dict) else None
    return text if isinstance(text, str) else None


def with_signature(holder: dict[str, Any], signature: str | None) -> dict[str, Any]:
    """What `signature_in` finds again; the call or picture as it is where there is none."""
    return holder | {"extra_content": {"google": {"thought_signature": signature}}} if signature else holder
