"""What both ways of writing a schema for Gemini need to know of JSON Schema: references, types, words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urljoin

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
    """The schema a local $ref points to: a pointer (RFC 6901) into objects and lists, percent-encoded or not."""
    found: Any = root
    if not reference.startswith("#"):
        raise refuse(f"The schema refers to {reference!r}, which is not inside it.", where, "invalid_schema")
    for step in reference[1:].split("/")[1:]:
        found = _member(found, step)
    if found is True:
        return {}
    if not isinstance(found, dict):
        raise refuse(f"The schema refers to {reference!r}, which does not exist.", where, "invalid_schema")
    return found


def _member(holder: Any, step: str) -> Any:
    """Some tools encode the names in a pointer, some do not: a name that is there as written is meant."""
    key = step if isinstance(holder, dict) and step in holder else unquote(step)
    key = key if isinstance(holder, dict) and key in holder else key.replace("~1", "/").replace("~0", "~")
    if isinstance(holder, list):
        return holder[int(key)] if key.isdecimal() and len(key) < 9 and int(key) < len(holder) else None
    return holder.get(key) if isinstance(holder, dict) else None


def references_in(schema: Any) -> Iterator[str]:
    """Every $ref in a schema, however deep. Not by calling itself: a client may nest as deep as it likes."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def localized(root: Schema, where: str) -> Schema:
    """The schema with every $ref as a pointer from its root: some name an `$id` or an `$anchor` instead."""
    if all(reference == "#" or reference.startswith("#/") for reference in references_in(root)):
        return root
    return _pointing(root, _names(root), where, 0)


def _names(root: Schema) -> dict[str, str]:
    """Where what has a name stands: the root, and its definitions."""
    base = _text(root.get("$id"))
    holders = {"#": root}
    for key in ("definitions", "$defs"):
        defs = root.get(key)
        for name, inner in defs.items() if isinstance(defs, dict) else ():
            if isinstance(inner, dict):
                holders[f"#/{key}/{name.replace('~', '~0').replace('/', '~1')}"] = inner
    names = {base.rstrip("#"): "#"}
    for pointer, holder in holders.items():
        if anchor := _text(holder.get("$anchor")):
            names[urljoin(base, f"#{anchor}")] = pointer
        if own := _text(holder.get("$id")):
            names[urljoin(base, own)] = pointer
    return names


def _pointing(value: Any, names: dict[str, str], where: str, depth: int) -> Any:
    if depth > 4 * MAX_DEPTH:
        raise refuse("The schema is nested too deeply.", where, "invalid_schema")
    if isinstance(value, list):
        return [_pointing(inner, names, where, depth + 1) for inner in value]
    if not isinstance(value, dict):
        return value
    made = {key: _pointing(inner, names, where, depth + 1) for key, inner in value.items()}
    if isinstance(reference := value.get("$ref"), str):
        made["$ref"] = _pointer(reference, names)
    return made


def _pointer(reference: str, names: dict[str, str]) -> str:
    """The reference as a pointer from the root; as it was where nothing in the schema has its name."""
    if reference == "#" or reference.startswith("#/"):
        return reference
    base = next(iter(names))
    whole = urljoin(base, reference)
    if whole in names:
        return names[whole]
    document, _, fragment = whole.partition("#")
    return names[document] + fragment if document in names and fragment.startswith("/") else reference


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
