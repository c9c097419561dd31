"""Schemas that a gateway sends in the other one of Google's two fields, or in other words."""

from __future__ import annotations

from typing import Any

from conformance.claims import MISSING, VERBS, Difference, alike, look

SCHEMA_FIELDS = ("responseSchema", "responseJsonSchema", "parameters", "parametersJsonSchema")
TWINS = {
    "responseSchema": "responseJsonSchema",
    "responseJsonSchema": "responseSchema",
    "parameters": "parametersJsonSchema",
    "parametersJsonSchema": "parameters",
}
SAYS_LITTLE = ("title", "additionalProperties", "$schema", "strict", "propertyOrdering", "description", "format")
"""What one of the two fields has and the other has not, or says in other words."""


def in_the_other_field(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """The same schema in the other field, or the keyword that made us choose that."""
    place = _place(difference)
    if not _asks(pair) or place is None:
        return False
    path = list(difference.path)
    elsewhere = [*path[:place], TWINS[path[place]]]
    other = look(made, path[: place + 1]) is MISSING
    chosen = other != (look(made, elsewhere) is MISSING)
    if place == len(path) - 1 and difference.verb != "equals":
        return chosen
    if {*_keywords(path[place + 1 :])} & {*SAYS_LITTLE, "$defs", "$ref"}:
        return chosen and (other or _says_as_much(difference, made))
    if other:
        path[: place + 1] = elsewhere
    found = look(made, path)
    if path[-1] in ("type", "nullable"):
        kinds = look(made, (*path[:-1], "type"))
        kinds = kinds if isinstance(kinds, list) else [kinds]
        return chosen and ("null" if path[-1] == "nullable" else str(difference.wanted).lower()) in kinds
    return chosen and alike(_plain(difference.wanted), _plain(found))


def _says_as_much(difference: Difference, made: Any) -> bool:
    """In the field that the peer has chosen, too: we say more, or in the description, or what the subset cannot say."""
    path, wanted, found = difference.path, difference.wanted, difference.found
    if difference.verb in ("absent", "absent_or_null") or wanted is MISSING:
        return True
    described = look(made, (*path[:-1], "description"))
    if path[-1] in ("description", "format"):
        return isinstance(described, str) and str(wanted) in described
    whole = any(step in path for step in ("responseJsonSchema", "parametersJsonSchema"))
    return found is MISSING and not whole and look(made, path[:-1]) is not MISSING


def _keywords(path: list[Any]) -> list[Any]:
    """The steps that are no names of a schema's own properties."""
    return [step for before, step in zip([None, *path], path, strict=False) if before != "properties"]


def in_each_option(pair: dict[str, Any], difference: Difference, made: Any) -> bool:
    """Beside anyOf Google takes words only."""
    path = difference.path
    for place in range(len(path), 0, -1):
        options = look(made, (*path[:place], "anyOf"))
        if options is not MISSING and _place(difference) is not None:
            found = [look(option, path[place:]) for option in options]
            return bool(found) and all(VERBS[difference.verb](one, difference.wanted) for one in found)
    return False


def _asks(pair: dict[str, Any]) -> bool:
    return str(pair.get("direction", "")).startswith("openai_request")


def _place(difference: Difference) -> int | None:
    return next((place for place, step in enumerate(difference.path) if step in SCHEMA_FIELDS), None)


def _plain(schema: Any) -> Any:
    """A schema without what says little, types in lower case."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema.lower() if isinstance(schema, str) else schema
    return {name: _plain(value) for name, value in schema.items() if name not in SAYS_LITTLE}
