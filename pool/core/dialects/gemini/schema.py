"""A client's JSON Schema in the field of Gemini's where it loses least: the OpenAPI subset, or `…JsonSchema`."""

from __future__ import annotations

from dataclasses import dataclass

from pool.core.dialects.gemini.json_schema import JsonSchema
from pool.core.dialects.gemini.names import knows_json_schema, prefers_json_schema
from pool.core.dialects.gemini.references import Schema, is_choice, localized
from pool.core.dialects.gemini.subset import Subset
from pool.core.dialects.refusals import refuse


@dataclass(frozen=True, slots=True)
class SchemaField:
    """`full` says that the schema belongs into the `…JsonSchema` field, which knows $ref and open maps."""

    schema: Schema
    full: bool = False


def as_gemini(schema: Schema, where: str, model: str) -> SchemaField:
    """Raises `Fault` 400 for a $ref that leads nowhere, and for one that has no end where the model knows none."""
    schema = localized(schema, where)
    if prefers_json_schema(model) and not is_choice(schema):
        return SchemaField(JsonSchema(schema, where).write(), full=True)
    subset = Subset(schema, where)
    written = subset.write(schema, ())
    if subset.lossy and knows_json_schema(model):
        return SchemaField(JsonSchema(schema, where).write(), full=True)
    if subset.endless:
        message = f"The schema refers to itself or is too large when written out, and {model} takes no $ref."
        raise refuse(message, where, "invalid_schema")
    return SchemaField(written)
