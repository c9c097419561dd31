"""How hard a model should think: where a gateway has another amount for the same word."""

from __future__ import annotations

import re
from typing import Any

from conformance.claims import MISSING, Difference, look

THINKING = ("thinkingConfig", "thinking_config")
LEAST_OF_PRO = 128
EFFORTS: dict[str, tuple[int, tuple[int, ...], str]] = {
    "none": (0, (0,), "minimal"),
    "minimal": (1024, (0, 128, 512, 1024), "minimal"),
    "low": (1024, (512, 1024, 2048, 4096), "low"),
    "medium": (8192, (2048, 4096, 5000, 8192, 10000), "medium"),
    "high": (24576, (4096, 8192, 10000, 16384, 24576, 32768), "high"),
    "xhigh": (24576, (8192, 16384, 24576, 32768, -1), "high"),
    "max": (24576, (8192, 16384, 24576, 32768, -1), "high"),
}
"""For an effort the budget of Google's own layer, those of gateways that chose otherwise, and the level."""

NEXT_LEVEL = {"minimal": ("low",), "low": ("minimal",), "medium": ("low", "high"), "high": ("medium",)}
DOES_NOT_THINK = re.compile(r"gemini-(?:1|2\.0)|gemma|learnlm|embedding")


def of_another_amount(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """Ours is what the table says; the peer has another amount of its own for this effort."""
    given = pair["input"] if isinstance(pair["input"], dict) else {}
    asked = given.get("reasoning_effort") or given.get("reasoning")
    effort = asked.get("effort") if isinstance(asked, dict) else asked
    place = next((place for place, step in enumerate(difference.path) if step in THINKING), None)
    if not str(pair.get("direction")).startswith("openai_request") or effort not in EFFORTS or place is None:
        return False
    config = look(made, ("generationConfig", "thinkingConfig"))
    return _by_table(effort, config, str(given.get("model"))) and _of_a_peer(effort, difference, config)


def _by_table(effort: str, config: Any, model: str) -> bool:
    """What the table says; a model that does not think is told nothing."""
    if config is MISSING:
        return DOES_NOT_THINK.search(model) is not None
    budget, _, level = EFFORTS[effort]
    spoken = config.get("includeThoughts", False) is (effort != "none")
    levels = (level, *NEXT_LEVEL[level]) if "pro" in model else (level,)
    budget = max(budget, LEAST_OF_PRO) if "pro" in model else budget
    return spoken and (config.get("thinkingBudget") == budget or config.get("thinkingLevel") in levels)


def _of_a_peer(effort: str, difference: Difference, config: Any) -> bool:
    """An amount among those that gateways have for the effort, or none, or a switch that stands beside it."""
    _, budgets, level = EFFORTS[effort]
    wanted = difference.wanted
    if difference.verb in ("absent", "absent_or_null", "present") or isinstance(wanted, bool) or wanted is MISSING:
        return True
    if isinstance(wanted, int | float):
        return wanted in budgets
    if isinstance(wanted, str):
        return wanted.lower() in (level, *NEXT_LEVEL[level])
    members = wanted.items() if isinstance(wanted, dict) else ()
    return bool(members) and all(
        _of_a_peer(effort, Difference((name,), "equals", value, MISSING), config) for name, value in members
    )
