"""The rules of carrying OpenAI's requests over to Gemini that take more than one example."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pool.core.calls import GEMINI, OPENAI, Call
from pool.core.dialects import ConversionSettings, codec_for
from pool.core.dialects.gemini import schema
from pool.core.faults import Fault

PLAIN = ConversionSettings(safety_preset="google_default")


def call_of(payload: dict[str, Any], operation: str = "chat") -> Call:
    payload = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "x"}]} | payload
    return Call("r1", OPENAI, operation, payload["model"], bool(payload.get("stream")), orjson.dumps(payload), payload)


def sent(payload: dict[str, Any], conversion: ConversionSettings = PLAIN) -> dict[str, Any]:
    call = call_of(payload)
    return json.loads(codec_for(OPENAI, GEMINI, "chat", conversion).ask(call, call.model).body)


def thinking(payload: dict[str, Any], **settings: Any) -> Any:
    body = sent(payload, ConversionSettings(safety_preset="google_default", **settings))
    return body.get("generationConfig", {}).get("thinkingConfig")


# -- thinking ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "minimal", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-flash", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-3-pro-preview", "none", {"thinkingLevel": "low"}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "medium", "includeThoughts": True}),
        ("gemini-3-flash-preview", "none", {"thinkingLevel": "minimal"}),
        ("gemini-3.10-flash", "high", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-flash-latest", "low", {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-2.0-flash", "high", None),
        ("gemma-3-27b-it", "high", None),
        ("gemini-2.5-flash", "heroic", None),
        ("gemini-2.5-flash", None, None),
    ],
)
def test_effort_is_said_in_the_models_own_way(model: str, effort: Any, config: Any) -> None:
    assert thinking({"model": model, "reasoning_effort": effort}) == config


def test_settings_speak_where_the_request_is_silent() -> None:
    assert thinking({}, thinking_enabled=False) == {"thinkingBudget": 0}
    assert thinking({}, thinking_budget=500, include_thoughts=True) == {"thinkingBudget": 500, "includeThoughts": True}
    assert thinking({}, thinking_budget=-1) is None
    assert thinking({"model": "gemini-2.5-pro"}, thinking_budget=1) == {"thinkingBudget": 128}
    assert thinking({"reasoning_effort": "low"}, thinking_enabled=False)["thinkingBudget"] == 1024
    assert thinking({"model": "gemini-2.0-flash"}, thinking_enabled=False) is None


def test_googles_own_words_win() -> None:
    google = {"google": {"thinking_config": {"thinking_budget": 3}, "temperature": 0.1}}
    body = sent({"reasoning_effort": "high", "temperature": 0.9, **google})
    assert body["generationConfig"] == {"temperature": 0.1, "thinkingConfig": {"thinkingBudget": 3}}


# -- messages ----------------------------------------------------------------------------------------------


def test_the_first_gemmas_get_their_instructions_in_the_first_turn() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "x"}]
    body = sent({"model": "gemma-3-27b-it", "messages": messages})
    assert "systemInstruction" not in body
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Be brief."}, {"text": "x"}]}]
    assert sent({"model": "gemma-3-4b-it", "messages": messages[:1]})["contents"][0]["parts"] == [{"text": "Be brief."}]


def test_an_address_is_fetched_by_whoever_can() -> None:
    conversion = ConversionSettings(resolve=lambda url: ("image/gif", url.encode()))
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a"}}
    body = sent({"messages": [{"role": "user", "content": [part]}]}, conversion)
    inline = body["contents"][0]["parts"][0]["inlineData"]
    assert inline == {"mimeType": "image/gif", "data": "aHR0cHM6Ly9leGFtcGxlLm9yZy9h"}


def test_a_picture_in_a_tools_result_stands_beside_it() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    call = {"id": "c", "type": "function", "function": {"name": "shot", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "see"}, picture]},
    ]
    parts = sent({"messages": messages})["contents"][2]["parts"]
    assert parts[0]["functionResponse"]["response"] == {"result": "see"}
    assert parts[1]["inlineData"]["mimeType"] == "image/png"


def test_only_gemini_3_is_told_that_a_signature_was_lost() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]
    for model, signed in (("gemini-2.5-pro", False), ("gemini-3-pro-preview", True), ("gemini-3.5-flash", True)):
        part = sent({"model": model, "messages": messages})["contents"][1]["parts"][0]
        assert ("thoughtSignature" in part) is signed


@pytest.mark.parametrize("content", [5, {}, [5], [{"type": "text"}], [{"type": "text", "text": None}]])
@pytest.mark.parametrize("role", ["user", "system", "assistant"])
def test_content_of_no_known_shape_names_its_place(role: str, content: Any) -> None:
    with pytest.raises(Fault) as raised:
        sent({"messages": [{"role": role, "content": content}]})
    assert raised.value.status == 400
    assert str(raised.value.param).startswith("messages[0].content")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = [
    *("messages", "tools", "tool_choice", "response_format", "stop", "n", "modalities", "audio", "google"),
    *("extra_body", "functions", "reasoning_effort", "web_search_options", "stream_options", "generationConfig"),
]


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4))
def test_whatever_a_client_sends_is_carried_or_refused(payload: dict[str, Any]) -> None:
    try:
        sent(payload)
    except Fault as fault:
        assert (fault.status, bool(fault.param)) == (400, True)


WORDS = ["type", "role", "content", "text", "tool_calls", "function", "name", "arguments", "id", "image_url", "url"]
SHAPED = st.recursive(
    st.none() | st.sampled_from(["user", "assistant", "tool", "system", "text", "image_url", "function", "{}", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(WORDS), SHAPED, max_size=5), min_size=1, max_size=3))
def test_whatever_the_messages_are_they_are_carried_or_refused(messages: list[Any]) -> None:
    try:
        sent({"messages": messages})
    except Fault as fault:
        assert str(fault.param).startswith("messages")


# -- schemas -----------------------------------------------------------------------------------------------

KNOWN = {
    *("type", "format", "title", "description", "nullable", "enum", "properties", "required", "items", "anyOf"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength", "pattern"),
    *("minimum", "maximum", "propertyOrdering"),
}
KNOWN_IN_FULL = (KNOWN - {"nullable"}) | {"$ref", "$defs", "oneOf", "prefixItems", "additionalProperties"}

TYPE = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null", ["string", "null"]])
LEAF = st.fixed_dictionaries(
    {},
    optional={
        "type": TYPE,
        "const": st.sampled_from(["a", 1, True, None]),
        "enum": st.lists(st.sampled_from(["a", "", 2, None]), max_size=3),
        "format": st.sampled_from(["uri", "date-time"]),
        "default": st.none(),
        "$schema": st.just("x"),
        "$ref": st.sampled_from(["#/$defs/A", "#/$defs/B", "#"]),
        "exclusiveMinimum": st.just(3),
        "not": st.just({}),
    },
)
SCHEMAS = st.recursive(
    LEAF,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": TYPE,
            "properties": st.dictionaries(st.sampled_from(["$ref", "type", "a", "b"]), inner, max_size=3),
            "required": st.lists(st.sampled_from(["a", "b", "zz"]), max_size=2),
            "items": inner,
            "anyOf": st.lists(inner, max_size=3),
            "allOf": st.lists(inner, max_size=3),
            "additionalProperties": st.booleans() | inner,
            "prefixItems": st.lists(inner, max_size=2),
        },
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(SCHEMAS, SCHEMAS, SCHEMAS)
def test_any_schema_ends_up_in_words_google_knows(root: Any, one: Any, two: Any) -> None:
    root = {**root, "$defs": {"A": one, "B": two}}
    for model in ("gemini-1.5-flash", "gemini-2.5-flash", "gemini-3-flash-preview"):
        try:
            made = schema.as_gemini(root, "where", model)
        except Fault as fault:
            # A schema that is nothing but a reference to itself, or has no end where the model knows no references.
            assert fault.code == "invalid_schema"
            continue
        if made.full:
            assert model != "gemini-1.5-flash"
            assert set(_keywords(made.schema)) <= KNOWN_IN_FULL
            _refers_alone(made.schema)
        else:
            _is_known(made.schema)


def _refers_alone(written: Any) -> None:
    """Beside a $ref Google takes nothing but what begins with $."""
    if isinstance(written, dict):
        if isinstance(written.get("$ref"), str):
            assert all(key.startswith("$") for key in written)
        for inner in written.values():
            _refers_alone(inner)
    elif isinstance(written, list):
        for inner in written:
            _refers_alone(inner)


def _is_known(written: Any) -> None:
    assert isinstance(written, dict)
    assert set(written) <= KNOWN
    assert set(written.get("required", ())) <= set(written.get("properties", ()))
    assert all(isinstance(value, str) and value for value in written.get("enum", ()))
    assert written.get("type") != "array" or written["items"]
    for inner in (*written.get("properties", {}).values(), *written.get("anyOf", ())):
        _is_known(inner)
    if "items" in written:
        _is_known(written["items"])


def _keywords(written: Any) -> list[str]:
    if isinstance(written, list):
        return [word for inner in written for word in _keywords(inner)]
    if not isinstance(written, dict):
        return []
    words = list(written)
    for key, value in written.items():
        named = key in ("properties", "$defs") and isinstance(value, dict)
        words += _keywords(list(value.values()) if named else value)
    return words


def as_full(root: dict[str, Any], model: str = "gemini-2.5-flash") -> Any:
    made = schema.as_gemini(root, "where", model)
    assert made.full
    return made.schema


def test_a_schema_that_explodes_when_written_out_keeps_its_references() -> None:
    defs = {
        f"L{n}": {"type": "object", "properties": {k: {"$ref": f"#/$defs/L{n + 1}"} for k in "abcd"}} for n in range(9)
    }
    root = {"$ref": "#/$defs/L0", "$defs": {**defs, "L9": {"type": "string"}}}
    assert schema.as_gemini(root, "where", "gemini-2.5-flash").full
    with pytest.raises(Fault) as raised:
        schema.as_gemini(root, "where", "gemma-3-27b-it")
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, "invalid_schema", "where")


NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "name": {"type": "string"}}}
STRICT = {"required": ["next", "name"], "additionalProperties": False}


def test_a_cycle_is_kept_in_properties_that_may_be_left_out() -> None:
    root = {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/Node"}},
        "required": ["tree"],
        "$defs": {"Node": {**NODE, **STRICT}},
    }
    made = as_full(root)
    assert made["required"] == ["tree"]
    assert made["$defs"]["Node"]["required"] == ["name"]
    assert made["$defs"]["Node"]["properties"]["next"] == {"$ref": "#/$defs/Node"}


def test_a_cycle_over_several_definitions_and_lists_is_one_as_well() -> None:
    root = {
        "$ref": "#/definitions/A",
        "definitions": {
            "A": {"properties": {"all": {"type": "array", "items": {"$ref": "#/definitions/B"}}}, "required": ["all"]},
            "B": {"properties": {"a": {"$ref": "#/definitions/A"}, "n": {"type": "null"}}, "required": ["a", "n"]},
        },
    }
    made = as_full(root)
    assert made["$ref"] == "#/$defs/A"
    assert "required" not in made["$defs"]["A"]
    assert made["$defs"]["B"]["required"] == ["n"]
    assert made["$defs"]["A"]["properties"]["all"]["items"] == {"$ref": "#/$defs/B"}


def test_a_schema_without_an_end_is_refused_where_the_model_knows_no_references() -> None:
    for model in ("gemini-1.5-pro", "gemma-3-27b-it", "tuned"):
        with pytest.raises(Fault) as raised:
            schema.as_gemini({"$ref": "#/$defs/Node", "$defs": {"Node": NODE}}, "tools[0].function.parameters", model)
        assert raised.value.param == "tools[0].function.parameters"
        assert model in raised.value.message


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-flash-preview"])
@pytest.mark.parametrize("reference", ["#", "#/$defs/A"])
def test_a_reference_to_nothing_but_itself_is_refused(reference: str, model: str) -> None:
    with pytest.raises(Fault) as raised:
        schema.as_gemini({"$ref": reference, "$defs": {"A": {"$ref": "#/$defs/A"}}}, "where", model)
    assert raised.value.code == "invalid_schema"


def test_words_beside_a_reference_go_into_what_it_refers_to() -> None:
    root = {
        "type": "object",
        "properties": {"size": {"$ref": "#/$defs/Size", "description": "How large"}, "same": {"$ref": "#/$defs/Size"}},
        "$defs": {"Size": {"type": "string", "enum": ["s", "l"]}},
    }
    properties = as_full(root, "gemini-3-pro-preview")["properties"]
    assert properties["size"] == {"type": "string", "enum": ["s", "l"], "description": "How large"}
    assert properties["same"] == {"$ref": "#/$defs/Size"}


@pytest.mark.parametrize(
    ("stated", "written"),
    [
        ({"const": 5}, {"type": "integer", "enum": [5]}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}),
        ({"type": ["integer", "null"], "exclusiveMaximum": 9}, {"type": ["integer", "null"], "maximum": 8}),
        ({"type": "number", "exclusiveMaximum": 2.5}, {"type": "number", "maximum": 2.5}),
        ({"type": "string", "format": "email"}, {"type": "string", "description": "Format: email"}),
        ({"type": "integer", "format": "int64"}, {"type": "integer"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "object", "properties": {}, "required": ["gone"]}, {"type": "object", "properties": {}}),
        ({"oneOf": [{"type": "null"}], "not": {}, "default": 5}, {"oneOf": [{"type": "null"}]}),
        ({"allOf": [{"type": "string"}, {"maxLength": 5}]}, {"type": "string", "maxLength": 5}),
    ],
)
def test_json_schema_is_said_in_the_words_google_documents(stated: dict[str, Any], written: dict[str, Any]) -> None:
    assert as_full(stated, "gemini-3-flash-preview") == written


@pytest.mark.parametrize(
    ("model", "full"),
    [
        ("gemini-1.5-pro", False),
        ("gemma-3-27b-it", False),
        ("gemini-2.0-flash", False),
        ("gemini-2.5-pro", False),
        ("gemini-3-flash-preview", True),
        ("gemini-flash-latest", True),
    ],
)
def test_a_plain_schema_is_written_as_the_model_documents_it(model: str, full: bool) -> None:
    plain = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    assert schema.as_gemini(plain, "where", model).full is full
    open_map = {"type": "object", "additionalProperties": {"type": "string"}}
    assert schema.as_gemini(open_map, "where", model).full is (model.startswith("gemini-") and "1.5" not in model)
    assert not schema.as_gemini({"type": "string", "enum": ["a", "b"]}, "where", model).full


# -- streams -----------------------------------------------------------------------------------------------


def test_the_last_event_needs_no_blank_line() -> None:
    call = call_of({"stream": True})
    reader = codec_for(OPENAI, GEMINI, "chat").reader(call, {})
    native = {"candidates": [{"content": {"parts": [{"text": "all"}]}, "finishReason": "STOP"}]}
    assert reader.feed(b"data: " + orjson.dumps(native)) == b""
    assert reader.finished
    assert reader.useful
    assert b'"content":"all"' in reader.end()


def test_a_second_empty_answer_is_still_a_whole_stream() -> None:
    call = call_of({"stream": True})
    reader = codec_for(OPENAI, GEMINI, "chat").reader(call, {})
    out = reader.feed(b'data: {"candidates":[{"finishReason":"STOP"}]}\n\n')
    assert (reader.useful, reader.finished) == (False, True)
    events = (out + reader.end()).split(b"\n\n")
    assert json.loads(events[0][6:])["choices"][0]["delta"]["role"] == "assistant"
    assert json.loads(events[1][6:])["choices"][0]["finish_reason"] == "stop"
    assert events[2] == b"data: [DONE]"
