"""The document as people read it: a line a member, and a call they can copy."""

import shlex

import pytest

from pool.web.api.document import document
from pool.web.api.reading import kind, members, pages

THING = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "note": {"type": "string", "default": "none", "description": "What one should know."},
        "id": {"type": "integer"},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
        "owner": {"anyOf": [{"$ref": "#/components/schemas/Owner"}, {"type": "null"}]},
    },
}
OWNER = {"type": "object", "description": "Whose it is.", "properties": {"name": {"type": "string"}}}
COMPONENTS = {"Thing": THING, "Owner": OWNER}


def test_members_are_told_with_the_path_to_them_and_those_that_must_be_there_first():
    told = list(members(THING, COMPONENTS))
    assert [each.name for each in told] == ["id", "note", "parts", "owner", "owner.name"]
    assert [each.needed for each in told] == [True, False, False, False, False]
    assert (told[1].kind, told[1].text, told[1].default) == ("string", "What one should know.", '"none"')
    assert (told[3].kind, told[3].text) == ("object | null", "")


def test_what_holds_itself_is_told_once():
    deep = {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}
    assert [each.name for each in members(deep, COMPONENTS)][:3] == ["[].id", "[].note", "[].parts"]


def test_of_several_shapes_each_member_is_told_once():
    either = {"anyOf": [OWNER, {"type": "object", "properties": {"name": {"type": "string"}, "key": {}}}]}
    assert [each.name for each in members(either, COMPONENTS)] == ["name", "key"]


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, "string"),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({"const": False}, "false"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer | null"),
        ({"type": "array", "items": {"type": "string"}}, "string[]"),
        ({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}}, "(integer | string)[]"),
        ({"$ref": "#/components/schemas/Owner"}, "object"),
        ({}, "any"),
    ],
)
def test_a_type_is_told_in_a_few_words(schema, text):
    assert kind(schema, COMPONENTS) == text


def test_every_operation_stands_on_the_page_of_its_tag():
    told = pages(document(), "https://pool.example")
    operations = [each for methods in document()["paths"].values() for each in methods.values()]
    assert sorted(each.name for page in told for each in page.operations) == sorted(
        each["operationId"] for each in operations
    )


def test_every_call_is_one_line_of_shell_to_an_address_without_gaps():
    for page in pages(document(), "https://pool.example"):
        for each in page.operations:
            words = shlex.split(each.curl)
            assert words[0] == "curl"
            assert sum(word.startswith("https://pool.example/") for word in words) == 1, each.curl
            assert "{" not in "".join(word for word in words if word.startswith("https")), each.curl
            assert ("-X" not in words) == (each.method == "GET")
