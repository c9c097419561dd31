"""`/api/{provider}/{path}`: native calls by a policy of their own, and errors in one flat shape."""

from __future__ import annotations

import pytest

from pool.core.providers import RESERVED_SLUGS
from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import answer, gemini_error, openai_error
from tests.upstream_objects import ObjectStore
from tests.web.person import Person

NATIVE = {"contents": [{"parts": [{"text": "Hello"}]}]}
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
GENERATE = "/api/gemini/models/gemini-2.5-flash:generateContent"
SHAPE = {"error", "provider", "strategy", "suggestion"}


@pytest.fixture
def stocked(house: House) -> House:
    house.add_keys(*GEMINI_KEYS[:3], OPENAI_KEYS[0])
    return house


def test_a_call_goes_to_its_provider_in_that_ones_own_dialect(stocked: House) -> None:
    response = stocked.post(f"{GENERATE}?strategy=roundRobin&$fields=a&key=x", NATIVE)
    assert response.json["candidates"]
    assert stocked.upstream.requests[-1].path == "/v1beta/models/gemini-2.5-flash:generateContent?%24fields=a"
    response = stocked.post("/api/openai/chat/completions", CHAT)
    assert response.json["choices"]
    assert stocked.upstream.requests[-1].path == "/v1/chat/completions"
    stocked.upstream.for_path("/moderations", answer(200, {"results": []}))
    assert stocked.post("/api/openai/moderations", {"input": "x"}).json == {"results": []}
    response = stocked.post("/api/gemini/v1alpha/models/gemini-2.5-flash:countTokens", NATIVE)
    assert response.json["totalTokens"] == 7
    assert stocked.upstream.requests[-1].route == "/v1alpha/models/gemini-2.5-flash:countTokens"
    assert all(request.key in (*GEMINI_KEYS, *OPENAI_KEYS) for request in stocked.upstream.requests)


def test_streams_pass_in_the_providers_way(stocked: House) -> None:
    response = stocked.post("/api/gemini/models/gemini-2.5-flash:streamGenerateContent?alt=sse&strategy=random", NATIVE)
    assert response.data.count(b"data: ") == 4
    assert stocked.upstream.requests[-1].query == {"alt": "sse"}
    response = stocked.post("/api/openai/chat/completions", CHAT | {"stream": True})
    assert response.data.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("asked", "policy"),
    [
        ("leastUsed", "least_used"), ("roundRobin", "round_robin"), ("random", "random"), ("lru", "lru"),
        ("weighted", "weighted"), ("adaptive", "adaptive"), ("nonsense", "round_robin"), ("", "round_robin"),
    ],
)  # fmt: skip
def test_the_policy_is_the_requests_and_an_unknown_one_is_the_usual_one(
    stocked: House, asked: str, policy: str
) -> None:
    assert stocked.post(f"{GENERATE}?strategy={asked}", NATIVE).status_code == 200
    assert stocked.records()[0]["tries"][0]["why"].startswith(policy)
    assert "strategy" not in stocked.upstream.requests[0].path


def test_errors_of_ours_have_the_flat_shape(stocked: House) -> None:
    response = stocked.post(f"{GENERATE}?strategy=leastUsed", NATIVE, headers={})
    assert response.status_code == 401
    assert set(response.json) == SHAPE
    assert (response.json["provider"], response.json["strategy"]) == ("gemini", "leastUsed")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    response = stocked.post("/api/mistral/chat/completions?strategy=nonsense", CHAT)
    assert response.status_code == 400
    assert response.json["error"] == "Unsupported provider: mistral"
    assert response.json["strategy"] == "roundRobin"
    response = stocked.post("/api/gemini", NATIVE)
    assert (response.status_code, response.json["error"]) == (400, "Invalid API path. Expected: /api/:provider/*")
    for secret in GEMINI_KEYS[:3]:
        stocked.upstream.for_key(secret, gemini_error(400, reason="API_KEY_INVALID"))
    response = stocked.post(GENERATE, NATIVE)
    assert response.status_code == 503
    assert response.json["error"] == "No available API keys"
    assert response.json["suggestion"] == "Please add more keys or wait for rate limit reset"
    assert set(response.json) == SHAPE


def test_a_pool_without_keys_of_the_provider_says_so(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    response = house.post("/api/openai/chat/completions", CHAT)
    assert (response.status_code, response.json["error"]) == (503, "No available API keys")


def test_an_upstreams_refusal_of_the_request_goes_back_as_it_came(stocked: House) -> None:
    stocked.upstream.script(openai_error(400, "bad_thing", "That is bad.", param="x"))
    response = stocked.post("/api/openai/chat/completions", CHAT)
    assert response.status_code == 400
    assert response.json["error"]["code"] == "bad_thing"


@pytest.mark.parametrize("word", sorted(RESERVED_SLUGS))
def test_a_reserved_word_is_never_a_provider(stocked: House, word: str) -> None:
    for path in (f"/api/{word}/anything/else", f"/api/{word}/x"):
        response = stocked.post(path, {})
        assert b"Unsupported provider" not in response.data
        assert response.status_code in (404, 405)
    assert stocked.upstream.requests == []


def test_the_routes_below_api_keep_their_meaning(stocked: House) -> None:
    assert stocked.post("/api/chat/completions", CHAT).json["choices"]
    assert stocked.post("/api/chat/completed", {}).json == {"success": True, "message": "Chat completed"}
    listed = stocked.client.get("/api/models", headers=stocked.headers()).json
    assert {"gpt-4o", "gemini-2.5-pro"} <= {row["id"] for row in listed["data"]}


def test_a_list_of_models_is_the_providers_own(stocked: House) -> None:
    google = stocked.client.get("/api/gemini/models", headers=stocked.headers()).json
    assert "models/gemini-2.5-pro" in {row["name"] for row in google["models"]}
    listed = stocked.client.get("/api/openai/models", headers={"x-goog-api-key": stocked.auth_key}).json
    assert "gpt-4o" in {row["id"] for row in listed["data"]}
    assert not any(row["id"].startswith("gemini") for row in listed["data"])


def test_objects_and_permissions_hold_below_a_provider_too(stocked: House) -> None:
    stocked.upstream.script(ObjectStore())
    ann, bob = Person(stocked, "ann"), Person(stocked, "bob")
    name = ann.google("POST", "/api/gemini/upload/v1beta/files", {}).json["file"]["name"]
    assert ann.google("GET", f"/api/gemini/{name}").json["name"] == name
    refused = bob.google("GET", f"/api/gemini/{name}")
    assert refused.status_code == 403
    assert set(refused.json) == SHAPE
    assert bob.ask("GET", "/api/openai/organization/usage").status_code == 403
    assert bob.ask("GET", "/api/openai/v1/files/file-x").status_code == 404
