"""JSON Schema for `responseJsonSchema` and `parametersJsonSchema`: references stay, what Google does not know goes.

Source: https://ai.google.dev/api/generate-content#generationconfig
"""

from __future__ import annotations

from typing import Any

from pool.core.dialects.gemini.merging import merged, spread
from pool.core.dialects.gemini.references import (
    MAX_DEPTH,
    Schema,
    described,
    kinds_of,
    properties_of,
    references_in,
    required_of,
    resolve,
)
from pool.core.dialects.refusals import refuse

MAX_NODES = 50_000

COPIED = frozenset(
    {
        *("$id", "$anchor", "format", "title", "description", "enum", "minItems", "maxItems"),
        *("minimum", "maximum", "minLength", "maxLength", "minProperties", "maxProperties"),
        *("pattern", "propertyOrdering"),
    }
)
"""What is documented, and what recorded requests show to do no harm (`pattern`)."""

FORMATS = ("date-time", "date", "time")
HERE = "#"


class JsonSchema:
    """Writes one schema. Every `$ref` of it is followed once, so a dangling one is found."""

    def __init__(self, root: Schema, where: str) -> None:
        self._root = root
        self._where = where
        self._nodes = 0
        self._refers = any(True for _ in references_in(root))
        self._reached: dict[str, set[str]] = {}

    def write(self) -> Schema:
        """Raises `Fault` 400 where a $ref leads nowhere or the schema is too deep."""
        return self._write(self._root, HERE, 0)

    def _write(self, schema: Any, inside: str, depth: int) -> Any:
        """`inside`: the reference of the definition this schema is a part of."""
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise refuse("The schema is nested too deeply.", self._where, "invalid_schema")
        if not isinstance(schema, dict):
            return schema if isinstance(schema, bool) else {}
        if isinstance(schema.get("allOf"), list):
            return self._write(self._merged(schema), inside, depth + 1)
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema, inside, depth)
        if self._leans(schema):
            return self._spread(schema, inside, depth)
        written = self._type(schema) | self._members(described(schema, FORMATS), inside, depth + 1)
        self._bounds(schema, written)
        self._required(schema, written, inside)
        return written

    def _reference(self, schema: Schema, inside: str, depth: int) -> Schema:
        """Beside a $ref Google takes nothing but what begins with $: what stands there is put into the target."""
        reference = renamed(schema["$ref"])
        below = self._below(schema["$ref"])
        self._check_end(schema)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        alone = all(key.startswith("$") or key == "definitions" for key in beside)
        if reference in below or (alone and reference.startswith("#/$defs/")):
            return {"$ref": reference} | self._definitions(schema, depth)
        return self._write(self._resolved(schema), inside, depth + 1)

    def _check_end(self, schema: Schema) -> None:
        """A reference to a reference, and so on, comes to something in the end."""
        trail = set()
        while isinstance(reference := schema.get("$ref"), str):
            if reference in trail:
                raise refuse("The schema refers to itself and nothing else.", self._where, "invalid_schema")
            trail.add(reference)
            schema = resolve(self._root, reference, self._where)

    def _definitions(self, schema: Schema, depth: int) -> Schema:
        """The definitions of a schema under the name that newer drafts, and Google, give them."""
        defs: Schema = {}
        for key in ("definitions", "$defs"):
            if isinstance(schema.get(key), dict):
                for name, inner in schema[key].items():
                    defs[name] = self._write(inner, f"#/$defs/{name}", depth + 1)
        return {"$defs": defs} if defs else {}

    def _members(self, schema: Schema, inside: str, depth: int) -> Schema:
        written = self._definitions(schema, depth)
        for key, value in schema.items():
            if key == "properties" and isinstance(value, dict):
                written[key] = {name: self._write(inner, inside, depth) for name, inner in value.items()}
            elif key in ("anyOf", "oneOf", "prefixItems") and isinstance(value, list):
                written[key] = [self._write(inner, inside, depth) for inner in value]
            elif key in ("items", "additionalProperties"):
                written[key] = self._write(value, inside, depth)
            elif key == "const":
                written["enum"] = [value]
            elif key in COPIED:
                written[key] = value
        return written

    def _type(self, schema: Schema) -> Schema:
        """Types in lower case, `nullable` of OpenAPI as one of them, and the type of an enum that names none."""
        kinds = kinds_of(schema) if schema.keys() & {"type", "enum", "const"} else []
        if schema.get("nullable") is True and kinds and "null" not in kinds:
            kinds = [*kinds, "null"]
        if not kinds:
            return {}
        return {"type": kinds[0] if len(kinds) == 1 else kinds}

    def _bounds(self, schema: Schema, written: Schema) -> None:
        """Bounds that do not belong to what they bound: for whole numbers the next one, else the bound itself."""
        kinds = kinds_of(schema)
        step = 1 if "integer" in kinds and "number" not in kinds else 0
        for theirs, ours, inward in (("exclusiveMinimum", "minimum", step), ("exclusiveMaximum", "maximum", -step)):
            bound = schema.get(theirs)
            if isinstance(bound, int | float) and not isinstance(bound, bool):
                written.setdefault(ours, bound + inward)

    def _required(self, schema: Schema, written: Schema, inside: str) -> None:
        """Without what leads back to where it stands: Google takes cycles in properties that may be left out only.

        A name that no property has is a 400, too.
        """
        known = written.get("properties") or {}
        required = [
            name
            for name in required_of(schema, self._where)
            if name in known and not (self._refers and inside in self._reach(schema["properties"][name]))
        ]
        if required:
            written["required"] = required

    def _reach(self, schema: Any) -> set[str]:
        """The references in a schema, and all that those lead to."""
        found: set[str] = set()
        for reference in references_in(schema):
            found |= {renamed(reference)} | self._below(reference)
        return found

    def _below(self, reference: str) -> set[str]:
        """What a reference leads to, by way of others too; itself where it is a cycle."""
        if reference not in self._reached:
            found: set[str] = set()
            waiting = [reference]
            seen = {reference}
            while waiting:
                for other in references_in(resolve(self._root, waiting.pop(), self._where)):
                    found.add(renamed(other))
                    if other not in seen:
                        seen.add(other)
                        waiting.append(other)
            self._reached[reference] = found
        return self._reached[reference]

    def _merged(self, schema: Schema) -> Schema:
        members = [*schema["allOf"], {key: value for key, value in schema.items() if key != "allOf"}]
        return merged([self._resolved(member) for member in members if isinstance(member, dict)], self._where)

    def _resolved(self, member: Schema) -> Schema:
        reference = member.get("$ref")
        if not isinstance(reference, str):
            return member
        beside = {key: value for key, value in member.items() if key != "$ref"}
        return merged([resolve(self._root, reference, self._where), beside], self._where)

    def _leans(self, schema: Schema) -> bool:
        """Whether an option requires what only the schema around it describes: such a name alone is a 400."""
        return any(
            name not in properties_of(option, self._where) and name in properties_of(schema, self._where)
            for option in spread(schema)[0]
            if isinstance(option, dict)
            for name in required_of(option, self._where)
        )

    def _spread(self, schema: Schema, inside: str, depth: int) -> Schema:
        options, common, about = spread(merged([schema], self._where))
        whole = [{"allOf": [common, option]} if isinstance(option, dict) else option for option in options]
        return self._write({**about, "anyOf": whole}, inside, depth + 1)


def renamed(reference: str) -> str:
    return reference.replace("#/definitions/", "#/$defs/", 1)
