"""Event streams, cut and read whatever way the bytes come."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core import sse

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12).map(
    lambda text: text.encode()
)
CUTS = st.lists(st.integers(min_value=1, max_value=9), min_size=1, max_size=40)


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    out, at = [], 0
    while at < len(body):
        for size in cuts:
            out.append(body[at : at + size])
            at += size
    return [piece for piece in out if piece]


def decoded(parts: list[bytes]) -> list[sse.Event]:
    decoder = sse.Decoder()
    return [event for part in parts for event in decoder.feed(part)] + decoder.end()


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[sse.Event]]:
    """A stream of random events, comments and line ends, and what it means."""
    body = draw(st.sampled_from([b"", sse.BOM]))
    meant = []
    for lines in draw(st.lists(st.lists(TEXTS, max_size=3), max_size=5)):
        name = draw(st.sampled_from([b"", b"delta"]))
        written = [b"event: " + name] if name else []
        written += [b"data:" + draw(st.sampled_from([b" ", b""])) + line.lstrip(b" ") for line in lines]
        written.insert(draw(st.integers(0, len(written))), draw(st.sampled_from([b": ping", b"id: 1", b"retry: 9"])))
        for line in written:
            body += line + draw(ENDS)
        # CR and LF side by side are one line end, not two.
        body += draw(ENDS.filter(lambda end: end != b"\n")) if body.endswith(b"\r") else draw(ENDS)
        if lines:
            meant.append(sse.Event(b"\n".join(line.lstrip(b" ") for line in lines), name))
    return body, meant


@given(streams(), CUTS)
def test_any_split_reads_what_was_meant(stream: tuple[bytes, list[sse.Event]], cuts: list[int]) -> None:
    body, meant = stream
    assert decoded(pieces(body, cuts)) == meant


@given(st.lists(TEXTS.filter(lambda text: not text.startswith((b"{", b"[", b" "))), max_size=6), ENDS, CUTS)
def test_one_kind_of_line_end_is_as_good_as_another(texts: list[bytes], end: bytes, cuts: list[int]) -> None:
    body = b"".join(b"data: " + text + end + end for text in texts)
    assert [event.data for event in decoded(pieces(body, cuts))] == texts


@given(st.binary(max_size=80), CUTS)
def test_a_cutter_loses_and_changes_no_byte(body: bytes, cuts: list[int]) -> None:
    cutter = sse.Cutter()
    assert b"".join(cutter.feed(piece) for piece in pieces(body, cuts)) + cutter.end() == body


@given(st.text(st.sampled_from("d:a \r\n"), max_size=40).map(str.encode))
def test_blocks_put_together_are_the_run_they_were_cut_from(text: bytes) -> None:
    whole = sse.Cutter().feed(text)
    assert b"".join(sse.blocks(whole)) == whole


@given(TEXTS)
def test_what_is_encoded_reads_back(data: bytes) -> None:
    assert decoded([sse.encode(data, b"x")]) == [sse.Event(data, b"x")]


def test_data_of_several_lines_is_joined() -> None:
    assert decoded([b"data: a\ndata: b\r\ndata:\rdata:c\n\n"]) == [sse.Event(b"a\nb\n\nc")]
    assert sse.encode(b"a\r\nb") == b"data: a\ndata: b\n\n"


def test_only_the_standards_line_ends_end_a_line() -> None:
    text = "a\u2028b\u2029c\x85d\x0be".encode()
    assert decoded([b"data: " + text + b"\n\n"]) == [sse.Event(text)]


def test_comments_and_empty_blocks_dispatch_nothing() -> None:
    assert decoded([b": hello\n\n\n\n:\n\nretry: 10\n\ndata: x\n\n"]) == [sse.Event(b"x")]


def test_a_byte_order_mark_is_skipped_only_at_the_start() -> None:
    parts = [b"\xef", b"\xbb", b"\xbfdata: a\n\n", b"data: \xef\xbb\xbfb\n\n"]
    assert [event.data for event in decoded(parts)] == [b"a", b"\xef\xbb\xbfb"]


def test_json_without_data_is_handed_out_bare() -> None:
    assert decoded([b'data: 1\r\n\r\n{\n  "error": {}\n}\n']) == [
        sse.Event(b"1"),
        sse.Event(b"", b"", b'{\n  "error": {}\n}'),
    ]


def test_a_last_event_needs_no_blank_line() -> None:
    assert decoded([b"data: [DONE]"]) == [sse.Event(b"[DONE]")]
    assert decoded([b"data: [DONE]\n"]) == [sse.Event(b"[DONE]")]


def test_a_line_end_cut_in_two_keeps_no_client_waiting() -> None:
    cutter = sse.Cutter()
    assert cutter.feed(b"data: a\r\n\r") == b"data: a\r\n\r"
    assert cutter.feed(b"\n") == b"\n"
    assert cutter.feed(b"data: b\r\n\r") == b"data: b\r\n\r"
    assert cutter.feed(b"\ndata: c\n\ndata") == b"\ndata: c\n\n"
    assert sse.blocks(b"\n") == [b"\n"]


def test_whole_events_go_on_while_a_tail_waits() -> None:
    cutter = sse.Cutter()
    assert cutter.feed(b"data: a\n\ndata: b\n\ndata: c\n") == b"data: a\n\ndata: b\n\n"
    assert cutter.feed(b"\ndata: d") == b"data: c\n\n"
    assert cutter.end() == b"data: d"


def test_comments_are_cut_out_of_a_block() -> None:
    assert sse.without_comments(b": x\n\n") == b""
    assert sse.without_comments(b": x\r\ndata: 1\r\n\r\n") == b"data: 1\r\n\r\n"
    assert sse.without_comments(b"data: 1\n\n") == b"data: 1\n\n"
    assert sse.without_comments(b"\n") == b"\n"


def test_an_event_past_the_cap_is_refused() -> None:
    cutter = sse.Cutter(max_event_bytes=100)
    cutter.feed(b"data: a\n\n" * 50)
    with pytest.raises(sse.EventTooLarge):
        cutter.feed(b"x" * 101)


def test_a_huge_event_in_small_pieces_takes_linear_time() -> None:
    def seconds(size: int) -> float:
        cutter, piece = sse.Cutter(), b"x" * 64
        began = time.process_time()
        for _ in range(size // len(piece)):
            cutter.feed(piece)
        return time.process_time() - began

    seconds(100_000)
    # Quadratic would be 64 times as long.
    assert seconds(3_200_000) < 24 * max(seconds(400_000), 0.002)
