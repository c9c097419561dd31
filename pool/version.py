"""The version of this code, read from the changelog, where alone it is written."""

from __future__ import annotations

import re
from pathlib import Path

_HEADING = re.compile(r"^## (\d+\.\d+\.\d+)", re.M)


def _newest(changelog: str) -> str:
    found = _HEADING.search(changelog)
    return found[1] if found else "0.0.0"


VERSION = _newest((Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8"))
