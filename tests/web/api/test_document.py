"""The OpenAPI document is valid, and tells every route there is, and none besides."""

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import Field

from pool.web.api.document import TAGS, describe, document, template
from pool.web.api.examples import sample
from pool.web.api.operations import OPERATIONS, Asked, Operation, Shapes, checked
from tests.house import PASSWORD

by_name = pytest.mark.parametrize("each", OPERATIONS, ids=lambda each: each.endpoint)


def test_it_is_valid():
    assert [error.message for error in OpenAPIV31SpecValidator(document()).iter_errors()] == []


def test_it_is_served_to_admins(house, passwords):
    client = house.app.test_client()
    assert client.get("/admin/openapi.json").status_code == 401
    answer = client.get("/admin/openapi.json", headers={"X-Admin-Key": PASSWORD})
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json == document()


def test_every_route_is_in_it_and_nothing_else_is(house):
    told = {(method.upper(), path) for path, methods in document()["paths"].items() for method in methods}
    there = {
        (method, template(rule.rule))
        for rule in house.app.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert there - told == set(), "write these with @operation"
    assert told - there == set()


def test_no_address_is_told_twice_by_other_names():
    addresses = [re.sub(r"\{\w+\}", "{}", path) for path in document()["paths"]]
    assert len(set(addresses)) == len(addresses)
    assert len({(each.method, each.path) for each in OPERATIONS}) == len(OPERATIONS)


def test_every_name_in_it_is_one_that_a_generated_client_can_use():
    names = [each["operationId"] for methods in document()["paths"].values() for each in methods.values()]
    assert len(set(names)) == len(names)
    for name in [*names, *document()["components"]["schemas"]]:
        assert re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name), name
        # Two models of one name get the modules they are from in front.
        assert not name.startswith("pool__"), name


def test_every_tag_says_what_it_holds():
    assert {each.tag for each in OPERATIONS} <= set(TAGS)


@by_name
def test_an_operation_is_summed_up_in_a_line(each):
    assert 5 <= len(each.summary) <= 80
    assert not each.summary.endswith(".")


@by_name
def test_the_example_of_a_body_is_taken(each):
    if each.body is None:
        return
    told = document()["paths"][template(each.path)][each.method.lower()]["requestBody"]
    example = told["content"]["application/json"]["example"]
    checked(each.body.choose(example) if isinstance(each.body, Shapes) else each.body, example)


def test_what_is_told_of_an_operation():
    class Query(Asked):
        limit: int = Field(50, ge=1, description="The most.")
        tag: list[str] = Field(default_factory=list)
        state: str | None = None

    class Given(Asked):
        name: str = Field(examples=["research"])
        weight: int | None = None

    told = describe(
        [
            Operation("PUT", "/admin/things/<int:thing_id>", document, "keys", "Change it", "All of it.", Given, Query,
                      {200: Given, 202: None}, ("application/json", "text/csv"), ("application/json", "text/plain")),
            Operation("PATCH", "/admin/things/<int:thing_id>", document, "others", "Change it", "", None, None,
                      {200: None}),
        ]
    )  # fmt: skip
    path = told["paths"]["/admin/things/{thing_id}"]
    assert set(path) == {"put", "patch"}
    put = path["put"]
    assert (put["operationId"], path["patch"]["operationId"]) == ("document_put", "document_patch")
    assert put["parameters"] == [
        {"name": "thing_id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}},
        {"name": "limit", "in": "query", "required": False, "description": "The most.",
         "schema": {"default": 50, "minimum": 1, "type": "integer"}},
        {"name": "tag", "in": "query", "required": False,
         "schema": {"items": {"type": "string"}, "type": "array"}},
        {"name": "state", "in": "query", "required": False, "schema": {"type": "string"}},
    ]  # fmt: skip
    assert put["requestBody"] == {
        "required": False,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Given"}, "example": {"name": "research"}},
            "text/plain": {"schema": {"type": "string"}},
        },
    }
    assert put["responses"]["200"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/Given"}},
        "text/csv": {"schema": {"type": "string"}},
    }
    assert put["responses"]["401"] == {"$ref": "#/components/responses/Unauthorized"}
    assert "requestBody" not in path["patch"]
    assert path["patch"]["responses"]["200"] == {"description": "Done."}
    assert set(told["components"]["schemas"]) == {"Error", "Given", "Refusal"}
    assert [each["name"] for each in told["tags"]] == ["keys", "others"]


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "string", "examples": ["a", "b"]}, "a"),
        ({"type": "string", "minLength": 8}, "textxxxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"enum": ["one", "two"]}, "one"),
        ({"const": False}, False),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}, [{"id": 1}]),
        ({"type": "array"}, []),
        ({"type": "object", "properties": {n: {"type": "integer"} for n in "abcd"}}, {"a": 1, "b": 1, "c": 1}),
        ({}, {}),
    ],
)
def test_an_example_is_made_up_from_what_a_schema_says(schema, example):
    thing = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "more": {}}}
    assert sample(schema, {"Thing": thing}) == example
