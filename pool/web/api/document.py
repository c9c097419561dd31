"""The OpenAPI document: what every operation takes and answers, for programs to read. `/admin/openapi.json`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from flask import Response
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from pool.version import VERSION
from pool.web.api import OPEN
from pool.web.api.examples import sample
from pool.web.api.operations import JSON, OPERATIONS, Operation, Shapes, needed, operation
from pool.web.here import aside
from pool.web.login import COOKIE

Schema = dict[str, Any]

REFS = "#/components/schemas/"

TAGS = {
    "keys": "Upstream credentials: one by one, and many at once.",
    "pools": "Named sets of keys, each with its own auth key, policy, models and limits.",
    "clients": "User keys: what a person or a program presents to Keypool, with limits of its own.",
    "providers": "Who is called: built in, and those you add.",
    "imports": "Keys by the thousand, looked at first, and taken back where that was a mistake.",
    "jobs": "Work that takes longer than a request: its progress, its result, its end.",
    "requests": "What clients asked, what became of it, and where a request would go.",
    "status": "How it stands now, and counting from 0 again.",
    "stats": "Figures of keys, models, pools and user keys.",
    "settings": "Everything that can be set while it runs.",
    "audit": "Who changed what, and when.",
    "export": "Everything in one file: to move it, to keep it, to bring it back; and moving in from other products.",
    "login": "A session for a program that would rather not send the password every time.",
    "compatible": "Addresses of predecessors that have no other form here, answered as their clients know it.",
    "about": "This document.",
}
"""What the operations are sorted by, in this order; others come after."""

ABOUT = """\
Everything the web pages do, as JSON. What a predecessor's client sends to its own addresses is understood and
answered in its words; the addresses below `/admin` are the clean form of the same things.

**Credential.** Send the admin password, or the token of a session, as `X-Admin-Key` or as `Authorization: Bearer …`.
A browser's cookie does, too, for our own pages. Whoever guesses is slowed down as at the sign-in.

**Bodies** are JSON objects. `PUT` and `PATCH` change what they name and nothing else. A member nobody knows is a
mistake somebody made: 400, with its name in `error.param`.

**Moments** are Unix seconds. **Secrets** are masked everywhere (`AIzaSyAb...wxyz`); a mask that is written back changes
nothing.

**Lists** take `limit` and `after`; the answer's `next` is the `after` of the page behind it, or null.

**Errors** have `success`, `message` and `error` with `message`, `type`, `code` and, where one is to blame, `param`; on
a predecessor's own routes `error` may be a text, as its clients know it. Every answer has an `X-Keypool-Request-Id`,
which the log has, too.
"""

_ERROR = {
    "type": "object",
    "description": "What went wrong; what belongs to the code stands beside it.",
    "required": ["message", "type", "code"],
    "properties": {
        "message": {"type": "string", "description": "What to do next."},
        "type": {"type": "string", "examples": ["invalid_request_error"]},
        "code": {"type": "string", "description": "Stable: made for programs.", "examples": ["invalid_value"]},
        "param": {"type": "string", "description": "The member of the body or query that is to blame."},
    },
}

_REFUSAL = {
    "type": "object",
    "description": "A refusal, in the union of the shapes that clients of the predecessors look for.",
    "anyOf": [{"required": ["error"]}, {"required": ["message"]}],
    "properties": {
        "success": {"const": False},
        "message": {"type": "string"},
        "error": {"anyOf": [{"$ref": REFS + "Error"}, {"type": "string"}]},
        "errors": {"type": "array", "description": "Where there is more than one to tell."},
    },
}

_REFUSED = {
    "401": ("Unauthorized", "No admin credential, or none that is valid."),
    "403": ("Forbidden", "A credential that opens nothing here, or a page of another site that asked."),
    "429": ("TooManyAttempts", "Too many attempts at the password; `Retry-After` says how long to wait."),
    "4XX": ("Refused", "This cannot be done; `error.code` says why, and `error.param` by which member."),
}


class _Plain(GenerateJsonSchema):
    """Without titles that only say a field's name again, and without defaults that only say "nothing"."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Schema:
        told = super().default_schema(schema)
        if told.get("default", 0) in (None, ""):
            del told["default"]
        return told


@operation("GET", "/admin/openapi.json", tag="about", summary="This document", answers={200: dict[str, Any]})
def openapi() -> Response:
    """Every operation of this API in OpenAPI 3.1."""
    named = {"Content-Disposition": 'attachment; filename="keypool.openapi.json"'}
    return Response(aside(_encoded), content_type=JSON, headers=named)


@cache
def _encoded() -> bytes:
    return orjson.dumps(document())


@cache
def document() -> dict[str, Any]:
    """The whole document. It takes a while to make, and is made once: it knows only code."""
    return describe(OPERATIONS)


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    schemas, components = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    names = _names(operations)
    for each in operations:
        paths.setdefault(template(each.path), {})[each.method.lower()] = {
            "operationId": names[each],
            **_operation(each, schemas, components),
        }
    tags = dict.fromkeys([*TAGS, *(each.tag for each in operations)])
    used = {each.tag for each in operations}
    refusals = {
        name: {"description": description, "content": {JSON: {"schema": {"$ref": REFS + "Refusal"}}}}
        for name, description in _REFUSED.values()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Keypool", "version": VERSION, "summary": "The management API", "description": ABOUT},
        "servers": [{"url": "/", "description": "Where this document came from."}],
        "security": [{"admin_key": []}, {"bearer": []}, {"cookie": []}],
        "tags": [{"name": tag, "description": TAGS.get(tag, "")} for tag in tags if tag in used],
        "paths": paths,
        "components": {
            "schemas": _reachable(components, [paths, refusals]),
            "responses": refusals,
            "securitySchemes": {
                "admin_key": {"type": "apiKey", "in": "header", "name": "X-Admin-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def template(path: str) -> str:
    """`/admin/keys/<int:key_id>` as `/admin/keys/{key_id}`."""
    return re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", path)


def _names(operations: Sequence[Operation]) -> dict[Operation, str]:
    """The name of each: that of its view, with the method where several share one."""
    views = [each.view for each in operations]
    return {
        each: f"{each.view.__name__}_{each.method.lower()}" if views.count(each.view) > 1 else each.view.__name__
        for each in operations
    }


def _models(each: Operation) -> Iterator[Any]:
    if each.query is not None:
        yield each.query
    if each.body is not None:
        yield from each.body.models if isinstance(each.body, Shapes) else (each.body,)
    yield from (model for model in each.answers.values() if model is not None)


def _schemas(operations: Sequence[Operation]) -> tuple[dict[int, Schema], dict[str, Schema]]:
    """The schema of every model, by the identity of the model; and those that have a name."""
    models = {id(model): model for each in operations for model in _models(each)}
    wanted = [(name, "validation", TypeAdapter(model)) for name, model in models.items()]
    found, named = TypeAdapter.json_schemas(
        wanted,  # type: ignore[arg-type]
        ref_template=REFS + "{model}",
        schema_generator=_Plain,
    )
    components = {"Error": _ERROR, "Refusal": _REFUSAL, **named.get("$defs", {})}
    return {name: schema for (name, _), schema in found.items()}, components


def _operation(each: Operation, schemas: Mapping[int, Schema], components: Mapping[str, Schema]) -> dict[str, Any]:
    told: dict[str, Any] = {"tags": [each.tag], "summary": each.summary}
    if each.description:
        told["description"] = each.description
    parameters = [*_variables(each.path), *_query(each.query, schemas, components)]
    if parameters:
        told["parameters"] = parameters
    body = _body(each, schemas, components)
    if body:
        told["requestBody"] = body
    told["responses"] = _responses(each, schemas)
    if f"api.{each.endpoint}" in OPEN:
        told["security"] = []
    return told


def _variables(path: str) -> Iterator[dict[str, Any]]:
    for kind, name in re.findall(r"<(?:([^:<>]+):)?(\w+)>", path):
        schema = {"type": "integer", "minimum": 0} if kind == "int" else {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query(
    model: type[BaseModel] | None, schemas: Mapping[int, Schema], components: Mapping[str, Schema]
) -> Iterator[dict[str, Any]]:
    if model is None:
        return
    schema = resolved(schemas[id(model)], components)
    for name, each in schema.get("properties", {}).items():
        told = {"name": name, "in": "query", "required": name in schema.get("required", ())}
        description = each.get("description")
        if description:
            told["description"] = description
        yield {**told, "schema": _sent(each)}


def _sent(schema: Schema) -> Schema:
    """What a query can say of it: nothing there is null but what is left out."""
    rest = {name: value for name, value in schema.items() if name != "description"}
    kinds = [each for each in rest.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) == 1:
        return {**{name: value for name, value in rest.items() if name != "anyOf"}, **kinds[0]}
    return {**rest, "anyOf": kinds} if kinds else rest


def _body(each: Operation, schemas: Mapping[int, Schema], components: Mapping[str, Schema]) -> dict[str, Any] | None:
    content: dict[str, Any] = {
        media: {"schema": {"type": "object"} if media.startswith("multipart/") else _bytes(media)}
        for media in each.takes
        if media != JSON
    }
    if each.body is not None:
        models = each.body.models if isinstance(each.body, Shapes) else (each.body,)
        several = [schemas[id(model)] for model in models]
        schema = several[0] if len(several) == 1 else {"anyOf": several}
        example = each.example if each.example is not None else sample(schema, components)
        content = {JSON: {"schema": schema, "example": example}, **content}
    if not content:
        return None
    return {"required": each.body is not None and needed(each.body) and len(content) == 1, "content": content}


def _responses(each: Operation, schemas: Mapping[int, Schema]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(status): {"description": _said(status), **_content(model, each.media, schemas)}
        for status, model in each.answers.items()
    }
    for status, (name, _description) in _REFUSED.items():
        responses.setdefault(status, {"$ref": f"#/components/responses/{name}"})
    return responses


def _said(status: int) -> str:
    match status:
        case 201:
            return "Made."
        case 202:
            return "Begun: a job goes on with it."
        case status if status >= 400:
            return "Refused."
    return "Done."


def _content(model: Any, media: Sequence[str], schemas: Mapping[int, Schema]) -> dict[str, Any]:
    others = {each: {"schema": _bytes(each)} for each in media if each != JSON}
    told = {}
    if model is not None or (others and JSON in media):
        told[JSON] = {"schema": schemas[id(model)] if model is not None else {}}
    return {"content": {**told, **others}} if told or others else {}


def _bytes(media: str) -> Schema:
    """What is no JSON: text, or bytes that JSON Schema says nothing of."""
    return {"type": "string"} if media.startswith("text/") else {}


def resolved(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    """What a reference refers to; any other schema as it is."""
    reference = schema.get("$ref")
    return components[reference.removeprefix(REFS)] if isinstance(reference, str) else schema


def _reachable(components: Mapping[str, Schema], paths: Any) -> dict[str, Schema]:
    """The schemas somebody refers to: those of queries are told as parameters."""
    found: dict[str, Schema] = {}
    todo = list(_references(paths))
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = components[name]
            todo += _references(components[name])
    return dict(sorted(found.items()))


def _references(value: Any) -> Iterator[str]:
    match value:
        case {"$ref": str(reference)}:
            if reference.startswith(REFS):
                yield reference.removeprefix(REFS)
        case dict():
            for each in value.values():
                yield from _references(each)
        case list():
            for each in value:
                yield from _references(each)
