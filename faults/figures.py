"""What a fault came to, and the table of it all."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HEAD = (
    "fault", "requests", "upstream calls", "client-visible errors", "rows lost", "keys blamed wrongly", "as it must be",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """One row. `told`: errors the client was told as such; `silent`: answers cut short that look whole, or nothing.

    `must_fail`: how many errors there must be, because nobody healthy was left to ask; None where it does not matter.
    `broken`: what else did not hold, in words.
    """

    fault: str
    sent: int
    calls: int
    told: int = 0
    silent: int = 0
    lost: int = 0
    blamed: int = 0
    must_fail: int | None = 0
    broken: tuple[str, ...] = ()
    note: str = ""

    @property
    def wrong(self) -> tuple[str, ...]:
        """Everything that did not hold."""
        found = list(self.broken)
        if self.silent:
            found.append(f"{self.silent} clients were not told")
        if self.must_fail is not None and self.told != self.must_fail:
            found.append(f"{self.told} errors where {self.must_fail} were due")
        if self.lost:
            found.append(f"{self.lost} rows lost")
        if self.blamed:
            found.append(f"{self.blamed} keys blamed wrongly")
        return tuple(found)

    def cells(self) -> tuple[str, ...]:
        errors = f"{self.told + self.silent:,}" + (" (all told, none left to ask)" if self.must_fail else "")
        verdict = "; ".join(self.wrong) or "yes"
        name = f"{self.fault} ({self.note})" if self.note else self.fault
        return (name, f"{self.sent:,}", f"{self.calls:,}", errors, f"{self.lost:,}", f"{self.blamed:,}", verdict)


def table(rows: Iterable[Figures]) -> str:
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, tuple("-" * width for width in widths))
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in cells)


def machine() -> str:
    """What it was measured on."""
    told = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", told.read_text()) if told.exists() else None
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({found[1] if found else platform.machine()}), Python {platform.python_version()}"
