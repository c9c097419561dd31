"""The golden files of tests/wire: what a client sends, what goes upstream, what comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.cases import FAILED, Case, cases
from conformance.running import judged

WIRE = Path(__file__).parents[1] / "wire"
CASES = list(cases(WIRE))


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_the_wire_carries(case: Case) -> None:
    result = judged(case)
    assert result.verdict != FAILED, result.notes


def test_every_file_is_in_the_index() -> None:
    listed = [row["file"] for row in json.loads((WIRE / "index.json").read_text())]
    there = {path.relative_to(WIRE).as_posix() for path in WIRE.rglob("*.json")} - {"index.json"}
    assert sorted(there) == sorted(listed)
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("case", [case for case in CASES if case.kind == "stories"], ids=lambda case: case.file)
def test_a_story_says_what_it_is_about(case: Case) -> None:
    assert case.document["what"]
    assert set(case.document) - {"what", "call", "settings", "fetches", "provider"}
