"""How hard to think: OpenAI's reasoning_effort and the operator's settings as a thinkingConfig."""

from __future__ import annotations

from typing import Any

from pool.core.dialects.gemini.names import at_least, thinks, version_of
from pool.core.dialects.settings import ConversionSettings

BUDGETS = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
"""Source: https://ai.google.dev/gemini-api/docs/openai#thinking"""

LEVELS = {
    "none": "minimal",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}

AMOUNTS = frozenset({"thinkingBudget", "thinkingLevel"})
"""The members of a thinkingConfig that say how much: Google takes one of them."""

BUDGET_RANGES = (("flash-lite", 512, 24_576), ("pro", 128, 32_768), ("", 1, 24_576))
"""By what stands in a model's name the budgets it takes beside 0: others are refused.

Source: https://ai.google.dev/gemini-api/docs/thinking#set-budget
"""


def thinking_config(payload: dict[str, Any], model: str, settings: ConversionSettings) -> dict[str, Any] | None:
    """The request's own wish first, then the settings; None leaves the model's default."""
    if not thinks(model):
        return None
    effort, budget = _effort(payload), _budget(payload)
    if _declined(effort, budget, settings):
        return _by_effort("none", model)
    if effort is not None:
        config = _by_effort(effort, model)
    elif budget is not None:
        config = {"thinkingBudget": _clamped(budget, model), "includeThoughts": True}
    else:
        config = _by_settings(model, settings)
    if (shown := _shown(payload)) is not None:
        config["includeThoughts"] = shown
    return config or None


def _declined(effort: str | None, budget: int | None, settings: ConversionSettings) -> bool:
    if effort is not None:
        return effort == "none"
    return budget == 0 if budget is not None else not settings.thinking_enabled


def _effort(payload: dict[str, Any]) -> str | None:
    """`reasoning_effort`, also as the object of OpenAI's Agents SDK, and `reasoning: {effort}`.

    A word we do not know is ignored, as all settings are.
    """
    effort = payload.get("reasoning_effort")
    if effort is None:
        effort = payload.get("reasoning")
    if isinstance(effort, dict):
        effort = effort.get("effort")
    effort = effort.lower() if isinstance(effort, str) else None
    return effort if effort in BUDGETS else None


def _budget(payload: dict[str, Any]) -> int | None:
    """`thinking`, as Anthropic's API and the gateways after it write it: {type: enabled, budget_tokens} or disabled."""
    thinking = payload.get("thinking")
    if not isinstance(thinking, dict):
        return None
    if thinking.get("type") == "disabled":
        return 0
    budget = thinking.get("budget_tokens")
    return budget if type(budget) is int and budget >= 0 else None


def _shown(payload: dict[str, Any]) -> bool | None:
    """Whether thoughts are wanted to be seen, as far as Anthropic's `thinking` or OpenAI's `reasoning` says it."""
    thinking, reasoning = payload.get("thinking"), payload.get("reasoning")
    if isinstance(thinking, dict):
        return thinking.get("display") != "omitted"
    return True if isinstance(reasoning, dict) and reasoning.get("summary") else None


def _by_effort(effort: str, model: str) -> dict[str, Any]:
    if at_least(model, 3):
        config: dict[str, Any] = {"thinkingLevel": _level(effort, model)}
    else:
        config = {"thinkingBudget": _clamped(BUDGETS[effort], model)}
    if effort != "none":
        config["includeThoughts"] = True
    return config


def _level(effort: str, model: str) -> str:
    """Pro models cannot do without thinking, and 3 Pro knew only low and high."""
    level = LEVELS[effort]
    if "pro" not in model:
        return level
    if level == "minimal":
        return "low"
    if level == "medium" and version_of(model) == (3, 0):
        return "high"
    return level


def _clamped(budget: int, model: str) -> int:
    """The nearest budget the model takes. Zero means none at all, which Pro models cannot do."""
    least, most = next((least, most) for word, least, most in BUDGET_RANGES if word in model)
    if budget == 0 and "pro" not in model:
        return 0
    return min(max(budget, least), most)


def _by_settings(model: str, settings: ConversionSettings) -> dict[str, Any]:
    config: dict[str, Any] = {}
    # -1 would switch thinking on where a model is made to do without: leaving it out is what it means here.
    if settings.thinking_budget is not None and settings.thinking_budget >= 0:
        config["thinkingBudget"] = _clamped(settings.thinking_budget, model)
    if settings.include_thoughts:
        config["includeThoughts"] = True
    return config
