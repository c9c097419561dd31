"""A request's body that may be large: a little of it in memory, more of it in a temporary file, to be sent again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from gevent import get_hub

from pool.core.calls import Upload
from pool.core.faults import Fault

from .body import take_in

MEMORY_BYTES = 1_000_000
"""Of one body, so much stays in memory."""

STEP_BYTES = 256 * 1024


class BodyLost(RuntimeError):
    """The temporary file cannot be read back."""


def spool(environ: Mapping[str, Any], limit_bytes: int, see: Callable[[bytes], None] | None = None) -> bytes | Spooled:
    """The whole body. `see` is shown every piece on its way. Raises `Fault` as `read_body` does."""
    sink = _Sink(see)
    try:
        take_in(environ, limit_bytes, sink.take)
        return sink.whole()
    except BaseException:  # a client that left must not leave its file behind
        sink.close()
        raise


class Spooled:
    """A body in an unnamed temporary file, read in the hub's threads."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def __len__(self) -> int:
        return self._size

    def pieces(self) -> Iterator[bytes]:
        return self.between(0, self._size)

    def spliced(self, start: int, end: int, middle: bytes) -> Upload:
        return _Spliced(self, start, end, middle)

    def between(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from one offset to another."""
        while start < end:
            piece = _in_a_thread(os.pread, self._file.fileno(), min(STEP_BYTES, end - start), start)
            if not piece:
                raise BodyLost
            start += len(piece)
            yield piece

    def close(self) -> None:
        self._file.close()


class _Spliced:
    """The same with other bytes in the middle."""

    def __init__(self, whole: Spooled, start: int, end: int, middle: bytes) -> None:
        self._whole = whole
        self._start = start
        self._end = end
        self._middle = middle

    def __len__(self) -> int:
        return len(self._whole) - (self._end - self._start) + len(self._middle)

    def pieces(self) -> Iterator[bytes]:
        yield from self._whole.between(0, self._start)
        yield self._middle
        yield from self._whole.between(self._end, len(self._whole))

    def spliced(self, start: int, end: int, middle: bytes) -> Upload:
        raise NotImplementedError("a model is renamed once")


class _Sink:
    def __init__(self, see: Callable[[bytes], None] | None) -> None:
        self._see = see
        self._kept: list[bytes] = []
        self._size = 0
        self._file: BinaryIO | None = None

    def take(self, piece: bytes) -> None:
        if self._see is not None:
            self._see(piece)
        self._kept.append(piece)
        self._size += len(piece)
        if self._size > MEMORY_BYTES:
            self._flush()

    def whole(self) -> bytes | Spooled:
        if self._file is None:
            return b"".join(self._kept)
        self._flush()
        return Spooled(self._file, self._size)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _flush(self) -> None:
        kept, self._kept = b"".join(self._kept), []
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="keypool-", buffering=0)  # noqa: SIM115 — `Spooled` closes it
            _in_a_thread(_write_all, self._file.fileno(), kept)
        except OSError as error:
            raise Fault(503, "no_room", "Keypool has no room for this body now.", retry_after_s=10) from error


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _in_a_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """Disks block; the hub may not."""
    return get_hub().threadpool.apply(work, arguments)
