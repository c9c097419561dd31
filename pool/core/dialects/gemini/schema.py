"""JSON Schema as Gemini takes it: the OpenAPI subset where that says all, else `…JsonSchema`.

Sources: https://ai.google.dev/api/caching#Schema, https://ai.google.dev/gemini-api/docs/structured-output
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pool.core.dialects.gemini.names import knows_json_schema
from pool.core.dialects.refusals import refuse

Schema = dict[str, Any]

MAX_DEPTH = 60
MAX_FULL_NODES = 50_000
MAX_NODES = 5000
"""$ref makes trees out of graphs: a schema larger than this when written out is not written out."""

COPIED = (
    *("title", "description", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("minLength", "maxLength", "pattern", "minimum", "maximum", "propertyOrdering", "nullable"),
)
FULL_KEYWORDS = frozenset(
    {
        *("$id", "$anchor", "type", "format", "title", "description", "enum", "minItems", "maxItems"),
        *("minimum", "maximum", "required", "propertyOrdering"),
    }
)
TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})


@dataclass(frozen=True, slots=True)
class SchemaField:
    """`full` says that the schema belongs into the `…JsonSchema` field, which knows $ref and open maps."""

    schema: Schema
    full: bool = False


def as_gemini(schema: Schema, where: str, model: str) -> SchemaField:
    """Raises `Fault` 400 for a $ref that leads nowhere."""
    subset = _Subset(schema, where)
    written = subset.write(schema, ())
    if subset.lossy and knows_json_schema(model):
        return SchemaField(_Full(schema, where).write(schema), full=True)
    return SchemaField(written)


class _Subset:
    """Writes a schema in the OpenAPI subset, references inlined. `lossy` tells that something got lost."""

    def __init__(self, root: Schema, where: str) -> None:
        self._root = root
        self._where = where
        self._nodes = 0
        self._depth = 0
        self.lossy = False

    def write(self, schema: Any, trail: tuple[str, ...]) -> Schema:
        """`trail`: the references this schema stands inside of; meeting one again is recursion."""
        if self._depth > MAX_DEPTH:
            raise refuse("The schema is nested too deeply.", self._where, "invalid_schema")
        self._depth += 1
        written = self._write(schema, trail)
        self._depth -= 1
        return written

    def _write(self, schema: Any, trail: tuple[str, ...]) -> Schema:
        self._nodes += 1
        if not isinstance(schema, dict) or self._nodes > MAX_NODES:
            self.lossy = self.lossy or schema is not True
            return {"type": "object"} if schema is not True else {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in trail:
                self.lossy = True
                return {"type": "object"}
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return self.write({**resolve(self._root, reference, self._where), **beside}, (*trail, reference))
        if isinstance(schema.get("allOf"), list):
            return self.write(*self._merged(schema, trail))
        options = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(options, list):
            return self._any_of(schema, options, trail)
        return self._plain(schema, trail)

    def _merged(self, schema: Schema, trail: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """allOf as one schema, and the trail with the references that went into it."""
        members = [*schema["allOf"], {key: value for key, value in schema.items() if key != "allOf"}]
        whole, longer = [], trail
        for member in members:
            while isinstance(member, dict) and isinstance(reference := member.get("$ref"), str):
                if reference in trail:
                    self.lossy = True
                    member = None
                    break
                longer = (*longer, reference)
                beside = {key: value for key, value in member.items() if key != "$ref"}
                member = {**resolve(self._root, reference, self._where), **beside}
                if len(longer) - len(trail) > MAX_DEPTH:
                    raise refuse("The schema refers to itself.", self._where, "invalid_schema")
            if isinstance(member, dict):
                whole.append(member)
        return merged(whole, self._where), longer

    def _any_of(self, schema: Schema, options: list[Any], trail: tuple[str, ...]) -> Schema:
        kept = [option for option in options if not is_null(option)]
        nullable = len(kept) < len(options)
        common = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        if len(kept) == 1 and isinstance(kept[0], dict):
            written = self.write({**kept[0], **common}, trail)
        else:
            members: list[Schema] = []
            for option in kept:
                member = self.write(option, trail)
                nullable = member.pop("nullable", False) or nullable
                members += member["anyOf"] if set(member) == {"anyOf"} else [member]
            written = {"anyOf": members} if members else {"type": "null"}
            # Beside anyOf Google takes words only.
            written |= {key: common[key] for key in ("title", "description") if key in common}
        if nullable:
            written["nullable"] = True
        return written

    def _plain(self, schema: Schema, trail: tuple[str, ...]) -> Schema:
        kinds = kinds_of(schema)
        nullable = "null" in kinds or schema.get("nullable") is True
        kinds = [kind for kind in kinds if kind != "null"] or (["null"] if "null" in kinds else [])
        if len(kinds) > 1:
            variants = [{**schema, "type": kind} for kind in kinds]
            return self._any_of({**_words(schema), **({"nullable": True} if nullable else {})}, variants, trail) | (
                {"nullable": True} if nullable else {}
            )
        written: Schema = {"type": kinds[0]} if kinds else {}
        written |= {key: schema[key] for key in COPIED if schema.get(key) is not None and key != "nullable"}
        if schema.get("format") == "date-time":
            written["format"] = "date-time"
        self._enum(schema, written)
        self._bounds(schema, written)
        if written.get("type") == "object":
            self._object(schema, written, trail)
        elif written.get("type") == "array":
            self._array(schema, written, trail)
        if nullable and written.get("type") != "null":
            written["nullable"] = True
        return written

    def _enum(self, schema: Schema, written: Schema) -> None:
        """The subset knows enums of strings only; a single number is a range of one."""
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(values, list):
            return
        values = [value for value in values if value is not None and value != ""]
        if all(isinstance(value, str) for value in values):
            if values:
                written["enum"] = values
            return
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(numbers) == len(values):
            written["minimum"], written["maximum"] = min(numbers), max(numbers)
        self.lossy = self.lossy or len(values) > 1

    def _bounds(self, schema: Schema, written: Schema) -> None:
        step = 1 if written.get("type") == "integer" else 0
        low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        if isinstance(low, int | float) and not isinstance(low, bool):
            written.setdefault("minimum", low + step)
        if isinstance(high, int | float) and not isinstance(high, bool):
            written.setdefault("maximum", high - step)

    def _object(self, schema: Schema, written: Schema, trail: tuple[str, ...]) -> None:
        if properties := properties_of(schema, self._where):
            written["properties"] = {name: self.write(inner, trail) for name, inner in properties.items()}
        known = written.get("properties") or {}
        # "required" naming an unknown property is a 400.
        required = [name for name in required_of(schema, self._where) if name in known]
        if required:
            written["required"] = required
        if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
            self.lossy = True

    def _array(self, schema: Schema, written: Schema, trail: tuple[str, ...]) -> None:
        items = schema.get("items")
        if isinstance(items, list) or isinstance(schema.get("prefixItems"), list):
            self.lossy = True
            listed = items if isinstance(items, list) else schema["prefixItems"]
            items = {"anyOf": listed} if len(listed) > 1 else (listed or [None])[0]
        # An array must say what is in it.
        written["items"] = (self.write(items, trail) if isinstance(items, dict) else {}) or {"type": "string"}


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


def _words(schema: Schema) -> Schema:
    return {key: schema[key] for key in ("title", "description") if key in schema}


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


class _Full:
    """Writes a schema for a `…JsonSchema` field: references stay, keywords it does not know go."""

    def __init__(self, root: Schema, where: str) -> None:
        self._root = root
        self._where = where
        self._nodes = 0

    def write(self, schema: Any, depth: int = 0) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_FULL_NODES:
            raise refuse("The schema is nested too deeply.", self._where, "invalid_schema")
        if not isinstance(schema, dict):
            return schema if isinstance(schema, bool) else {}
        if isinstance(schema.get("allOf"), list):
            return self.write(self._merged(schema), depth + 1)
        written: Schema = {}
        for key, value in schema.items():
            name, inner = self._member(key, value, depth + 1)
            if name:
                written[name] = inner
        if "required" in written and "properties" in written:
            written["required"] = [name for name in written["required"] if name in written["properties"]]
        return written

    def _member(self, key: str, value: Any, depth: int) -> tuple[str, Any]:
        """The keyword as it is written, "" where it is not."""
        if key in ("$defs", "definitions", "properties") and isinstance(value, dict):
            below = {name: self.write(inner, depth) for name, inner in value.items()}
            return ("$defs" if key == "definitions" else key), below
        if key in ("anyOf", "oneOf", "prefixItems") and isinstance(value, list):
            return key, [self.write(inner, depth) for inner in value]
        if key in ("items", "additionalProperties"):
            return key, self.write(value, depth)
        if key == "$ref" and isinstance(value, str):
            return key, value.replace("#/definitions/", "#/$defs/")
        if key == "const":
            return "enum", [value]
        if key == "required":
            return key, required_of({key: value}, self._where)
        return (key if key in FULL_KEYWORDS else ""), value

    def _merged(self, schema: Schema) -> Schema:
        members = [*schema["allOf"], {key: value for key, value in schema.items() if key != "allOf"}]
        return merged([self._resolved(member) for member in members if isinstance(member, dict)], self._where)

    def _resolved(self, member: Schema) -> Schema:
        reference = member.get("$ref")
        return resolve(self._root, reference, self._where) if isinstance(reference, str) else member
