"""What both ways of writing a schema for Gemini need to know of JSON Schema: references, allOf, types, words."""

from __future__ import annotations

from typing import Any

from pool.core.dialects.refusals import refuse

Schema = dict[str, Any]

MAX_DEPTH = 60
TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})


def required_of(schema: Schema, where: str) -> list[str]:
    required = schema.get("required")
    if required is None:
        return []
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise refuse("required must be a list of strings.", where, "invalid_schema")
    return required


def properties_of(schema: Schema, where: str) -> dict[str, Any]:
    properties = schema.get("properties")
    if properties is not None and not isinstance(properties, dict):
        raise refuse("properties must be an object.", where, "invalid_schema")
    return properties or {}


def merged(members: list[Schema], where: str) -> Schema:
    """allOf: the members put together, properties and required added up."""
    whole: Schema = {}
    for member in members:
        properties = {**properties_of(whole, where), **properties_of(member, where)}
        required = [*required_of(whole, where), *required_of(member, where)]
        whole.update(member)
        if properties:
            whole["properties"] = properties
        if required:
            whole["required"] = list(dict.fromkeys(required))
    return whole


def words_of(schema: Schema) -> Schema:
    return {key: schema[key] for key in ("title", "description") if key in schema}


def is_choice(schema: Schema) -> bool:
    """Nothing but an enum of words, which Gemini answers bare, as text/x.enum."""
    values = schema.get("enum")
    return isinstance(values, list) and bool(values) and all(isinstance(value, str) for value in values)


def described(schema: Schema, known: tuple[str, ...]) -> Schema:
    """The schema without a format that Google refuses; what a text looks like is told in its description instead."""
    form = schema.get("format")
    if not isinstance(form, str) or form in known:
        return schema
    said = schema.get("description")
    if "string" not in (kinds_of(schema) or ["string"]):
        return {key: value for key, value in schema.items() if key != "format"}
    words = f"{said} (format: {form})" if isinstance(said, str) and said else f"Format: {form}"
    return {**{key: value for key, value in schema.items() if key != "format"}, "description": words}


def is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and (schema.get("type") in ("null", ["null"]) or schema.get("enum") == [None])


def kinds_of(schema: Schema) -> list[str]:
    """The types a schema names, or means by what else it says."""
    stated = schema.get("type")
    if isinstance(stated, str):
        return [stated.lower()]
    if isinstance(stated, list):
        return [kind.lower() for kind in stated if isinstance(kind, str) and kind.lower() in TYPES]
    if "properties" in schema or "additionalProperties" in schema:
        return ["object"]
    if "items" in schema or "prefixItems" in schema:
        return ["array"]
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list):
        return []
    return list(dict.fromkeys(_kind(value) for value in values))


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case dict():
            return "object"
        case list():
            return "array"
    return "string"


def resolve(root: Schema, reference: str, where: str) -> Schema:
    """The schema a local $ref points to."""
    found: Any = root
    if not reference.startswith("#"):
        raise refuse(f"The schema refers to {reference!r}, which is not inside it.", where, "invalid_schema")
    for step in reference[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise refuse(f"The schema refers to {reference!r}, which does not exist.", where, "invalid_schema")
    return found
