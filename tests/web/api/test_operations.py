"""What an operation takes is checked at its door, and what is wrong with it is named."""

import pytest
from flask import Flask
from pydantic import Field, StrictInt

from pool.core.faults import Fault
from pool.web.api import operations
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Shapes, checked, needed


class Row(Asked):
    key: str
    weight: int = Field(1, ge=0, le=100)


class Many(Asked):
    rows: list[Row] = Field(default_factory=list)
    pool: StrictInt | str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    until: float | None = None


class One(Asked):
    apiKey: str


def fault_of(model, given):
    with pytest.raises(Fault) as raised:
        checked(model, given)
    assert raised.value.status == 400
    return raised.value


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ({"rows": [{"key": "a"}, {}]}, "missing_required_parameter", "rows[1].key"),
        ({"rows": [{"key": 7}]}, "invalid_type", "rows[0].key"),
        ({"rows": [{"key": "a", "weight": 101}]}, "invalid_value", "rows[0].weight"),
        ({"rows": {}}, "invalid_type", "rows"),
        ({"rowz": []}, "unknown_parameter", "rowz"),
        ({"rows": [{"key": "a", "wieght": 1}]}, "unknown_parameter", "rows[0].wieght"),
        ({"pool": 1.5}, "invalid_type", "pool"),
        ({"tags": {"a": 1}}, "invalid_type", "tags.a"),
    ],
)
def test_the_member_at_fault_is_named_by_the_path_to_it(given, code, param):
    fault = fault_of(Many, given)
    assert (fault.code, fault.param) == (code, param)
    assert f"`{param}`" in fault.message


def test_of_several_mistakes_all_are_named_and_the_first_is_explained():
    fault = fault_of(Many, {"rows": [{"key": 7}, {}], "pool": [], "more": 1})
    assert fault.param == "rows[0].key"
    assert fault.details == {"errors": ["rows[0].key", "rows[1].key", "pool", "more"]}


def test_what_was_sent_is_not_said_again():
    fault = fault_of(Many, {"rows": [{"key": ["AIzaSySecret"]}], "until": "AIzaSySecret"})
    assert "Secret" not in f"{fault.message} {fault.details}"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"rows": [{"key": "a\0b"}]}, "rows[0].key"),
        ({"pool": 2**63}, "pool"),
        ({"pool": "a\0"}, "pool"),
        ({"until": 1e300}, "until"),
        ({"until": "nan"}, "until"),
        ({"tags": {"a": "\0"}}, "tags.a"),
        ({"tags": {"\0": "a"}}, "tags.…"),
    ],
)
def test_what_no_database_can_hold_is_a_mistake_of_who_sent_it(given, param):
    fault = fault_of(Many, given)
    assert (fault.code, fault.param) == ("invalid_value", param)
    assert "\0" not in fault.message


def test_a_body_may_be_left_out_only_where_every_member_may():
    assert needed(Row)
    assert not needed(Many)
    assert needed(Shapes((Row, One), lambda given: One))
    assert not needed(Shapes((Row, Many), lambda given: Many))


@pytest.fixture
def told(monkeypatch):
    """An app with operations that say back what they were called with."""
    app, made = Flask("told"), []
    monkeypatch.setattr(operations, "OPERATIONS", made)
    monkeypatch.setattr(operations, "api", app)
    app.register_error_handler(Fault, lambda fault: (fault.message, fault.status))

    def tell(path="/told", method="POST", **options):
        @operations.operation(method, path, tag="keys", summary="Say it back", **options)
        def say(**called):
            """One paragraph.

            Another one.
            """
            return answer({name: repr(value) for name, value in called.items()})

        return app.test_client()

    tell.made = made
    return tell


def test_a_view_is_called_with_the_addresss_variables_body_and_query_checked(told):
    class Query(Asked):
        limit: int = 10
        tag: list[str] = Field(default_factory=list)

    client = told("/told/<name>", body=Row, query=Query)
    said = client.post("/told/me?limit=3&tag=a&tag=b", json={"key": "k"}).json
    assert said == {
        "name": "'me'",
        "body": "Row(key='k', weight=1)",
        "query": "Query(limit=3, tag=['a', 'b'])",
    }
    assert client.post("/told/me?limit=few", json={"key": "k"}).status_code == 400
    assert client.post("/told/me?offset=1", json={"key": "k"}).text == "There is no `offset` here."
    assert client.post("/told/a%00b", json={"key": "k"}).status_code == 404


def test_of_several_bodies_the_names_in_it_decide(told):
    client = told(body=Shapes((Row, One), lambda given: One if "apiKey" in given else Row))
    assert client.post("/told", json={"apiKey": "k"}).json["body"] == "One(apiKey='k')"
    assert client.post("/told", json={"key": "k"}).json["body"] == "Row(key='k', weight=1)"
    assert client.post("/told", json={}).text == "`key` is missing."


def test_a_body_in_another_form_is_the_views_own_to_read(told):
    client = told(body=Row, takes=("application/json", "text/plain"))
    assert client.post("/told", data="lines", content_type="text/plain").json["body"] == "None"
    assert client.post("/told", data='{"key": "k"}', content_type="text/plain; charset=utf-8").json["body"] == "None"
    # What is not taken is read as JSON: many a client forgets to say so.
    for kind in ("application/json", "application/x-www-form-urlencoded", ""):
        assert client.post("/told", data='{"key": "k"}', content_type=kind).json["body"] != "None"
    assert client.post("/told", data="<key/>", content_type="text/xml").status_code == 400


def test_its_docstring_is_its_description(told):
    told()
    assert [each.description for each in told.made] == ["One paragraph.\n\nAnother one."]
