"""The codecs on recorded traffic and on what peers expect of a conversion, as `make conformance` runs them."""

from __future__ import annotations

from collections import Counter

import pytest

from conformance.cases import FAILED, KNOWN, Case, cases
from conformance.running import judged
from conformance.wires import array_wires, events_wire
from pool.core import sse
from pool.core.dialects.gemini.arrays import ElementCutter

from . import corpus

pytestmark = corpus.present

CASES = list(cases(corpus.FOLDER)) if corpus.FOLDER.is_dir() else []

OTHERWISE = {
    "errors": 6,
    "gemini_native": 9,
    "gemini_openai_compat": 10,
    "pairs": 39,
}
"""How many cases are otherwise than recorded, for a reason. One more is a change somebody should look at."""


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_a_recording_is_met_or_the_reason_is_known(case: Case) -> None:
    result = judged(case)
    assert result.verdict != FAILED, result.notes


def test_no_more_is_otherwise_than_was() -> None:
    results = [judged(case) for case in CASES]
    found = Counter(result.case.kind for result in results if result.verdict == KNOWN)
    assert corpus.FOLDER != corpus.OURS or dict(found) == OTHERWISE


# -- every way to cut a recorded stream in two ------------------------------------------------------------------

STREAMS = {
    case.file: wire for case in CASES if (wire := events_wire((case.document or {}).get("response") or {})) is not None
}
EVERYWHERE_BYTES = 3000
"""Longer streams are cut at the places that matter: around line ends, and where their fields begin."""


def places(wire: bytes) -> list[int]:
    if len(wire) <= EVERYWHERE_BYTES:
        return list(range(len(wire) + 1))
    ends = [at for at, byte in enumerate(wire) if byte in b"\r\n"]
    return sorted({min(max(at + near, 0), len(wire)) for at in ends for near in range(-2, 9)})


@pytest.mark.parametrize("file", STREAMS)
def test_a_recorded_stream_reads_the_same_wherever_it_is_cut_in_two(file: str) -> None:
    wire = STREAMS[file]
    whole = read(wire)
    assert whole
    for at in places(wire):
        decoder = sse.Decoder()
        assert [*decoder.feed(wire[:at]), *decoder.feed(wire[at:]), *decoder.end()] == whole


@pytest.mark.parametrize("file", STREAMS)
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_recorded_stream_reads_the_same_with_any_line_end_comments_and_a_mark(file: str, end: bytes) -> None:
    wire = STREAMS[file]
    plain = wire.replace(b"\r\n", b"\n")
    noisy = sse.BOM + (b": ping\n\n" + plain.replace(b"\n\n", b"\n\n:\n\n")).replace(b"\n", end)
    assert [data for data, name, bare in read(noisy) if not bare] == [
        data for data, name, bare in read(wire) if not bare
    ]


def read(wire: bytes) -> list[sse.Event]:
    decoder = sse.Decoder()
    return decoder.feed(wire) + decoder.end()


ARRAYS = {
    case.file: case.document["response"]["body"]
    for case in CASES
    if case.kind == "gemini_native" and isinstance((case.document.get("response") or {}).get("body"), list)
}


@pytest.mark.parametrize("file", ARRAYS)
def test_a_recorded_array_is_cut_into_its_elements_wherever_it_is_cut_in_two(file: str) -> None:
    for wire in array_wires(ARRAYS[file]):
        for at in range(0, len(wire), 1 if len(wire) <= EVERYWHERE_BYTES else 7):
            cutter = ElementCutter()
            assert len(cutter.feed(wire[:at]) + cutter.feed(wire[at:])) == len(ARRAYS[file])
