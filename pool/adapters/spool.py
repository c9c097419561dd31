"""The append-only journal of usage and of what is known against keys: one write a record, drained into SQL later."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

SEGMENT_BYTES = 8 * 1024 * 1024
PIECE_BYTES = 1024 * 1024
_SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole lines of one file from `start` to `end` (bytes)."""

    file: str
    start: int
    end: int
    lines: tuple[bytes, ...]


class Spool:
    """One process's journal: segments in a folder, the youngest one open and locked.

    A line is in the kernel's hands when `write` returns, so a killed process loses none. `sync` makes the disk
    keep it; chores call it once a second, off the hub.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self.unwritten = 0
        self._fd = -1
        self._size = 0
        self._dirty = False
        self._open_segment()

    def write(self, line: bytes) -> None:
        """Append one line. A full disk must not fail a request: the loss is counted in `unwritten`."""
        try:
            done = os.write(self._fd, line)
            while done < len(line):
                done += os.write(self._fd, line[done:])
        except OSError:
            self.unwritten += 1
            return
        self._dirty = True
        self._size += len(line)
        if self._size >= SEGMENT_BYTES:
            self._open_segment()

    def sync(self) -> None:
        """Ask the disk to keep what was written (fdatasync: it blocks, so call it in a thread)."""
        if self._dirty:
            self._dirty = False
            os.fdatasync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def current(self) -> str:
        return self._name

    def _open_segment(self) -> None:
        self._name = f"{time.time_ns():020d}-{os.getpid()}-{token_hex(4)}{_SUFFIX}"
        fd = os.open(self.folder / self._name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
        # Held as long as this process writes here: who gets the lock knows that the file is complete.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        old, self._fd, self._size = self._fd, fd, 0
        if old >= 0:
            os.fdatasync(old)
            os.close(old)


def batches(folder: Path, positions: dict[str, int]) -> Iterator[Batch]:
    """What is not drained yet, oldest file first. A line without its newline is left for the next time."""
    for path in sorted(folder.glob("*" + _SUFFIX)):
        start = positions.get(path.name, 0)
        with path.open("rb") as file:
            file.seek(start)
            while piece := file.read(PIECE_BYTES):
                whole = piece.rfind(b"\n") + 1
                if not whole:
                    break
                yield Batch(path.name, start, start + whole, tuple(piece[:whole].splitlines()))
                start += whole
                file.seek(start)


def drained(folder: Path, positions: dict[str, int]) -> list[str]:
    """Files that nobody writes any more and that are drained to their end (a torn last line is nobody's)."""
    done = []
    for path in sorted(folder.glob("*" + _SUFFIX)):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            rest = file.read()[positions.get(path.name, 0) :]
            if b"\n" not in rest:
                done.append(path.name)
    return done
