"""Where recorded traffic lies, and how it is read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

OURS = Path(__file__).parents[3] / "shared" / "corpus"
FOLDER = Path(os.environ.get("KEYPOOL_CORPUS") or OURS)

present = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recorded traffic: set KEYPOOL_CORPUS")


def files(kind: str) -> list[Path]:
    """The exchanges of a folder; notes about it begin with an underscore."""
    return sorted(path for path in (FOLDER / kind).glob("*.json") if not path.name.startswith("_"))


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def split(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]
