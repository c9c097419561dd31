"""The append-only journal of usage and of what is known against keys: one write a record, drained into SQL later."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 * 1024 * 1024
PIECE_BYTES = 1024 * 1024
MOST_WAITING_BYTES = 32 * 1024 * 1024
"""Lines kept in memory while the disk takes none: some hundred thousand requests."""

AT_ONCE = 1000
"""So many of them are written in one go, for the caller waits."""

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
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._fd = -1
        self._size = 0
        self._dirty = False
        self._torn = False
        self._full: deque[int] = deque()
        self._open_segment()

    def write(self, line: bytes) -> None:
        """Append one line. A full disk must not fail a request: lines wait in memory until it has room again.

        What there is no memory for is lost and counted in `unwritten`.
        """
        if self._waiting or not self._put(line):
            self._keep(line)
            self.catch_up()

    def catch_up(self, at_once: int = AT_ONCE) -> None:
        """Write what waits, as far as the disk takes it."""
        for _ in range(min(at_once, len(self._waiting))):
            if not self._put(self._waiting[0]):
                return
            self._waiting_bytes -= len(self._waiting.popleft())

    def _keep(self, line: bytes) -> None:
        if self._fd < 0 or self._waiting_bytes + len(line) > MOST_WAITING_BYTES:
            self._lose(1)
            return
        if not self._waiting:
            log.error("the journal cannot be written (%s): records wait in memory", self.folder)
        self._waiting.append(line)
        self._waiting_bytes += len(line)

    def _lose(self, count: int) -> None:
        before, self.unwritten = self.unwritten, self.unwritten + count
        if before.bit_length() < self.unwritten.bit_length():  # the first, and then ever more rarely
            log.error("the journal cannot be written (%s): %d records lost so far", self.folder, self.unwritten)

    def _put(self, line: bytes) -> bool:
        """Whether the whole line is in the kernel's hands."""
        if self._torn:
            # Ends what a failed write left, which would spoil this line too.
            line = b"\n" + line
        done = 0
        try:
            while done < len(line):
                done += os.write(self._fd, line[done:])
            self._torn = False
        except OSError:
            self._torn = self._torn or done > 0
            return False
        self._dirty = True
        self._size += len(line)
        if self._size >= SEGMENT_BYTES:
            with suppress(OSError):
                self._open_segment()
        return True

    def sync(self) -> None:
        """Ask the disk to keep what was written (fdatasync: it blocks, so call it in a thread)."""
        while self._full:
            fd = self._full.popleft()
            os.fdatasync(fd)
            os.close(fd)
        if self._dirty:
            self._dirty = False
            os.fdatasync(self._fd)

    def close(self) -> None:
        self.catch_up(len(self._waiting))
        if self._waiting:
            self._lose(len(self._waiting))
            self._waiting.clear()
        while self._full:
            os.close(self._full.popleft())
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def current(self) -> str:
        return self._name

    def _open_segment(self) -> None:
        name = f"{time.time_ns():020d}-{os.getpid()}-{token_hex(4)}"
        draft = self.folder / name
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
        try:
            # Held as long as this process writes here: who gets the lock knows that the file is complete.
            # So it is taken before the file has its name, or another worker might remove the file first.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(draft.with_suffix(_SUFFIX))
        except OSError:
            os.close(fd)
            raise
        if self._fd >= 0:
            self._full.append(self._fd)
        self._name, self._fd, self._size = name + _SUFFIX, fd, 0


def files(folder: Path) -> list[Path]:
    """The segments there are, the oldest first."""
    return sorted(folder.glob("*" + _SUFFIX))


def batches(folder: Path, positions: dict[str, int]) -> Iterator[Batch]:
    """What was written up to now and is not drained yet, oldest file first.

    Up to now: following a file that grows would drain each request in a transaction of its own. A line without
    its newline is left for the next time.
    """
    for path in files(folder):
        start, end = positions.get(path.name, 0), path.stat().st_size
        with path.open("rb") as file:
            file.seek(start)
            while start < end and (piece := file.read(PIECE_BYTES) + file.readline()):
                whole = piece.rfind(b"\n") + 1
                if not whole:
                    break
                yield Batch(path.name, start, start + whole, tuple(piece[:whole].splitlines()))
                start += whole
                file.seek(start)


def drained(folder: Path, positions: dict[str, int]) -> list[str]:
    """Files that nobody writes any more and that are drained to their end (a torn last line is nobody's)."""
    done = []
    for path in files(folder):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            file.seek(positions.get(path.name, 0))
            if not file.readline().endswith(b"\n"):
                done.append(path.name)
    return done
