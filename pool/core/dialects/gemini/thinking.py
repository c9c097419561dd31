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

MIN_PRO_BUDGET = 128


def thinking_config(payload: dict[str, Any], model: str, settings: ConversionSettings) -> dict[str, Any] | None:
    """The request's own wish first, then the settings; None leaves the model's default."""
    if not thinks(model):
        return None
    effort = _effort(payload)
    if effort is not None:
        return _by_effort(effort, model)
    if (budget := _budget(payload)) is not None:
        return (
            {"thinkingBudget": _clamped(budget, model), "includeThoughts": True}
            if budget
            else _by_effort("none", model)
        )
    return _by_settings(model, settings)


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
    return max(budget, MIN_PRO_BUDGET) if "pro" in model and budget >= 0 else budget


def _by_settings(model: str, settings: ConversionSettings) -> dict[str, Any] | None:
    if not settings.thinking_enabled:
        return _by_effort("none", model)
    config: dict[str, Any] = {}
    # -1 would switch thinking on where a model is made to do without: leaving it out is what it means here.
    if settings.thinking_budget is not None and settings.thinking_budget >= 0:
        config["thinkingBudget"] = _clamped(settings.thinking_budget, model)
    if settings.include_thoughts:
        config["includeThoughts"] = True
    return config or None
