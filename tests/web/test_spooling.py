"""Bodies that wait to be sent: in memory, then on disk, and never left behind."""

from __future__ import annotations

import gc
import io
import os

import pytest

from pool.core.faults import Fault
from pool.web.proxy.spooling import MEMORY_BYTES, STEP_BYTES, Spooled, spool


def environ(body: bytes, length: int | None = None) -> dict:
    told = {"CONTENT_LENGTH": str(len(body) if length is None else length)} if length != -1 else {}
    return {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True, **told}


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("length", [None, -1], ids=["announced", "chunked"])
def test_a_small_body_stays_in_memory_and_a_large_one_does_not(length: int | None) -> None:
    assert spool(environ(b"x" * 1000, length), 10**7) == b"x" * 1000
    assert spool(environ(b"", length), 10**7) == b""
    large = bytes(range(256)) * (MEMORY_BYTES // 100)
    body = spool(environ(large, length), 10**7)
    assert isinstance(body, Spooled)
    assert len(body) == len(large)
    for _ in range(2):
        pieces = list(body.pieces())
        assert b"".join(pieces) == large
        assert max(map(len, pieces)) <= STEP_BYTES
    body.close()


def test_a_body_with_another_middle_has_another_length() -> None:
    large = b"a" * MEMORY_BYTES + b"MODEL" + b"z" * 1000
    body = spool(environ(large), 10**7)
    assert isinstance(body, Spooled)
    spliced = body.spliced(MEMORY_BYTES, MEMORY_BYTES + 5, b"other-model")
    assert len(spliced) == len(large) + 6
    assert b"".join(spliced.pieces()) == large.replace(b"MODEL", b"other-model")
    body.close()


def test_every_piece_is_shown_on_its_way() -> None:
    seen: list[bytes] = []
    spool(environ(b"x" * 600_000), 10**7, seen.append)
    assert b"".join(seen) == b"x" * 600_000


@pytest.mark.parametrize(
    ("body", "length", "status"), [(b"x" * 3_000_000, -1, 413), (b"x" * 2_000_000, 2_500_000, 400)]
)
def test_a_body_that_is_refused_leaves_no_file_behind(body: bytes, length: int, status: int) -> None:
    before = descriptors()
    with pytest.raises(Fault) as caught:
        spool(environ(body, length), 2_600_000)
    assert caught.value.status == status
    assert descriptors() <= before
