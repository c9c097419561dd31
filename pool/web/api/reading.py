"""The OpenAPI document as people read it: operation by operation, each member of it on a line of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

import orjson

from pool.web.api.document import Schema, resolved
from pool.web.api.examples import sample

DEEPEST = 4
"""Levels of members within members that are told; below is what nobody reads in a list."""

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Member:
    """`name` is the path to it: `rows[].key`. `kind` as in TypeScript: `string | null`."""

    name: str
    kind: str
    needed: bool
    text: str
    default: str


@dataclass(frozen=True, slots=True)
class Part:
    """Members that travel together: in the `address`, the `query`, the `body`, or in an `answer` of a `status`."""

    place: str
    members: Sequence[Member]
    media: Sequence[str] = ()
    status: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """The operations of one tag."""

    tag: str
    text: str
    operations: Sequence[Described]


@dataclass(frozen=True, slots=True)
class Described:
    name: str
    method: str
    path: str
    summary: str
    text: Sequence[str]
    parts: Sequence[Part]
    curl: str

    @property
    def asked(self) -> list[Part]:
        return [part for part in self.parts if part.place != "answer"]

    @property
    def answers(self) -> list[Part]:
        return [part for part in self.parts if part.place == "answer"]


def pages(document: Mapping[str, Any], address: str) -> list[Page]:
    """Every tag with its operations; examples call `address`."""
    told = [
        (operation["tags"][0], _described(document, path, method, operation, address))
        for path, methods in document["paths"].items()
        for method, operation in sorted(methods.items(), key=lambda each: _METHODS.index(each[0]))
    ]
    return [
        Page(tag["name"], tag["description"], [each for name, each in told if name == tag["name"]])
        for tag in document["tags"]
    ]


def _described(
    document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any], address: str
) -> Described:
    components = document["components"]["schemas"]
    return Described(
        operation["operationId"],
        method.upper(),
        path,
        operation["summary"],
        operation.get("description", "").split("\n\n") if operation.get("description") else [],
        [*_asked(operation, components), *_answers(operation, components)],
        _curl(method.upper(), path, operation, components, address),
    )


def _asked(operation: Mapping[str, Any], components: Mapping[str, Schema]) -> Iterator[Part]:
    for place, where in (("address", "path"), ("query", "query")):
        members = [
            _member(each["name"], each["schema"], components, each["required"], each.get("description", ""))
            for each in operation.get("parameters", ())
            if each["in"] == where
        ]
        if members:
            yield Part(place, members)
    if "requestBody" in operation:
        yield _part("body", operation["requestBody"]["content"], components)


def _answers(operation: Mapping[str, Any], components: Mapping[str, Schema]) -> Iterator[Part]:
    """What is refused is told once, for all of them."""
    for status, told in operation["responses"].items():
        if "$ref" not in told:
            yield _part("answer", told.get("content", {}), components, status, told["description"])


def _part(
    place: str, content: Mapping[str, Any], components: Mapping[str, Schema], status: str = "", text: str = ""
) -> Part:
    schema = content.get("application/json", {}).get("schema", {})
    return Part(place, list(members(schema, components)), list(content), status, text)


def members(
    schema: Schema, components: Mapping[str, Schema], above: str = "", within: tuple[int, ...] = ()
) -> Iterator[Member]:
    """The members of an object, and those within them; of several objects a member is told once."""
    schema = resolved(schema, components)
    if id(schema) in within or len(within) >= DEEPEST:
        return
    within = (*within, id(schema))
    told: set[str] = set()
    for each in schema.get("anyOf", ()) or schema.get("oneOf", ()):
        for member in members(each, components, above, within[:-1]):
            if member.name not in told:
                told.add(member.name)
                yield member
    if "items" in schema:
        yield from members(schema["items"], components, f"{above}[]", within)
    needed = schema.get("required", ())
    for name, each in sorted(schema.get("properties", {}).items(), key=lambda each: each[0] not in needed):
        path = f"{above}.{name}" if above else name
        text = each.get("description", "")
        yield _member(path, each, components, name in needed, text)
        yield from members(each, components, path, within)


def _member(name: str, schema: Schema, components: Mapping[str, Schema], needed: bool, text: str) -> Member:
    told = text or resolved(schema, components).get("description", "")
    default = orjson.dumps(schema["default"]).decode() if schema.get("default") not in (None, "", [], {}) else ""
    return Member(name, kind(schema, components), needed, told, default)


def kind(schema: Schema, components: Mapping[str, Schema]) -> str:
    """The type in a few words."""
    match resolved(schema, components):
        case {"const": value}:
            return orjson.dumps(value).decode()
        case {"enum": values}:
            return " | ".join(orjson.dumps(value).decode() for value in values)
        case {"anyOf": several} | {"oneOf": several}:
            return " | ".join(dict.fromkeys(kind(each, components) for each in several))
        case {"type": "array", "items": dict(items)}:
            inner = kind(items, components)
            return f"({inner})[]" if "|" in inner else f"{inner}[]"
        case {"type": list(names)}:
            return " | ".join(names)
        case {"type": str(name)}:
            return name
    return "any"


def _curl(
    method: str, path: str, operation: Mapping[str, Any], components: Mapping[str, Schema], address: str
) -> str:
    """A call in the shell, with the password in a variable: what is typed there is written down."""
    filled, query = path, []
    for each in operation.get("parameters", ()):
        value = sample(each["schema"], components)
        if each["in"] == "path":
            filled = filled.replace(f"{{{each['name']}}}", str(value))
        elif each["required"]:
            query.append(f"{each['name']}={value}")
    url = address + filled + ("?" + "&".join(query) if query else "")
    lines = [f"curl {'' if method == 'GET' else f'-X {method} '}{quote(url)}"]
    if operation.get("security") != []:
        lines.append('-H "X-Admin-Key: $KEYPOOL_PASSWORD"')
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        body = orjson.dumps(content["application/json"]["example"]).decode()
        lines += ['-H "Content-Type: application/json"', f"-d {quote(body)}"]
    elif "multipart/form-data" in content:
        lines.append("-F file=@file")
    elif content:
        lines += [f'-H "Content-Type: {next(iter(content))}"', "--data-binary @file"]
    return " \\\n  ".join(lines)
