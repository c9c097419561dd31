"""Where predecessors contradicted each other about client routes: one server for all (C12 to C16, C25, C26)."""

import orjson
import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS

FIVE = {"HARM_CATEGORY_HATE_SPEECH", "HARM_CATEGORY_SEXUALLY_EXPLICIT", "HARM_CATEGORY_DANGEROUS_CONTENT",
        "HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_CIVIC_INTEGRITY"}  # fmt: skip


def sent(house):
    """The body of the latest upstream request."""
    return orjson.loads(house.upstream.requests[-1].body)


def ask(house, **fields):
    assert house.chat(**fields).status_code == 200
    return sent(house)


@pytest.mark.parametrize(
    ("shown", "shape"),
    [
        (lambda key: {"headers": {"x-goog-api-key": key}}, "models"),
        (lambda key: {"query_string": {"key": key}}, "models"),
        (lambda key: {"headers": {"Authorization": f"Bearer {key}"}}, "data"),
        (lambda key: {"headers": {"Authorization": f"Bearer {key}", "x-goog-api-key": key}}, "data"),
    ],
)
def test_the_list_of_models_has_the_shape_of_who_asks(house, shown, shape):
    house.add_keys(GEMINI_KEYS[0])
    answer = house.client.get("/v1beta/models", **shown(house.auth_key))
    assert (answer.status_code, shape in answer.json) == (200, True)
    if shape == "data":
        assert answer.json["object"] == "list"
        assert "data" in house.client.get("/v1beta/openai/models", **shown(house.auth_key)).json


@pytest.mark.parametrize(
    ("prefix", "version"),
    [("/v1", "v1beta"), ("", "v1beta"), ("/v1beta", "v1beta"), ("/v1alpha", "v1alpha"), ("/v2", "v2")],
)
def test_every_version_is_passed_on_and_v1_is_the_usual_one(house, prefix, version):
    house.add_keys(GEMINI_KEYS[0])
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
    house.post(f"{prefix}/chat/completions", body)
    assert house.upstream.requests[-1].path.startswith(f"/{version}/models/gemini-2.5-flash:")
    house.post(f"{prefix}/embeddings", {"model": "gemini-embedding-001", "input": "Hello"})
    assert house.upstream.requests[-1].path.startswith(f"/{version}/models/gemini-embedding-001:")


def test_a_version_of_googles_changes_nothing_for_others(house):
    house.add_keys(OPENAI_KEYS[0])
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    house.post("/v1alpha/chat/completions", body)
    assert house.upstream.requests[-1].path == "/v1/chat/completions"


def test_a_model_nobody_knows_goes_on_or_becomes_the_default_or_is_refused(house):
    house.add_keys(GEMINI_KEYS[0])
    for policy, path in (("passthrough", "nobodys-model"), ("default", "gemini-2.5-pro")):
        house.set(unknown_model_policy=policy, default_model_name="gemini-2.5-pro")
        house.chat(model="nobodys-model")
        assert f"/models/{path}:" in house.upstream.requests[-1].path
    house.set(unknown_model_policy="reject")
    asked = len(house.upstream.requests)
    refused = house.chat(model="nobodys-model")
    assert (refused.status_code, refused.json["error"]["code"]) == (404, "model_not_found")
    assert len(house.upstream.requests) == asked


def test_a_call_goes_to_whichever_upstream_a_provider_names(house):
    house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0])
    house.chat(model="gemini-2.5-flash")
    assert house.upstream.requests[-1].path.startswith("/v1beta/models/"), "converted"
    house.chat(model="gpt-4o")
    assert house.upstream.requests[-1].path == "/v1/chat/completions", "OpenAI's own"
    inventory = house.keypool.inventory
    inventory.create_provider("other", dialect="openai", base_url=house.upstream.url + "/other/v1")
    house.add_keys(OPENAI_KEYS[1], provider="other")
    house.chat(model="other/some-model")
    assert (house.upstream.requests[-1].path, sent(house)["model"]) == ("/other/v1/chat/completions", "some-model")


def test_googles_own_openai_layer_takes_chats_where_that_is_set(house):
    house.add_keys(GEMINI_KEYS[0])
    inventory = house.keypool.inventory
    inventory.update_provider("openai", base_url=house.upstream.url + "/v1beta/openai")
    house.chat(model="gemini-2.5-flash")
    request = house.upstream.requests[-1]
    assert (request.path, request.headers["authorization"]) == (
        "/v1beta/openai/chat/completions", f"Bearer {GEMINI_KEYS[0]}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("effort", "model", "config"),
    [
        ("low", "gemini-2.5-flash", {"thinkingBudget": 1024}),
        ("medium", "gemini-2.5-flash", {"thinkingBudget": 8192}),
        ("high", "gemini-2.5-flash", {"thinkingBudget": 24576}),
        ("none", "gemini-2.5-flash", {"thinkingBudget": 0}),
        ("none", "gemini-2.5-pro", {"thinkingBudget": 128}),
        ("high", "gemini-3-pro-preview", {"thinkingLevel": "high"}),
    ],
)
def test_effort_is_one_predecessors_budget_within_what_the_model_can(house, effort, model, config):
    house.add_keys(GEMINI_KEYS[0])
    found = ask(house, model=model, reasoning_effort=effort)["generationConfig"]["thinkingConfig"]
    assert {name: found.get(name) for name in config} == config
    own = {"google": {"thinking_config": {"thinking_budget": 77}}}
    found = ask(house, model="gemini-2.5-flash", reasoning_effort=effort, extra_body=own)
    assert found["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 77


def test_thinking_settings_speak_where_a_request_does_not(house):
    house.add_keys(GEMINI_KEYS[0])
    house.set(thinking_budget=512, include_thoughts=True)
    found = ask(house)["generationConfig"]["thinkingConfig"]
    assert (found["thinkingBudget"], found["includeThoughts"]) == (512, True)


def test_nothing_is_blocked_unless_a_setting_or_the_request_says_otherwise(house):
    house.add_keys(GEMINI_KEYS[0])
    found = ask(house)["safetySettings"]
    assert {each["category"] for each in found} == FIVE
    assert {each["threshold"] for each in found} == {"BLOCK_NONE"}
    own = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}]
    assert ask(house, extra_body={"google": {"safety_settings": own}})["safetySettings"] == own
    house.set(safety_preset="google_default")
    assert "safetySettings" not in ask(house)
