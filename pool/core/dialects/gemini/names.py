"""A Gemini model's name: how it is written, and what it tells of the model."""

from __future__ import annotations

import re

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
LATEST = (3, 0)
"""What the names without a number ("gemini-flash-latest") stand for today."""

NEVER_THINKS = re.compile(r"gemini-(?:1|2\.0)|gemma|learnlm|imagen|veo|.*embedding|aqa")

GIVES_ONE = re.compile(r"-(?:image|tts|live|native-audio)\b")


def version_of(model: str) -> tuple[int, int] | None:
    """(2, 5) of "gemini-2.5-flash"; None for names that are not Gemini's. Compare numbers: 3.10 > 3.5."""
    found = _VERSION.match(model)
    if found:
        return int(found[1]), int(found[2] or 0)
    return LATEST if model.startswith("gemini-") and model.endswith("-latest") else None


def at_least(model: str, major: int, minor: int = 0) -> bool:
    version = version_of(model)
    return version is not None and version >= (major, minor)


def knows_json_schema(model: str) -> bool:
    """`responseJsonSchema` and `parametersJsonSchema`, beside the older OpenAPI subset.

    Source: https://ai.google.dev/gemini-api/docs/structured-output#model_support
    """
    return at_least(model, 2)


def prefers_json_schema(model: str) -> bool:
    """Google documents nothing else any more for these, so that nothing need be rewritten."""
    return at_least(model, 3)


def knows_call_ids(model: str) -> bool:
    """Gemini 3 gives every call an id and matches results by it; older models have none, Vertex refuses them."""
    return at_least(model, 3)


def combines_tools(model: str) -> bool:
    """Google's own tools beside functions, once `includeServerSideToolInvocations` is said (recorded on 3 Flash)."""
    return at_least(model, 3)


def gives_candidates(model: str) -> bool:
    """Whether candidateCount may be more than one: Gemini 3 says that multiple candidates are not enabled for it.

    Nor do the models that draw and speak give any.
    """
    return not at_least(model, 3) and not GIVES_ONE.search(model)


def thinks(model: str) -> bool:
    """Whether a thinkingConfig is understood; unknown names are given the benefit of the doubt."""
    return NEVER_THINKS.match(model) is None


def takes_instructions(model: str) -> bool:
    """The first Gemmas refuse a systemInstruction."""
    return not model.startswith(("gemma-2", "gemma-3"))


def bare_model(model: str) -> str:
    """The name without "models/" and without our own ":search"."""
    return model.removeprefix("models/").removesuffix(":search")


def searches(model: str) -> bool:
    """A name that asks for Google Search: "gemini-2.5-flash:search", "…-search-preview"."""
    return model.endswith(":search") or "-search-preview" in model
