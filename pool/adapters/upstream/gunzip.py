"""A gzip body, decoded in small steps so that a bomb costs neither memory nor patience."""

from __future__ import annotations

import zlib

from pool.core.faults import Broken

STEP_BYTES = 64 * 1024
_GZIP_ONLY = 31


def decoder_for(headers: dict[str, str], limit_bytes: int) -> Gunzip | None:
    """What a body with these headers needs; they then describe the decoded one. Raises `Broken`."""
    coding = headers.get("content-encoding", "identity").lower()
    if coding in ("gzip", "x-gzip"):
        del headers["content-encoding"]
        headers.pop("content-length", None)
        return Gunzip(limit_bytes)
    if coding not in ("identity", ""):
        raise Broken("the answer has a content coding nobody asked for")
    return None


class Gunzip:
    """`feed()` what came, then `next()` until it says b""; `finished` tells a whole body from a cut one."""

    def __init__(self, limit_bytes: int) -> None:
        self._decoder = zlib.decompressobj(_GZIP_ONLY)
        self._waiting = b""
        self._more = False
        self._left_bytes = limit_bytes

    @property
    def finished(self) -> bool:
        return self._decoder.eof and not self._waiting

    def feed(self, data: bytes) -> None:
        self._waiting += data
        self._more = True

    def next(self) -> bytes:
        """At most 64 KB; b"" when more must be fed first. Raises `Broken`."""
        while self._more:
            piece = self._step()
            # A full step may have left output inside the decoder, with no input waiting outside.
            self._more = bool(self._waiting) or len(piece) == STEP_BYTES
            if piece:
                return piece
        return b""

    def _step(self) -> bytes:
        if self._decoder.eof and self._waiting:
            self._decoder = zlib.decompressobj(_GZIP_ONLY)  # one gzip file may be several, end to end
        try:
            piece = self._decoder.decompress(self._waiting, STEP_BYTES)
        except zlib.error as e:
            raise Broken("the answer's gzip body is damaged") from e
        self._waiting = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            raise Broken("the answer's body is too large when unpacked")
        return piece
