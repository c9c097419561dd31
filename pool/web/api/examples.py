"""Examples of what a schema describes, for people: short, and as the schema has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

MOST_OPTIONAL = 3
"""Members of an object of which none must be there, that an example has."""

_PLAIN: dict[str, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}


def sample(schema: Schema, components: Mapping[str, Schema]) -> Any:
    """A value of this schema: what it gives as an example, else what must be there."""
    match schema:
        case {"examples": [first, *_]}:
            return first
        case {"const": value}:
            return value
        case {"enum": [first, *_]}:
            return first
        case {"$ref": str(reference)}:
            return sample(components[reference.rpartition("/")[2]], components)
        case {"anyOf": [first, *_]} | {"oneOf": [first, *_]} | {"allOf": [first, *_]}:
            return sample(first, components)
        case {"default": value} if value is not None:
            return value
        case {"type": "object"}:
            return _object(schema, components)
        case {"type": "array"}:
            return [sample(schema["items"], components)] if schema.get("items") else []
        case {"type": "string"}:
            return _text(schema)
        case {"type": "integer" | "number"}:
            return schema.get("minimum", _PLAIN[schema["type"]])
    return _PLAIN.get(schema.get("type", ""), {})


def _object(schema: Schema, components: Mapping[str, Schema]) -> dict[str, Any]:
    members = schema.get("properties", {})
    shown = [name for name, each in members.items() if name in schema.get("required", ()) or "examples" in each]
    # A text that is made up is seldom what a member wants.
    others = sorted(members, key=lambda name: members[name].get("type") == "string" or "anyOf" in members[name])
    return {name: sample(members[name], components) for name in shown or others[:MOST_OPTIONAL]}


def _text(schema: Schema) -> str:
    text = {"date-time": "2026-01-31T12:00:00Z", "password": "…"}.get(schema.get("format", ""), "text")
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
