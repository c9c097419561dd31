"""What a request asks of Gemini in vain is left out, and noted by name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from pool.core.calls import GEMINI, OPENAI, Call
from pool.core.dialects import ConversionSettings, codec_for

CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


def noted(payload: dict[str, Any], operation: str = "chat") -> list[str]:
    notes: list[str] = []
    codec = codec_for(OPENAI, GEMINI, operation, ConversionSettings(note=notes.append))
    codec.ask(Call("r1", OPENAI, operation, "m", False, orjson.dumps(payload), payload), "m")
    return notes


@pytest.mark.parametrize(
    ("extra", "names"),
    [
        ({}, ""),
        ({"user": None}, ""),
        ({"temperature": 1, "tools": [], "google": {}}, ""),
        ({"user": "u", "logit_bias": {}, "store": False}, "logit_bias, store, user"),
        ({"metadata": {}, "service_tier": "flex", "prediction": {}}, "metadata, prediction, service_tier"),
        ({"no name\nat all": 1}, "(no names)"),
    ],
)
def test_ignored_fields_are_named_and_nothing_of_their_values(extra: dict[str, Any], names: str) -> None:
    wanted = [f"ignored, as Gemini has no such field: {names}"] if names else []
    assert noted({**CHAT, **extra}) == wanted


def test_embeddings_note_what_they_ignore() -> None:
    assert noted({"model": "m", "input": "x", "user": "u"}, "embeddings")[0].endswith(": user")


def test_nobody_is_told_where_nobody_asks() -> None:
    call = Call("r1", OPENAI, "chat", "m", False, b"", {**CHAT, "user": "u"})
    assert codec_for(OPENAI, GEMINI, "chat").ask(call, "m").body
