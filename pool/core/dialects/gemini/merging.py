"""Schemas that hold at the same time (allOf, what stands beside a $ref or an anyOf) as one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from pool.core.dialects.gemini.references import Schema, properties_of, required_of
from pool.core.dialects.refusals import refuse

MOST_OPTIONS = 64
"""Two lists of options that hold at the same time are as many options as there are pairs."""

TIGHTER: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}
ABOUT = frozenset({"title", "description", "default", "example", "examples", "deprecated", "nullable"})
"""What says nothing of which values are right, or is told beside anyOf."""


def merged(members: list[Schema], where: str) -> Schema:
    """Where two members speak of the same, both hold if that can be said; else the later one wins."""
    whole: Schema = {}
    for member in members:
        both = {key: _both(key, whole[key], member[key], where) for key in whole.keys() & member.keys()}
        whole = {**whole, **member, **both}
        if options := _options(whole, where):
            whole = {key: value for key, value in whole.items() if key != "oneOf"} | {"anyOf": options}
    properties_of(whole, where)
    required_of(whole, where)
    return whole


def _both(key: str, old: Any, new: Any, where: str) -> Any:
    match key:
        case "properties":
            old, new = properties_of({key: old}, where), properties_of({key: new}, where)
            return {**old, **new, **{name: _one(old[name], new[name]) for name in old.keys() & new.keys()}}
        case "required":
            return list(dict.fromkeys([*required_of({key: old}, where), *required_of({key: new}, where)]))
        case "items":
            return _one(old, new)
        case "allOf" if isinstance(old, list) and isinstance(new, list):
            if len(old) + len(new) > MOST_OPTIONS:
                raise refuse("The schema has too many parts that hold at the same time.", where, "invalid_schema")
            return [*old, *new]
        case "anyOf" | "oneOf" if isinstance(old, list) and isinstance(new, list):
            return _pairs(old, new, where)
        case "enum" if isinstance(old, list) and isinstance(new, list):
            return [value for value in new if value in old] or new
        case "type":
            return _kinds(old, new)
    if key in TIGHTER and all(isinstance(value, int | float) for value in (old, new)):
        return TIGHTER[key](old, new)
    return new


def _one(old: Any, new: Any) -> Any:
    if old == new or not isinstance(old, dict):
        return new
    return {"allOf": [old, new]} if isinstance(new, dict) else old


def _kinds(old: Any, new: Any) -> Any:
    """The types that both take."""
    if {old, new} == {"integer", "number"} if isinstance(old, str) and isinstance(new, str) else False:
        return "integer"
    olds, news = ([kinds] if isinstance(kinds, str) else kinds for kinds in (old, new))
    if not isinstance(olds, list) or not isinstance(news, list):
        return new
    shared = [kind for kind in news if kind in olds]
    return shared[0] if len(shared) == 1 else shared or new


def _options(schema: Schema, where: str) -> list[Any]:
    """anyOf and oneOf of one schema as the options that both leave; nothing where there is only one of them."""
    some, one = schema.get("anyOf"), schema.get("oneOf")
    return _pairs(some, one, where) if isinstance(some, list) and isinstance(one, list) else []


def _pairs(old: list[Any], new: list[Any], where: str) -> list[Any]:
    if old == new:
        return new
    if len(old) * len(new) > MOST_OPTIONS:
        raise refuse("The schema has too many options that hold at the same time.", where, "invalid_schema")
    return [{"allOf": [one, other]} for one, other in product(old, new)]


def spread(schema: Schema) -> tuple[list[Any], Schema, Schema]:
    """The options of a schema, what holds for each of them, and what is said about all.

    Beside anyOf Google takes words only, and an option that only says `required` means nothing by itself.
    """
    options = schema.get("anyOf") if isinstance(schema.get("anyOf"), list) else schema.get("oneOf")
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
    apart = {key for key in rest if key in ABOUT or key.startswith("$") or key == "definitions"}
    common = {key: value for key, value in rest.items() if key not in apart}
    about = {key: value for key, value in rest.items() if key in apart}
    return options if isinstance(options, list) else [], common, about
