"""Google's thought signatures on their way through clients of the Responses API.

Such a client sends an answer's items back as input. A `reasoning` item has `encrypted_content` for what only the
server reads; in it the signatures of the calls and pictures that follow are carried, by their ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pool.core.dialects.carried import carried


def signatures_of(items: Sequence[Any]) -> dict[str, str]:
    """What the reasoning items carry; those of anybody else's are left alone."""
    found: dict[str, str] = {}
    for item in items:
        if isinstance(item, dict) and item.get("type") == "reasoning":
            found |= carried(item.get("encrypted_content"))
    return found
