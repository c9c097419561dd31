"""Where the words of a long stream stand, whose text is not kept."""

import sys

import pytest

from pool.core.dialects.gemini.written import JOINED_CHARS, MOST_CHARS, MOST_SINGLE, Written


def segment(text: str, start: int, end: int) -> dict[str, int]:
    return {"startIndex": len(text[:start].encode()), "endIndex": len(text[:end].encode())}


@pytest.mark.parametrize("word", ["word ", "größer ", "日本語 ", "🙂 a "])
def test_what_is_kept_is_placed_exactly_however_it_came(word: str) -> None:
    written, text = Written(MOST_CHARS), word * 4_000
    for at in range(0, len(text), 7):
        written.add_text(text[at : at + 7])
    for start, end in ((0, 5), (3, 900), (MOST_SINGLE * 7 + JOINED_CHARS - 3, MOST_SINGLE * 7 + JOINED_CHARS + 9)):
        assert written.span(segment(text, start, end)) == (start, end)


@pytest.mark.parametrize(("word", "off"), [("word ", 0), ("größer ", 2), ("日本語 and more ", 5)])
def test_what_is_not_kept_is_placed_nearly_as_well(word: str, off: int) -> None:
    written, text = Written(MOST_CHARS), word * 100_000
    for at in range(0, len(text), 50):
        written.add_text(text[at : at + 50])
    for start, end in ((10, 50_000), (40_000, 40_010), (333_333, 444_444), (len(text) - 9, len(text))):
        found = written.span(segment(text, start, end))
        assert abs(found[0] - start) <= off
        assert abs(found[1] - end) <= off


def test_what_stands_between_two_texts_is_heeded_in_what_is_not_kept() -> None:
    written = Written(10)
    written.add_text("0123456789")
    written.add_text("ab")
    written.add({"executableCode": {}}, "```\n")
    written.add_text("cdef")
    assert written.span({"startIndex": 12, "endIndex": 16}) == (16, 20)
    assert written.span({"startIndex": 2, "endIndex": 12}) == (2, 12)


def test_a_stream_costs_little_however_long_it_is() -> None:
    written = Written(MOST_CHARS)
    for number in range(200_000):
        written.add_text("日本語 lorem ipsum dolor")
        written.add({"text": "hm", "thought": True})
        written.add({"text": "hm", "thought": True}) if number % 2 else None
    pieces, far = written._pieces, written._far
    assert far is not None
    kept = sum(sys.getsizeof(piece) + sys.getsizeof(piece.text) for piece in pieces)
    assert kept + sys.getsizeof(far._bytes) + sys.getsizeof(far._places) < 160 * 1024
