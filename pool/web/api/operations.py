"""What a route takes and answers, said once: checked at its door, and told in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, get_args, get_origin

from flask import Response, abort, request
from pydantic import BaseModel, ConfigDict, ValidationError

from pool.core.faults import Fault
from pool.web.api import api
from pool.web.api.answers import MOST_BODY_BYTES, asked

JSON = "application/json"
MOST_NUMBER = 2**63
DEEPEST = 20
"""Lists and objects within each other, where a program may send what it likes."""

"""Beyond, a number fits in no column of either database."""

View = Callable[..., Response]


class Asked(BaseModel):
    """What a request carries, in its body or its query. A member that nobody knows is a mistake somebody made."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Told(BaseModel):
    """What an answer carries: told in the document, and held against the answers by the tests."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Shapes:
    """Several bodies that one address takes; `choose` says which of them a request means, by the names it uses."""

    models: tuple[type[BaseModel], ...]
    choose: Callable[[Mapping[str, Any]], type[BaseModel]]


Body = type[BaseModel] | Shapes


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One method of one address, as the document tells it: see `operation`."""

    method: str
    path: str
    view: View
    tag: str
    summary: str
    description: str
    body: Body | None
    query: type[BaseModel] | None
    answers: Mapping[int, Any]
    media: Sequence[str] = (JSON,)
    takes: Sequence[str] = (JSON,)
    example: Mapping[str, Any] | None = None

    @property
    def endpoint(self) -> str:
        return f"{self.method.lower()} {self.path}".replace(".", "_")


OPERATIONS: list[Operation] = []
"""Every operation that is told, in the order they were written down."""


def operation(
    method: str,
    path: str,
    *,
    tag: str,
    summary: str,
    body: Body | None = None,
    query: type[BaseModel] | None = None,
    answers: Mapping[int, Any] | None = None,
    media: Sequence[str] = (JSON,),
    takes: Sequence[str] = (JSON,),
    example: Mapping[str, Any] | None = None,
    most_bytes: int = MOST_BODY_BYTES,
) -> Callable[[View], View]:
    """Make a view the answer to a method of an address.

    It is called with the address's variables, and with `body` and `query`, checked, where their models are given.
    Its docstring is told as the description.

    answers: the model of each status; any type pydantic knows will do (`A | B`, `list[A]`), and None stands for no
    JSON. media: what the good answers come as; what is not JSON is told as bytes.
    body: a model, or `Shapes` of several. One without a required member may be left out by the client.
    takes: what the request's body may come as. A body that comes as anything but JSON is the view's own to read: it is
    called with `body=None`, or without it where there is no model.
    example: a body for the document; else one is made up from the model.
    """

    def add(view: View) -> View:
        def answer_it(**variables: Any) -> Response:
            if any("\0" in each for each in variables.values() if isinstance(each, str)):
                abort(404)
            if query is not None:
                variables["query"] = checked(query, _query_of(query))
            if body is not None:
                variables["body"] = _body_of(body, takes, most_bytes)
            return view(**variables)

        told = Operation(
            method, path, view, tag, summary, cleandoc(view.__doc__ or ""),
            body, query, answers or {200: None}, media, takes, example,
        )  # fmt: skip
        api.add_url_rule(path, told.endpoint, answer_it, methods=[method])
        OPERATIONS.append(told)
        return view

    return add


def _body_of(body: Body, takes: Sequence[str], most_bytes: int) -> Any:
    """The body as its model has it; None where it comes as something else that is taken, too."""
    if request.mimetype != JSON and request.mimetype in takes:
        return None
    given = asked(most_bytes, optional=not needed(body))
    return checked(body.choose(given) if isinstance(body, Shapes) else body, given)


def needed(body: Body) -> bool:
    """Has it a member that must be there?"""
    models = body.models if isinstance(body, Shapes) else (body,)
    return all(any(field.is_required() for field in model.model_fields.values()) for model in models)


def checked(model: type[BaseModel], given: Any) -> Any:
    """What was given, as its model has it. Raises `Fault` 400 that names the first field at fault."""
    try:
        value = model.model_validate(given)
    except ValidationError as error:
        raise _fault(error, given) from None
    _storable(value, ())
    return value


def too_deep(value: Any, left: int = DEEPEST) -> bool:
    """Are more lists and objects within each other than a database stores, and an answer can tell?"""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return inner is not None and (not left or any(too_deep(each, left - 1) for each in inner))


def _storable(value: Any, place: tuple[Any, ...]) -> None:
    """Raises `Fault` 400 for what a database would choke on: a text with a NUL, a number of more than 64 bits."""
    match value:
        case str():
            if "\0" in value:
                raise _unstorable(place, "holds a character that cannot be stored")
        case bool():
            pass
        case int() | float():
            if not -MOST_NUMBER <= value < MOST_NUMBER:
                raise _unstorable(place, "is too large a number")
        case BaseModel():
            for name, each in value:
                _storable(each, (*place, name))
            for name, each in (value.model_extra or {}).items():
                _storable(each, (*place, name))
        case Mapping():
            for name, each in value.items():
                _storable(name, (*place, "…"))
                _storable(each, (*place, name))
        case list() | tuple() | set() | frozenset():
            for n, each in enumerate(value):
                _storable(each, (*place, n))


def _unstorable(place: Sequence[Any], what: str) -> Fault:
    path = _path(place)
    return Fault(400, "invalid_value", f"`{path}` {what}.", param=path, retryable=False)


def _query_of(model: type[BaseModel]) -> dict[str, Any]:
    """The query's members; one that may stand several times is a list."""
    several = {field.alias or name for name, field in model.model_fields.items() if _several(field.annotation)}
    return {name: values if name in several else values[-1] for name, values in request.args.lists()}


def _several(kind: Any) -> bool:
    return get_origin(kind) is list or any(_several(each) for each in get_args(kind))


_CODES = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}


def _fault(error: ValidationError, given: Any) -> Fault:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    first = found[0]
    kind = first["type"]
    path = _path(_places(first["loc"], given, kind == "missing"))
    code = _CODES.get(kind) or ("invalid_type" if kind.endswith(("_type", "_parsing")) else "invalid_value")
    if kind == "missing":
        message = f"`{path}` is missing."
    elif kind == "extra_forbidden":
        message = f"There is no `{path}` here."
    else:
        said = first["msg"].removeprefix("Value error, ")
        message = f"`{path}`: {said[:1].lower()}{said[1:].rstrip('.')}." if path else f"{said.rstrip('.')}."
    wrong = {_path(_places(each["loc"], given, each["type"] == "missing")): None for each in found}
    more = {"errors": list(wrong)} if len(wrong) > 1 else None
    return Fault(400, code, message, param=path or None, retryable=False, details=more)


def _places(found: Sequence[Any], given: Any, missing: bool) -> list[Any]:
    """Where in what was given something is wrong, without the names of the types that were tried there."""
    places = []
    for n, place in enumerate(found):
        if place in given if isinstance(given, Mapping) else isinstance(given, list) and isinstance(place, int):
            given = given[place]
            places.append(place)
        elif missing and n == len(found) - 1:
            places.append(place)
    return places


def _path(places: Sequence[Any]) -> str:
    """`keys[3].weight`."""
    text = ""
    for place in places:
        text += f"[{place}]" if isinstance(place, int) else f".{place}" if text else str(place)
    return text
