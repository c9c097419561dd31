"""How hard Gemini is to think, asked for in the three dialects of clients: never more than the model takes."""

import orjson
import pytest

from pool.core.calls import ANTHROPIC, GEMINI, OPENAI, Call
from pool.core.dialects import ConversionSettings, codec_for

HELLO = [{"role": "user", "content": "Hello"}]


def config_of(dialect, operation, model="gemini-2.5-flash", settings=None, **fields):
    payload = {"model": model, "input": "Hello", "messages": HELLO, **fields}
    codec = codec_for(dialect, GEMINI, operation, settings or ConversionSettings())
    body = orjson.loads(codec.ask(Call("r", dialect, operation, model, False, b"", payload), model).body)
    return body.get("generationConfig", {}).get("thinkingConfig")


@pytest.mark.parametrize(("dialect", "operation"), [(OPENAI, "chat"), (ANTHROPIC, "messages")])
@pytest.mark.parametrize(
    ("model", "budget", "taken"),
    [
        ("gemini-2.5-flash", 31_999, 24_576),
        ("gemini-2.5-flash", 5_000, 5_000),
        ("gemini-2.5-flash-lite", 31_999, 24_576),
        ("gemini-2.5-flash-lite", 100, 512),
        ("gemini-2.5-pro", 31_999, 31_999),
        ("gemini-2.5-pro", 64_000, 32_768),
        ("gemini-2.5-pro", 1, 128),
        ("gemini-3-flash-preview", 31_999, 24_576),
    ],
)
def test_a_budget_is_what_the_model_takes(dialect, operation, model, budget, taken):
    thinking = {"type": "enabled", "budget_tokens": budget}
    wanted = {"thinkingBudget": taken, "includeThoughts": True}
    assert config_of(dialect, operation, model, thinking=thinking) == wanted


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemma-3-27b-it"])
@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 5000}},
        {"thinking": {"type": "adaptive"}},
        {"output_config": {"effort": "low"}},
    ],
)
def test_a_model_that_cannot_think_is_not_asked_to(model, fields):
    assert config_of(ANTHROPIC, "messages", model, **fields) is None


@pytest.mark.parametrize(
    ("thinking", "config"),
    [
        ({"type": "adaptive"}, {"includeThoughts": True}),
        ({"type": "adaptive", "display": "omitted"}, {"includeThoughts": False}),
        (
            {"type": "enabled", "budget_tokens": 9, "display": "omitted"},
            {"thinkingBudget": 9, "includeThoughts": False},
        ),
        ({"type": "disabled"}, {"thinkingBudget": 0}),
    ],
)
def test_thoughts_are_shown_as_a_message_asks(thinking, config):
    assert config_of(ANTHROPIC, "messages", thinking=thinking) == config


def test_a_response_with_a_summary_needs_thoughts():
    assert config_of(OPENAI, "responses", reasoning={"summary": "auto"}) == {"includeThoughts": True}
    assert config_of(OPENAI, "responses", reasoning={"summary": None}) is None
    shown = {"thinkingBudget": 1024, "includeThoughts": True}
    assert config_of(OPENAI, "responses", reasoning={"effort": "low", "summary": "auto"}) == shown


def test_where_the_operator_has_switched_thinking_off_no_thoughts_are_asked_for():
    off = ConversionSettings(thinking_enabled=False)
    assert config_of(ANTHROPIC, "messages", settings=off, thinking={"type": "adaptive"}) == {"thinkingBudget": 0}
    assert config_of(OPENAI, "responses", settings=off, reasoning={"summary": "auto"}) == {"thinkingBudget": 0}
