"""What is kept of an upstream's words: its own, and none of the caller's."""

from __future__ import annotations

import json
import time

import pytest

from pool.core.echoes import MOST_BYTES, MOST_CHARS, without_echo

PROMPT = 'You are a "helpful" pirate.\nSpeak of treasures — 宝藏在北京以北的山里面等着我们 — and sing!'


def asked(**fields: object) -> bytes:
    return json.dumps({"model": "gemini-2.5-flash", "systemInstruction": PROMPT, **fields}, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        # What Google says to a text where an object is wanted.
        (f"Invalid value at 'system_instruction' (type.googleapis.com/google.ai.Content), \"{PROMPT}\"",
         "Invalid value at 'system_instruction' (type.googleapis.com/google.ai.Content), \"…!\""),
        ("Invalid value: 'Speak of treasures'. Supported values are: 'auto'.",
         "Invalid value: '…'. Supported values are: 'auto'."),
        ("It says 宝藏在北京以北的山里面等着我们, which is not allowed.", "It says …, which is not allowed."),
        ("Unknown name \"systemInstruction\": cannot find field.", None),
        ("models/gemini-2.5-flash-9 is not found. gemini-2.5-flash is.", None),
        ("Quota exceeded for metric: generate_requests, limit: 20, model: gemini-2.5-flash", None),
        ("You are over your quota.", None),
        ("  two  blanks ", None),
        ("", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_callers_words_are_left_out_and_the_upstreams_are_kept(
    said: str, kept: str | None, ascii_only: bool
) -> None:
    body = json.dumps(json.loads(asked()), ensure_ascii=ascii_only).encode()
    assert without_echo(said, body, "gemini-2.5-flash") == (said if kept is None else kept)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        # What pydantic says: the value behind a name, without a blank between them.
        ("1 validation error [type=string_type, input_value='宝藏在北京以北的山里面等着我们', input_type=str]",
         "1 validation error [type=string_type, input_value='…', input_type=str]"),
        ("'SPEAK OF TREASURES' is too long", "'…' is too long"),
        ("'宝藏在北京以北的...' is too long", "'…...' is too long"),
        ("no:Speakoftreasuresisnoword", None),
        ("the token is 123-4567-8901.", "the token is …."),
    ],
)  # fmt: skip
def test_it_is_found_whatever_stands_around_it_and_in_letters_of_either_case(said: str, kept: str | None) -> None:
    assert without_echo(said, asked(token="my own 123-4567-8901 is it")) == (said if kept is None else kept)


@pytest.mark.parametrize("at", ["begins", "ends", "middle"])
def test_a_large_request_is_not_repeated_either(at: str) -> None:
    filling = b"x" * MOST_BYTES
    body = {"begins": PROMPT.encode() + filling, "ends": filling + PROMPT.encode()}.get(
        at, filling + PROMPT.encode() + filling
    )
    assert without_echo("Blocked at 'messages[7]': 'Speak of treasures'", body) == "Blocked at 'messages[7]': '…'"


def test_of_a_request_that_is_gone_no_quotation_is_kept() -> None:
    told = without_echo('Unknown name "whatever it was" for whisper-1, or “another one of them”', None, "whisper-1")
    assert told == 'Unknown name "…" for whisper-1, or “…”'


@pytest.mark.parametrize("letters", ["a b", "中文 字", "ab\\u4e2d"])
def test_it_is_quick_whatever_comes(letters: str) -> None:
    """Nobody is served meanwhile."""
    body, text = json.dumps({"x": letters * 20_000}).encode(), (letters * 1_000)
    huge = body * 100
    began = time.perf_counter()
    without_echo(text, body[:MOST_BYTES])
    without_echo(text[::-1] + "?", body)
    without_echo("no word of it, but a name: 'whatever'", huge)
    assert time.perf_counter() - began < 0.2


def test_a_message_without_end_is_cut() -> None:
    assert len(without_echo("word " * 100_000, b"{}")) == MOST_CHARS
