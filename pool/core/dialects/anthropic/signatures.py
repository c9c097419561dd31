"""Google's thought signatures on their way through Anthropic's clients.

A client sends an answer's blocks back as they were; a `redacted_thinking` block exists to carry what only the server
reads.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from pool.core.dialects.carried import carried, carry

THOUGHT = base64.b64encode(b"keypool").decode()
"""The signature of a thinking block of ours: clients want one, and nobody checks it."""


def signature_block(signatures: Mapping[str, str]) -> dict[str, Any]:
    """A block that carries the signatures of calls by their ids, and of pictures by their `picture_name`."""
    return {"type": "redacted_thinking", "data": carry(signatures)}


def signatures_of(blocks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What such blocks carry; blocks of anybody else's are left alone."""
    found: dict[str, str] = {}
    for block in blocks:
        if block.get("type") == "redacted_thinking":
            found |= carried(block.get("data"))
    return found


def picture_name(number: int) -> str:
    """Pictures have no id: the number among those of their answer."""
    return f"picture {number}"
