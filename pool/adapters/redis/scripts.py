"""The Lua scripts: what Redis does atomically, in one call each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SCRIPTS = ("admit", "settle", "held", "merge", "forget", "claim", "beat", "bury", "leave")
"""What is called in a session; the others come before one."""

FOLDER = Path(__file__).with_name("scripts")


@dataclass(frozen=True, slots=True)
class Script:
    """Called by its digest; by its text where the server has not seen it yet."""

    text: str
    digest: str


@cache
def script(name: str) -> Script:
    text = (FOLDER / "common.lua").read_text() + (FOLDER / f"{name}.lua").read_text()
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
