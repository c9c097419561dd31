"""The document of the "API Key Pool Service", example by example."""

import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.upstream import gemini_error
from tests.web.api.verbatim import Caller, unlike
from tests.web.visitor import rows_of

ADD = """
{
  "provider": "gemini",
  "apiKey": "your-gemini-api-key",
  "maxRequests": 1000,
  "metadata": {
    "description": "Gemini API Key 1",
    "tags": ["production", "backup"]
  }
}
""".replace("your-gemini-api-key", GEMINI_KEYS[0])
ADDED = {"message": "Key added successfully", "keyId": "key_1234567890_abc123", "provider": "gemini"}
STATUS = {
    "provider": "gemini",
    "totalKeys": 3,
    "activeKeys": 2,
    "availableKeys": 1,
    "keys": [
        {"id": "key_1234567890_abc123", "isActive": True, "usage": "150/1000", "lastUsed": "2024-01-15T10:30:00.000Z"}
    ],
}
GENERATE = '{"contents": [{"parts": [{"text": "Hello, how are you?"}]}]}'
CHAT = '{"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "Hello, how are you?"}]}'
CHANGE = '{"isActive": false, "maxRequests": 2000, "metadata": {"description": "Updated description"}}'
RESET = '{"provider": "gemini"}'
NO_KEYS = {
    "error": "No available API keys",
    "provider": "gemini",
    "strategy": "roundRobin",
    "suggestion": "Please add more keys or wait for rate limit reset",
}
GEMINI_PATH = "/api/gemini/models/gemini-pro:generateContent"


@pytest.fixture
def admin(house, passwords):
    return Caller(house, X_Admin_Key=PASSWORD)


@pytest.fixture
def program(house):
    """That product let anybody in; here a client key is needed."""
    return Caller(house, Authorization=f"Bearer {house.auth_key}")


@pytest.fixture
def key_id(admin):
    return admin("POST", "/admin/keys", ADD, 201)["keyId"]


def test_adding_a_key(admin):
    told = admin("POST", "/admin/keys", ADD, 201)
    assert unlike(told, ADDED) == []
    assert (told["message"], told["provider"]) == (ADDED["message"], ADDED["provider"])
    assert told["keyId"].startswith("key_")


def test_the_state_of_the_pool(house, admin, program, key_id):
    told = admin("GET", "/admin/status?provider=gemini")
    assert told.items() >= {"provider": "gemini", "totalKeys": 1, "activeKeys": 1, "availableKeys": 1}.items()
    (key,) = told["keys"]
    assert key == {"id": key_id, "isActive": True, "usage": "0/1000", "lastUsed": None}
    program("POST", f"{GEMINI_PATH}?strategy=roundRobin", GENERATE)
    house.records()
    told = admin("GET", "/admin/status?provider=gemini")
    assert unlike(told, STATUS) == []
    assert told["keys"][0]["lastUsed"].endswith("Z")


def test_calling_gemini(admin, program, house, key_id):
    told = program("POST", f"{GEMINI_PATH}?strategy=roundRobin", GENERATE)
    assert unlike(told, {"candidates": [{"content": {"parts": [{"text": "Hello!"}]}}]}) == []
    asked = house.upstream.requests[-1]
    assert asked.path.endswith("/models/gemini-pro:generateContent")
    assert "strategy" not in asked.query


def test_calling_openai(admin, program, house):
    admin("POST", "/admin/keys", {"provider": "openai", "apiKey": OPENAI_KEYS[0]}, 201)
    told = program("POST", "/api/openai/chat/completions?strategy=leastUsed", CHAT)
    assert told["choices"][0]["message"]["role"] == "assistant"
    assert house.upstream.requests[-1].headers["authorization"] == f"Bearer {OPENAI_KEYS[0]}"


@pytest.mark.parametrize("strategy", ["roundRobin", "leastUsed", "random"])
def test_every_strategy_by_its_name(program, key_id, strategy):
    program("POST", f"{GEMINI_PATH}?strategy={strategy}", GENERATE)


def test_changing_a_key(admin, house, key_id):
    told = admin("PUT", f"/admin/keys/{key_id}", CHANGE)
    assert told["message"] == "Key updated successfully"
    assert admin("GET", "/admin/status?provider=gemini")["keys"][0] == {
        "id": key_id, "isActive": False, "usage": "0/2000", "lastUsed": None,
    }  # fmt: skip
    # There, what a PUT left out was lost, and the key with it.
    admin("PUT", f"/admin/keys/{key_id}", {"isActive": True})
    assert admin("GET", "/admin/status?provider=gemini")["keys"][0]["usage"] == "0/2000"
    admin("PUT", f"/admin/keys/{key_id}", {"maxRequests": 9})
    (key,) = admin("GET", "/admin/status?provider=gemini")["keys"]
    assert (key["isActive"], key["usage"]) == (True, "0/9")
    assert rows_of(house, "keys")[0]["note"] == "Updated description"


def test_deleting_a_key(admin, key_id):
    assert admin("DELETE", f"/admin/keys/{key_id}")["message"] == "Key deleted successfully"
    assert admin("DELETE", f"/admin/keys/{key_id}", status=404)["error"] == "Key not found"
    assert admin("GET", "/admin/status?provider=gemini")["totalKeys"] == 0


def test_resetting_the_counters(admin, program, key_id):
    program("POST", GEMINI_PATH, GENERATE)
    assert admin("GET", "/admin/status?provider=gemini")["keys"][0]["usage"] == "1/1000"
    assert admin("POST", "/admin/reset", RESET)["message"] == "Usage reset successfully"
    assert admin("GET", "/admin/status?provider=gemini")["keys"][0]["usage"] == "0/1000"
    # There, an empty body was a 500.
    assert admin("POST", "/admin/reset")["message"] == "Usage reset successfully"


def test_where_no_key_is_left_it_is_told_so_in_its_words(house, admin, program, key_id):
    admin("PUT", f"/admin/keys/{key_id}", '{"isActive": false}')
    told = program("POST", f"{GEMINI_PATH}?strategy=roundRobin", GENERATE, 503)
    assert unlike(told, NO_KEYS) == []
    assert (told["provider"], told["strategy"]) == ("gemini", "roundRobin")


def test_a_key_that_cools_down_is_told_in_the_same_shape(house, program, key_id):
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(429, retry_delay="30s"))
    told = program("POST", f"{GEMINI_PATH}?strategy=roundRobin", GENERATE, 429)
    assert unlike(told, NO_KEYS) == []


def test_what_it_refused_is_refused_in_its_words(house, passwords, admin):
    for wrong in ({"X_Admin_Key": "not it"}, {}):
        told = Caller(house, **wrong)("GET", "/admin/status", status=401)
        assert told["error"] == "Unauthorized"
    told = admin("POST", "/admin/keys", '{"provider": "gemini"}', 400)
    assert told["error"] == "Provider and apiKey are required"
    assert admin("PUT", "/admin/keys/key_1_none", '{"isActive": true}', 404)["error"] == "Key not found"


def test_its_health_and_its_front_page(house):
    anybody = Caller(house, Accept="application/json")
    assert {"status", "timestamp"} <= anybody("GET", "/health").keys()
    assert {"message", "endpoints"} <= anybody("GET", "/").keys()


def test_without_a_client_key_nobody_spends_the_pool(house, key_id):
    told = Caller(house)("POST", f"{GEMINI_PATH}?strategy=roundRobin", GENERATE, 401)
    assert isinstance(told["error"], str)
