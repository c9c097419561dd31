"""What a request asks of a model, in whichever dialect, and what a played model does with it.

With tools it calls the first it has not called in this turn, or all of them where it is told "both"; arguments are
`sample`s of their schemas. With their results it repeats them. A schema is filled in with a sample. Media are named by
their types. Everything else is answered with `SAYS`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.upstream import SAYS

THOUGHT = "I think about it."
PIECE_CHARS = 12


class Refused(Exception):
    """A history that the real model answers with 400."""


@dataclass(frozen=True, slots=True)
class Called:
    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Turn:
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Their schemas by their names, in order."""
    must_call: bool = False
    called: list[str] = field(default_factory=list)
    """The tools called since the person spoke, and below what they answered."""
    results: list[str] = field(default_factory=list)
    schema: dict[str, Any] | None = None
    said: str = ""
    """By the person, last."""
    media: list[str] = field(default_factory=list)
    thinks: bool = False


def act(turn: Turn) -> list[Called] | str:
    """The calls a model makes, or what it says."""
    waiting = [name for name in turn.tools if name not in turn.called]
    if waiting and (turn.must_call or not turn.results):
        chosen = waiting if "both" in turn.said else waiting[:1]
        return [Called(name, sample(turn.tools[name])) for name in chosen]
    if turn.schema is not None:
        return json.dumps(sample(turn.schema))
    told = f"The tools say: {'; '.join(turn.results)}" if turn.results else ""
    seen = f"I see {', '.join(turn.media)}." if turn.media else ""
    return " ".join(filter(None, (told, seen))) or "".join(SAYS)


def pieces_of(text: str) -> Sequence[str]:
    """A text as a stream brings it."""
    if text == "".join(SAYS):
        return SAYS
    return [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]


def sample(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """A value that a schema allows: the same for the same schema. Knows JSON Schema and Google's own kind."""
    root = schema if root is None else root
    if reference := schema.get("$ref"):
        for name in reference.removeprefix("#/").split("/"):
            schema = root if schema.get("$ref") == reference else schema
            schema = schema[name]
        return sample(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return sample(next((s for s in schema[choice] if s.get("type") != "null"), {}), root)
    stated = schema.get("type", "object" if "properties" in schema else "string")
    kind = stated if isinstance(stated, str) else next(one for one in stated if one != "null")
    match kind.lower():
        case "object":
            return {name: sample(each, root) for name, each in (schema.get("properties") or {}).items()}
        case "array":
            return [sample(schema.get("items") or {}, root)]
        case "integer":
            return 2
        case "number":
            return 2.5
        case "boolean":
            return True
    return "Oslo"
