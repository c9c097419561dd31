"""The document of the pool of Gemini keys with an address of Gmail each, and the admin routes its page called."""

import pytest

from tests.house import GEMINI_KEYS, PASSWORD
from tests.web.api.verbatim import Caller, unlike

SETTINGS = (
    ("rotation_strategy", "round_robin"),
    ("max_errors_threshold", "5"),
    ("error_reset_interval", "3600"),
    ("enable_usage_tracking", "1"),
    ("cooldown_hours", "24"),
)
CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "你好"}]}
KEY = {"api_key": GEMINI_KEYS[0], "gmail_email": "ana@gmail.com", "notes": "first"}


@pytest.fixture
def admin(house, passwords):
    """There, everybody was an admin; here the password is needed."""
    return Caller(house, X_Admin_Key=PASSWORD)


@pytest.fixture
def program(house, admin):
    admin("POST", "/admin/keys", KEY, 201)
    return Caller(house, Authorization=f"Bearer {house.auth_key}")


@pytest.mark.parametrize("version", ["/v1", "/v1beta", "/v1alpha", ""])
def test_its_three_endpoints_under_every_version(program, version):
    assert program("POST", f"{version}/chat/completions", CHAT)["object"] == "chat.completion"
    told = program("POST", f"{version}/embeddings", {"model": "gemini-embedding-001", "input": ["a", "b"]})
    shown = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "m"}
    assert unlike(told, shown) == []
    assert [each["index"] for each in told["data"]] == [0, 1]
    told = program("GET", f"{version}/models")
    assert unlike(told, {"object": "list", "data": [{"id": "m", "object": "model", "created": 0}]}) == []


@pytest.mark.parametrize(("name", "default"), SETTINGS)
def test_its_settings_have_their_names_and_defaults(admin, name, default):
    rows = {each["key"]: each for each in admin("GET", "/admin/config")["configs"]}
    assert rows[name]["value"] == default
    assert rows[name]["description"]
    listed = admin("GET", "/admin/config?format=list")["data"]
    assert unlike(listed, [{"key": "", "value": "", "description": ""}]) == []


@pytest.mark.parametrize("strategy", ["round_robin", "least_used", "random"])
def test_its_strategies_are_set_by_their_names(house, admin, strategy):
    told = admin("POST", "/admin/config", {"key": "rotation_strategy", "value": strategy, "description": "…"})
    assert told == {"success": True, "message": "配置更新成功"}
    assert house.keypool.preferences.current.rotation_strategy == strategy
    told = admin("POST", "/admin/config", {"key": "rotation_strategy"}, 400)
    assert told == {"success": False, "error": "key 和 value 是必填字段"}


def test_adding_and_listing_keys(admin):
    told = admin("POST", "/admin/keys", KEY, 201)
    assert (told["success"], told["message"]) == (True, "API Key添加成功")
    assert isinstance(told["data"]["id"], int)
    told = admin("GET", "/admin/keys")
    shown = {"id": 1, "api_key": "AIzaSyGe...", "gmail_email": "ana@gmail.com", "is_active": True, "created_at": 1,
             "last_used_at": None, "total_requests": 0, "error_count": 0, "notes": "first"}  # fmt: skip
    assert told["success"] is True
    assert unlike(told["data"], [shown]) == []
    assert GEMINI_KEYS[0] not in str(told)


def test_what_is_missing_or_here_already(admin):
    told = admin("POST", "/admin/keys", {"api_key": GEMINI_KEYS[0]}, 400)
    assert told["error"] == "api_key 和 gmail_email 是必填字段"
    admin("POST", "/admin/keys", KEY, 201)
    assert admin("POST", "/admin/keys", KEY, 409)["error"] == "API Key已存在"


def test_adding_many_keys(admin):
    rows = [{"api_key": key, "gmail_email": f"{n}@gmail.com"} for n, key in enumerate(GEMINI_KEYS[:3])]
    told = admin("POST", "/admin/keys/batch", {"api_keys": [*rows, {"api_key": "", "gmail_email": "x@gmail.com"}]}, 201)
    assert (told["success"], told["message"]) == (True, "批量添加完成: 成功3个, 失败1个")
    assert told["data"]["total"] == 4
    assert [each["index"] for each in told["data"]["success"]] == [1, 2, 3]
    assert [(each["index"], bool(each["error"])) for each in told["data"]["errors"]] == [(4, True)]
    assert admin("POST", "/admin/keys/batch", {"api_keys": []}, 400)["error"] == "api_keys 必须是非空数组"


def test_switching_and_deleting_a_key(admin):
    key_id = admin("POST", "/admin/keys", KEY, 201)["data"]["id"]
    for active, message in ((False, "API Key已禁用"), (True, "API Key已启用")):
        told = admin("POST", f"/admin/keys/{key_id}/toggle", {"is_active": active})
        assert (told["success"], told["message"]) == (True, message)
        assert admin("GET", "/admin/keys")["data"][0]["is_active"] is active
    told = admin("DELETE", f"/admin/keys/{key_id}")
    assert (told["success"], told["message"]) == (True, "API Key删除成功")
    assert admin("DELETE", "/admin/keys/none", status=400)["error"] == "无效的key ID"


def test_the_figures_of_the_last_days_by_address(house, admin, program):
    program("POST", "/v1/chat/completions", CHAT)
    house.records()
    told = admin("GET", "/admin/stats?days=7")
    shown = {"gmail_email": "", "request_count": 1, "avg_tokens": 1.5, "error_count": 0}
    assert told["success"] is True
    assert unlike(told["data"], [shown]) == []
    assert (told["data"][0]["gmail_email"], told["data"][0]["request_count"]) == ("ana@gmail.com", 1)


def test_what_was_open_there_is_shut_here(house, passwords):
    anybody = Caller(house)
    for path in ("/admin/keys", "/admin/stats?days=7", "/admin/config"):
        assert anybody("GET", path, status=401)["success"] is False
    anybody("POST", "/v1/chat/completions", {"model": "gemini-2.5-flash", "messages": []}, 401)
