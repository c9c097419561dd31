"""What an operator may decide about conversion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Resolver = Callable[[str], tuple[str, bytes]]
"""Fetches an http(s) URL: its mime type and its bytes.

Raises `Fault` where it cannot; who converts names the place in the request. Asked once for each address of a request.
"""

Note = Callable[[str], None]
"""Told in one sentence, without any content, what a request asked for in vain."""


@dataclass(frozen=True, slots=True)
class ConversionSettings:
    """`safety_preset`: off | google_default.

    The thinking fields apply where a request says nothing of its own; a budget of None or -1 leaves Google's.
    `resolve` fetches media by URL; without it such a URL is refused. `note` is told which fields are ignored.
    """

    safety_preset: str = "off"
    thinking_enabled: bool = True
    thinking_budget: int | None = None
    include_thoughts: bool = False
    resolve: Resolver | None = None
    fake_streams: bool = False
    note: Note | None = None


DEFAULTS = ConversionSettings()
