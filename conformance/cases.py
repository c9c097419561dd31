"""What a folder of recordings holds, case by case, and what came of a case."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASSED, KNOWN, FAILED = "passed", "known", "failed"
"""KNOWN: it differs from the recording for a reason that is written down in `reasons.py`."""

SINGULAR = {"pair": "pairs", "error": "errors", "story": "stories"}


class Unmet(Exception):
    """A recording asks for what the codecs do not do. The text says what, for whoever reads the report."""


@dataclass(frozen=True)
class Case:
    """One file. `kind` is its folder's name; `row` what the index says of it; `document` what stands in it."""

    file: str
    kind: str
    row: dict[str, Any] = field(repr=False)
    document: Any = field(repr=False)

    @property
    def features(self) -> Sequence[str]:
        stated = self.row.get("features")
        return [feature for feature in stated if isinstance(feature, str)] if isinstance(stated, list) else []


@dataclass(frozen=True)
class Result:
    """`notes` are the reasons of a known case, or what a failed one asked for in vain."""

    case: Case
    verdict: str
    notes: tuple[str, ...] = ()


def cases(folder: Path) -> Iterator[Case]:
    """Every file of the index; without one, every JSON file of every folder. Names with `_` in front are notes."""
    index = folder / "index.json"
    rows = json.loads(index.read_text()) if index.is_file() else list(_listed(folder))
    rows = rows.get("files", []) if isinstance(rows, dict) else rows
    for row in rows:
        file = str(row.get("file", ""))
        if Path(file).name.startswith("_"):
            continue
        stated = str(row.get("kind") or Path(file).parent.name)
        yield Case(file, SINGULAR.get(stated, stated), row, _read(folder / file))


def _listed(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*/*.json")):
        yield {"file": path.relative_to(folder).as_posix(), "kind": path.parent.name}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        return Unmet(f"cannot be read: {error}")


def require(holds: object, unmet: str) -> None:
    if not holds:
        raise Unmet(unmet)


def same(found: Any, wanted: Any, what: str) -> None:
    require(found == wanted, f"{what}: {shown(found)}, recorded {shown(wanted)}")


def shown(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else json.dumps(value, default=str)
    return text if len(text) <= 160 else f"{text[:157]}…"
