"""What is kept of an upstream's words: its own, and none of the caller's."""

from __future__ import annotations

import json

import pytest

from pool.core.echoes import ENDS_BYTES, without_echo

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


def test_of_a_large_request_both_ends_are_left_out() -> None:
    for body in (PROMPT.encode() + b"x" * 3 * ENDS_BYTES, b"x" * 3 * ENDS_BYTES + PROMPT.encode()):
        assert without_echo("Blocked: Speak of treasures", body) == "Blocked: …"


def test_a_message_without_end_is_cut() -> None:
    assert len(without_echo("word " * 100_000, b"{}")) == 2_000
