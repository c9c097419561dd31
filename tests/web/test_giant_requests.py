"""Requests of absurd size or depth: told so in the caller's own dialect, and never a failure of ours."""

import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.upstream import answer, gemini_text

pytestmark = pytest.mark.slow

DEEP = 10_000
ALLOWED = 900
"""As deep as what reads JSON here goes, and less than Python would call itself."""


def nested(depth, inner="1", opening="[", closing="]"):
    return opening * depth + inner + closing * depth


def objects(depth, inner="1"):
    return nested(depth, inner, '{"a":', "}")


def chat(**fields):
    parts = {"model": '"gemini-2.5-flash"', "messages": '[{"role":"user","content":"x"}]', **fields}
    return ("{" + ",".join(f'"{name}":{value}' for name, value in parts.items()) + "}").encode()


def function(parameters):
    return f'[{{"type":"function","function":{{"name":"f","parameters":{parameters}}}}}]'


def said(content, role="user", more=""):
    return f'[{{"role":"{role}","content":{content}{more}}}]'


def called(arguments, result):
    """A call and what came of it, both as texts that hold JSON."""
    arguments, result = (text.replace('"', '\\"') for text in (arguments, result))
    call = f'{{"id":"c","type":"function","function":{{"name":"f","arguments":"{arguments}"}}}}'
    first = f'{{"role":"user","content":"x"}},{{"role":"assistant","tool_calls":[{call}]}}'
    return f'[{first},{{"role":"tool","tool_call_id":"c","content":"{result}"}}]'


def bodies(depth):
    """Chats that are that deep in each of the places where something is looked at."""
    schema = nested(depth // 2, '{"type":"string"}', '{"type":"object","properties":{"a":', "}}")
    items = nested(depth, '{"type":"string"}', '{"type":"array","items":', "}")
    either = nested(depth // 2, '{"type":"string"}', '{"anyOf":[', "]}")
    yield "unknown field", chat(metadata=objects(depth))
    yield "messages", chat(messages=nested(depth))
    yield "content", chat(messages=said(nested(depth)))
    yield "part", chat(messages=said(f'[{{"type":"text","text":{objects(depth)}}}]'))
    yield "properties", chat(tools=function(schema))
    yield "items", chat(tools=function(items))
    yield "alternatives", chat(tools=function(either))
    shape = f'{{"type":"json_schema","json_schema":{{"name":"s","schema":{schema}}}}}'
    yield "answer format", chat(response_format=shape)
    yield "arguments", chat(messages=called(objects(depth), "{}"))
    yield "tool's result", chat(messages=called("{}", objects(depth)))
    yield "stop", chat(stop=nested(depth))
    yield "logit_bias", chat(logit_bias=objects(depth))
    yield "whole", objects(depth).encode()
    yield "unclosed", chat()[:-1] + b',"a":' + b"[" * depth


ROUTES = {
    "openai": "/v1/chat/completions",
    "gemini": "/v1beta/models/gemini-2.5-flash:generateContent",
    "anthropic": "/v1/messages",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
}


@pytest.fixture
def home(house):
    house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0])
    # It reads no body: those that pass untouched pass whatever is in them.
    house.upstream.for_path(":generateContent", answer(200, gemini_text("fine")))
    house.upstream.for_path("/responses", answer(200, {"id": "r", "object": "response", "output": []}))
    return house


def shaped(route, answer):
    error = answer.json["error"]
    if route == "gemini":
        return (error["code"], error["status"]) == (answer.status_code, "INVALID_ARGUMENT")
    return bool(error["message"]) and error["type"] == "invalid_request_error"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("depth", [ALLOWED, DEEP])
def test_what_is_nested_absurdly_is_answered_or_refused_and_breaks_nothing(home, caplog, route, depth):
    wrong = {}
    for place, body in bodies(depth):
        told = home.post(ROUTES[route], body)
        if told.status_code >= 500 or (told.status_code != 200 and not shaped(route, told)):
            wrong[place] = (told.status_code, told.text[:200])
    assert wrong == {}
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


NUMBERS = [
    "1e400",
    "-1e400",
    "9" * 400,
    "9" * 5000,
    "-" + "9" * 400,
    "0." + "3" * 5000,
    "1e-400",
    "NaN",
    "Infinity",
    "0x10",
]
FIELDS = ["temperature", "max_tokens", "n", "seed", "top_p", "top_logprobs", "presence_penalty", "thinking_budget"]


@pytest.mark.parametrize("field", FIELDS)
def test_numbers_nobody_can_count_to_are_answered_or_refused(home, caplog, field):
    wrong = {}
    for number in NUMBERS:
        for stream in ("true", "false"):
            told = home.post(ROUTES["openai"], chat(**{field: number, "stream": stream}))
            if told.status_code >= 500 or (told.status_code != 200 and not shaped("openai", told)):
                wrong[number[:10], stream] = (told.status_code, told.text[:200])
            told.close()
    assert wrong == {}
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("name", ["model", "user", "stop"])
def test_texts_without_end_are_answered_or_refused(home, caplog, name):
    for text in ("x" * 5_000_000, "\\u0000" * 10_000, "\\ud800" * 10_000, "a/" * 100_000):
        told = home.post(ROUTES["openai"], chat(**{name: f'"{text}"'}))
        assert told.status_code in (200, 400, 404), (text[:10], told.text[:200])
        assert told.status_code == 200 or shaped("openai", told)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    "path", ["/admin/keys", "/admin/keys/batch", "/admin/settings", "/admin/keys/import", "/api/pools"]
)
def test_management_refuses_absurd_json_in_its_own_shape(house, caplog, path):
    method = "PATCH" if path == "/admin/settings" else "POST"
    deep = [shape(depth) for shape in (objects, nested) for depth in (DEEP, ALLOWED)]
    for body in (*deep, f'{{"name":{objects(ALLOWED)}}}', f'{{"key":{"9" * 5000}}}', f'{{"keys":[{"9" * 400}]}}'):
        headers = {"X-Admin-Key": PASSWORD, "Content-Type": "application/json"}
        told = house.client.open(path, method=method, data=body, headers=headers)
        assert 400 <= told.status_code < 500, (body[:30], told.status_code, told.text[:200])
        assert told.json["success"] is False
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_past_the_limit_is_told_so_whatever_is_in_it(home, route):
    home.set(max_body_mb=1)
    for body in (b" " * 1_100_000, chat(user='"%s"' % ("x" * 1_100_000))):
        told = home.post(ROUTES[route], body)
        assert told.status_code == 413
        assert told.json["error"]["code"] == (413 if route == "gemini" else "request_too_large") or route == "anthropic"
    assert home.upstream.requests == []
