"""JSON Schema in the OpenAPI subset of `responseSchema` and `parameters`, references inlined.

Source: https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from typing import Any

from pool.core.dialects.gemini.merging import merged, spread
from pool.core.dialects.gemini.references import (
    MAX_DEPTH,
    Schema,
    described,
    is_null,
    kinds_of,
    properties_of,
    required_of,
    resolve,
    words_of,
)
from pool.core.dialects.refusals import refuse

MAX_NODES = 5000
"""$ref makes trees out of graphs: a schema larger than this when written out is not written out."""

COPIED = (
    *("title", "description", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("minLength", "maxLength", "pattern", "format", "minimum", "maximum", "propertyOrdering", "nullable"),
)
FORMATS = ("date-time", "enum")


class Subset:
    """Writes a schema in the OpenAPI subset, references inlined.

    `lossy` tells that something got lost; `endless` that it was a reference inside of what it refers to, or so much
    that it was not written out.
    """

    def __init__(self, root: Schema, where: str) -> None:
        self._root = root
        self._where = where
        self._nodes = 0
        self._depth = 0
        self.lossy = False
        self.endless = False

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
        if self._nodes > MAX_NODES:
            return self._cut()
        if not isinstance(schema, dict):
            self.lossy = self.lossy or schema is not True
            return {"type": "object"} if schema is not True else {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in trail:
                return self._cut()
            return self.write(self._target(schema), (*trail, reference))
        if isinstance(schema.get("allOf"), list):
            return self.write(*self._merged(schema, trail))
        if isinstance(schema.get("anyOf"), list) and isinstance(schema.get("oneOf"), list):
            schema = merged([schema], self._where)
        options, common, about = spread(schema)
        return self._any_of(options, common, about, trail) if options else self._plain(schema, trail)

    def _target(self, schema: Schema) -> Schema:
        """What a schema refers to, and what stands beside the reference."""
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return merged([resolve(self._root, schema["$ref"], self._where), beside], self._where)

    def _cut(self) -> Schema:
        self.lossy = self.endless = True
        return {"type": "object"}

    def _merged(self, schema: Schema, trail: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """allOf as one schema, and the trail with the references that went into it."""
        members = [*schema["allOf"], {key: value for key, value in schema.items() if key != "allOf"}]
        whole, longer = [], trail
        for member in members:
            while isinstance(member, dict) and isinstance(reference := member.get("$ref"), str):
                if reference in trail:
                    self._cut()
                    member = None
                    break
                longer = (*longer, reference)
                member = self._target(member)
                if len(longer) - len(trail) > MAX_DEPTH:
                    raise refuse("The schema refers to itself.", self._where, "invalid_schema")
            if isinstance(member, dict):
                whole.append(member)
        return merged(whole, self._where), longer

    def _any_of(self, options: list[Any], common: Schema, about: Schema, trail: tuple[str, ...]) -> Schema:
        kept = [option for option in options if option is not False and not is_null(option)]
        nullable = len(kept) < len(options) or about.get("nullable") is True
        if len(kept) == 1 and isinstance(kept[0], dict):
            written = self.write({"allOf": [kept[0], {**common, **words_of(about)}]}, trail)
        else:
            members: list[Schema] = []
            for option in kept:
                member = self.write({"allOf": [common, option]} if common and option is not True else option, trail)
                nullable = member.pop("nullable", False) or nullable
                members += member["anyOf"] if set(member) == {"anyOf"} else [member]
            written = {"anyOf": members} if members else {"type": "null"}
            written |= words_of(about)
        if nullable:
            written["nullable"] = True
        return written

    def _plain(self, schema: Schema, trail: tuple[str, ...]) -> Schema:
        kinds = kinds_of(schema)
        nullable = "null" in kinds or schema.get("nullable") is True
        kinds = [kind for kind in kinds if kind != "null"] or (["null"] if "null" in kinds else [])
        if len(kinds) > 1:
            variants = [{**schema, "type": kind} for kind in kinds]
            return self._any_of(variants, {}, {**words_of(schema), "nullable": nullable}, trail)
        written: Schema = {"type": kinds[0]} if kinds else {}
        schema = described(schema, FORMATS)
        written |= {key: schema[key] for key in COPIED if schema.get(key) is not None and key != "nullable"}
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
        # Both booleans are all there are.
        told = len(numbers) == len(values) <= 1 or sorted(map(repr, values)) == ["False", "True"]
        self.lossy = self.lossy or not told

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
        others = schema.get("additionalProperties")
        if (isinstance(others, dict) and others) or (others is not None and others is not False and not known):
            self.lossy = True

    def _array(self, schema: Schema, written: Schema, trail: tuple[str, ...]) -> None:
        items = schema.get("items")
        if isinstance(items, list) or isinstance(schema.get("prefixItems"), list):
            self.lossy = True
            listed = items if isinstance(items, list) else schema["prefixItems"]
            items = {"anyOf": listed} if len(listed) > 1 else (listed or [None])[0]
        # An array must say what is in it.
        written["items"] = (self.write(items, trail) if isinstance(items, dict) else {}) or {"type": "string"}
