"""The document of the balancer on Cloudflare's Workers, address by address."""

import pytest

from tests.house import GEMINI_KEYS, PASSWORD
from tests.web.api.verbatim import Caller, unlike

CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello, how are you?"}]}
STRATEGIES = ("adaptive", "least_used", "round_robin")
MODELS = (
    "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.0-flash", "gemini-2.0-flash-lite",
    "gemini-1.5-flash", "gemini-1.5-flash-8b", "gemini-1.5-pro",
)  # fmt: skip


@pytest.fixture
def admin(house, passwords):
    """`Authorization: admin-key`, as it stands there: without `Bearer`."""
    return Caller(house, Authorization=PASSWORD)


def gemini(admin, key=GEMINI_KEYS[0]):
    return admin("POST", "/admin/keys/gemini", {"key": key})


def test_adding_listing_and_deleting_gemini_keys(admin):
    told = gemini(admin)
    assert (told["success"], told["message"]) == (True, "Gemini key added successfully")
    told = admin("GET", "/admin/keys/gemini")
    (row,) = told["data"]
    assert row["key"] == f"{GEMINI_KEYS[0][:8]}...{GEMINI_KEYS[0][-4:]}"
    assert row["health_status"] in ("healthy", "unknown")
    assert {"id", "status", "success_rate", "avg_response_time", "total_requests"} <= row.keys()
    told = admin("DELETE", f"/admin/keys/gemini/{row['id']}")
    assert (told["success"], told["message"]) == (True, "Gemini key deleted successfully")
    assert admin("GET", "/admin/keys/gemini")["data"] == []


def test_what_is_wrong_with_a_gemini_key(admin):
    told = admin("POST", "/admin/keys/gemini", {}, 400)
    assert told["error"]["message"] == "API key is required and must be a string"
    assert told["error"]["code"] == "http_400"
    gemini(admin)
    told = admin("POST", "/admin/keys/gemini", {"key": GEMINI_KEYS[0]}, 400)
    assert told["error"]["message"] == "Failed to add Gemini key (may already exist)"
    assert admin("DELETE", "/admin/keys/gemini/none", status=400)["error"]["message"] == "Invalid key ID"


def test_a_user_key_is_shown_once_and_opens_the_endpoint(house, admin):
    gemini(admin)
    told = admin("POST", "/admin/keys/user", {"name": "me"})
    assert told["message"] == "User key generated successfully"
    key = told["data"]["key"]
    assert (told["data"]["name"], key[:3], len(key)) == ("me", "sk-", 51)
    for shown in (key, f"Bearer {key}"):
        answer = Caller(house, Authorization=shown)("POST", "/v1/chat/completions", CHAT)
        assert answer["choices"][0]["message"]["content"]
    told = Caller(house, Authorization="Bearer sk-unknown")("POST", "/v1/chat/completions", CHAT, 401)
    assert told["error"]["message"]
    assert admin("POST", "/admin/keys/user", {})["data"]["name"] == "API User"


@pytest.mark.parametrize("model", MODELS)
def test_every_model_it_names_is_asked_for(house, admin, model):
    gemini(admin)
    program = Caller(house, Authorization=f"Bearer {house.auth_key}")
    program("POST", "/v1/chat/completions", {**CHAT, "model": model})
    assert f"/models/{model}:" in house.upstream.requests[-1].path


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_is_set_by_its_name(house, admin, strategy):
    told = admin("POST", "/admin/config", {"load_balance_strategy": strategy})
    assert told["message"] == "Configuration updated successfully"
    assert told["data"] == [{"key": "load_balance_strategy", "success": True}]
    assert admin("GET", "/admin/config")["data"]["load_balance_strategy"] == strategy
    assert house.keypool.preferences.current.rotation_strategy == strategy


def test_its_settings_are_there_as_texts(admin):
    shown = {"load_balance_strategy": "adaptive", "thinking_enabled": "true", "thinking_budget": "-1",
             "request_timeout": "60"}  # fmt: skip
    assert unlike(admin("GET", "/admin/config")["data"], shown) == []
    told = admin("POST", "/admin/config", {"thinking_enabled": "false", "thinking_budget": "8192"})
    assert [each["success"] for each in told["data"]] == [True, True]


def test_status_and_statistics(admin):
    gemini(admin)
    told = admin("GET", "/admin/status")
    told = told.get("data", told)
    balance = {"strategy": "adaptive", "total_keys": 1, "healthy_keys": 1, "key_distribution": [{"id": 1}]}
    shown = {
        "service": "Gemini Balance API", "version": "1", "status": "operational", "uptime_check_ms": 1,
        "statistics": {"total_keys": 1, "healthy_keys": 1, "unhealthy_keys": 0, "recent_requests": 0},
        "components": {"api": "operational", "database": "operational"},
        "load_balance": balance,
    }  # fmt: skip
    assert unlike(told, shown) == []
    told = admin("GET", "/admin/stats")["data"]
    shown = {
        "keys": {"total": 1, "healthy": 1, "unhealthy": 0, "unknown": 0},
        "usage": {"recent_requests": 0, "total_requests": 0},
        "load_balance": balance,
        "performance": {"avg_response_time": 0, "avg_success_rate": 1},
    }
    assert unlike(told, shown) == []


def test_signing_in_as_its_page_does(house, passwords):
    told = Caller(house)("POST", "/admin/login", {"password": PASSWORD})
    assert (told["success"], told["data"]["success"], told["data"]["message"]) == (True, True, "Login successful")
    Caller(house, Authorization=told["data"]["token"])("GET", "/admin/status")
    assert Caller(house)("POST", "/admin/login", {}, 400)["error"]["message"] == "Password is required"
    assert Caller(house)("POST", "/admin/login", {"password": "no"}, 401)["error"]["message"] == "Invalid password"


def test_who_is_no_admin_hears_so_in_its_words(house, passwords):
    told = Caller(house, Authorization="admin-key")("GET", "/admin/status", status=403)
    assert told["error"] == {"message": "Admin access required", "type": "invalid_request_error", "code": "http_403"}


def test_health_and_status(house, admin):
    gemini(admin)
    told = Caller(house)("GET", "/health")
    shown = {"status": "healthy", "response_time_ms": 1, "checks": {"database": "ok", "available_keys": 1}}
    assert unlike(told, shown) == []
    assert told["status"] == "healthy"
    assert Caller(house)("GET", "/status")["status"] == "ok"
    assert Caller(house)("GET", "/wake")["status"] == "awake"
