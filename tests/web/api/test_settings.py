"""Settings through the API: told with their bounds, changed in part, checked, audited; and as predecessors had them."""

import orjson
import pytest

from pool.settings import BY_NAME, SETTINGS
from tests.house import PASSWORD, open_house
from tests.web.visitor import Visitor, rows_of

ADMIN = {"X-Admin-Key": PASSWORD}
CONFIG = "/admin/config"


@pytest.fixture
def call(house, passwords):
    client = house.app.test_client()

    def send(method, path="/admin/settings", body=None, status=200):
        answer = client.open(path, method=method, json=body, headers=ADMIN)
        assert answer.status_code == status, answer.text
        return answer.json

    return send


def current(house, name):
    return getattr(house.keypool.preferences.current, name)


def test_every_setting_is_told_with_its_default_and_its_bounds(call):
    told = {each["name"]: each for each in call("GET")["settings"]}
    assert list(told) == [setting.name for setting in SETTINGS]
    assert told["max_attempts"] == call("GET", "/admin/settings/max_attempts")
    assert told["max_attempts"] == {
        "name": "max_attempts", "value": 50, "default": 50, "type": "integer", "unit": "keys",
        "help": "The most keys one request may try.", "choices": [], "low": 1, "high": 1000,
        "aliases": ["max_retries"], "source": "default", "read_only": False, "live": True,
    }  # fmt: skip
    assert (told["graceful_timeout_s"]["live"], told["retry_unsure"]["type"]) == (False, "boolean")


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_what_is_named_is_changed_at_once_and_audited_and_nothing_else(house, call, method):
    told = call(method, body={"max_attempts": 7, "request_timeout": 30, "rotation_strategy": "leastUsed"})
    assert told["changed"] == {
        "max_attempts": {"before": 50, "after": 7},
        "idle_timeout_s": {"before": 120, "after": 30},
        "rotation_strategy": {"before": "round_robin", "after": "least_used"},
    }
    assert (current(house, "max_attempts"), current(house, "heartbeat_s")) == (7, 15)
    entry = rows_of(house, "audit")[-1]
    assert (entry["action"], entry["object"], entry["via"]) == ("settings.change", "settings", "password")
    assert orjson.loads(entry["before"])["max_attempts"] == 50
    assert call("GET", "/admin/settings/max_attempts")["source"] == "stored"
    assert call(method, body={"max_attempts": 7})["message"] == "Nothing was changed."
    call(method, body={"max_attempts": None})
    assert call("GET", "/admin/settings/max_attempts")["source"] == "default"


def test_one_setting_has_an_address_by_any_of_its_names(house, call):
    call("PUT", "/admin/settings/load_balance_strategy", {"value": "random"})
    assert current(house, "rotation_strategy") == "random"
    call("DELETE", "/admin/settings/rotation_strategy")
    assert current(house, "rotation_strategy") == "round_robin"
    call("PATCH", "/admin/settings/logLevel", {"value": "WARN"})
    assert current(house, "log_level") == "warning"
    assert call("GET", "/admin/settings/nothing", status=404)["error"]["code"] == "setting_not_found"
    assert call("PUT", "/admin/settings/max_attempts", {}, 400)["error"]["param"] == "value"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": "many"}, "max_attempts"),
        ({"max_attempts": 2.5}, "max_attempts"),
        ({"max_attempts": True}, "max_attempts"),
        ({"stream_mode": "loud"}, "stream_mode"),
        ({"quota_reset": "noon"}, "quota_reset"),
        ({"retry_unsure": "perhaps"}, "retry_unsure"),
        ({"heartbeat_s": 10, "nothing": 1}, "nothing"),
    ],
)
def test_a_wrong_value_is_400_that_names_it_and_nothing_is_changed(house, call, body, param):
    refused = call("PATCH", body=body, status=400)
    assert refused["error"]["param"] == param
    assert param in refused["message"]
    assert current(house, "heartbeat_s") == 15
    if param in BY_NAME:
        assert call("PUT", f"/admin/settings/{param}", {"value": body[param]}, 400)["error"]["param"] == param


def test_what_the_environment_sets_is_shown_and_cannot_be_changed(instance_template, tmp_path):
    with open_house(instance_template, tmp_path / "other", LOG_LEVEL="error") as house:
        client = house.app.test_client()
        told = client.get("/admin/settings/log_level", headers=ADMIN).json
        assert (told["value"], told["source"], told["read_only"]) == ("error", "environment", True)
        refused = client.patch("/admin/settings", json={"log_level": "debug"}, headers=ADMIN)
        assert (refused.status_code, refused.json["error"]["code"]) == (409, "set_by_environment")
        assert client.patch("/admin/settings", json={"log_level": "error"}, headers=ADMIN).status_code == 200
        whole = client.get(CONFIG, headers=ADMIN).json["data"]
        assert (whole["log_level"], whole["logLevel"]) == ("error", "error")
        assert client.post(CONFIG, json=whole, headers=ADMIN).status_code == 200
        assert rows_of(house, "audit") == []


def test_a_persons_browser_is_led_to_the_page(house):
    visitor, html = Visitor(house), {"Accept": "text/html"}
    assert visitor.get("/admin/settings", headers=html).location == "/settings"
    assert "settings" in visitor.get("/admin/settings").json


# -- as two predecessors had them (C5) --------------------------------------------------------------------------


def test_config_is_a_map_and_a_list_at_once_all_text(call):
    told = call("GET", CONFIG)
    assert told["success"] is True
    expected = {"load_balance_strategy": "round_robin", "thinking_enabled": "true", "thinking_budget": "-1",
                "request_timeout": "120", "cooldown_hours": "24"}  # fmt: skip
    assert expected.items() <= told["data"].items()
    names = [each["key"] for each in told["configs"]]
    assert names == sorted(setting.name for setting in SETTINGS)
    rows = {each["key"]: each for each in told["configs"]}
    assert (rows["enable_usage_tracking"]["value"], rows["max_errors_threshold"]["value"]) == ("1", "5")
    assert rows["cooldown_hours"]["description"].startswith("How long a key rests")
    listed = call("GET", CONFIG + "?format=list")
    assert listed["data"] == listed["configs"] == told["configs"]


def test_a_pair_changes_one_setting_in_the_words_of_its_predecessor(house, call):
    body = {"key": "cooldown_hours", "value": "168", "description": "seven days"}
    assert call("POST", CONFIG, body) == {"success": True, "message": "配置更新成功"}
    assert current(house, "cooldown_hours") == 168
    for incomplete in ({"key": "cooldown_hours"}, {"value": "1"}, {"key": "", "value": "1"}, {}):
        assert call("POST", CONFIG, incomplete, 400) == {"success": False, "error": "key 和 value 是必填字段"}
    for wrong in ({"key": "cooldown_hours", "value": "9999"}, {"key": "round_robin_index", "value": "3"}):
        refused = call("POST", CONFIG, wrong, 400)
        assert (refused["success"], wrong["key"] in refused["error"]) == (False, True)


def test_a_map_changes_all_of_its_settings_or_none(house, call):
    body = {"load_balance_strategy": "least_used", "thinking_enabled": "false", "thinking_budget": "1024",
            "request_timeout": "90"}  # fmt: skip
    told = call("POST", CONFIG, body)
    assert (told["success"], told["message"]) == (True, "Configuration updated successfully")
    assert told["data"] == [{"key": name, "success": True} for name in sorted(body)]
    assert (current(house, "thinking_enabled"), current(house, "idle_timeout_s")) == (False, 90)
    refused = call("POST", CONFIG, {"request_timeout": "30", "health_check_interval": "300"}, 400)
    assert refused["message"] == "Some configuration updates failed"
    assert [row["success"] for row in refused["data"]] == [False, False]
    assert "no such setting" in refused["data"][0]["error"]
    assert current(house, "idle_timeout_s") == 90


def test_the_whole_map_written_back_changes_nothing_and_one_of_two_names_counts(house, call):
    whole = call("GET", CONFIG)["data"]
    call("POST", CONFIG, whole)
    assert rows_of(house, "audit") == []
    call("POST", CONFIG, {**whole, "load_balance_strategy": "adaptive"})
    assert current(house, "rotation_strategy") == "adaptive"
    both = {"load_balance_strategy": "random", "rotation_strategy": "lru"}
    refused = call("POST", CONFIG, both, 400)
    assert refused["error"]["param"] == "rotation_strategy"
