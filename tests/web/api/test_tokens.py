"""Keys as the ancestor of a predecessor had them: added as a text, named by places, masks or in full, never shown."""

import pytest

from pool.core.keys import FOREVER
from pool.core.masking import mask
from tests.house import OPENAI_KEYS
from tests.web.visitor import Visitor, rows_of

TOKENS = "/api/tokens"
ONE, TWO, THREE = (f"sk-own{digit}" + digit * 40 for digit in "123")


@pytest.fixture
def call(house):
    token = Visitor(house).token

    def send(method, path=TOKENS, body=None, status=200):
        headers = {"Authorization": f"Bearer {token}"}
        answer = house.app.test_client().open(path, method=method, headers=headers, json=body)
        assert answer.status_code == status, answer.text
        return answer.json

    return send


def act(call, action, status=200, **said):
    return call("POST", body={"action": action, **said}, status=status)


def binned(house):
    return [row["id"] for row in rows_of(house, "keys") if row["deleted_at"]]


def test_keys_are_added_as_lines_or_between_commas_and_counted(house, call):
    assert act(call, "add", tokens=f"{ONE},{TWO}\n{ONE}")["message"] == "成功添加了2个令牌，1个令牌已存在"
    told = act(call, "add", tokens=f"{TWO}\n{THREE}\nshort")
    assert (told["message"], told["rejected"]) == ("成功添加了1个令牌，1个令牌已存在", 1)
    assert {key.provider for key in house.keypool.catalogue.keys.values()} == {"openai"}
    act(call, "add", tokens=["0123456789abcdef0123456789abcdef"])
    assert house.keypool.catalogue.keys[4].provider == "openai"
    for given in ({}, {"tokens": ""}, {"tokens": "short"}, {"tokens": 7}):
        act(call, "add", 400, **given)
    assert ONE not in str(rows_of(house, "audit"))


def test_the_list_has_that_ancestors_members_and_no_key_in_clear(house, call):
    house.add_keys(*OPENAI_KEYS[:3])
    house.keypool.inventory.set_disabled([2], FOREVER)
    told = call("GET")
    first, second, _ = told["tokens"]
    assert told["success"] is True
    assert (first["key"], first["enabled"], first["isValid"]) == (mask(OPENAI_KEYS[0]), True, True)
    assert second["enabled"] is False
    assert first["originalKey"] == house.public_ids()[1]
    assert not any(key in str(told) for key in OPENAI_KEYS)
    page = call("GET", f"{TOKENS}?force=true&limit=2")
    assert [each["id"] for each in page["tokens"]] == [1, 2]
    assert [each["id"] for each in call("GET", f"{TOKENS}?after={page['next']}")["tokens"]] == [3]


@pytest.mark.parametrize("way", ["place", "id", "mask", "in full"])
def test_a_key_is_named_by_its_place_its_id_its_mask_or_in_full(house, call, way):
    house.keypool.inventory.bin_keys(house.add_keys(OPENAI_KEYS[4]))
    act(call, "add", tokens=f"{ONE}\n{TWO}\n{THREE}")
    listed = call("GET")["tokens"][1]
    token = {"place": 1, "id": listed["originalKey"], "mask": listed["key"], "in full": TWO}[way]
    assert act(call, "toggle", token=token)["count"] == 1
    assert [each["enabled"] for each in call("GET")["tokens"]] == [True, False, True]
    assert act(call, "remove", tokens=[token])["message"] == "成功删除了1个令牌"
    assert [each["key"] for each in call("GET")["tokens"]] == [mask(ONE), mask(THREE)]


def test_what_is_no_key_is_told_and_nothing_is_done(house, call):
    act(call, "add", tokens=f"{ONE}\n{TWO}")
    for token in (2, -1, "0", "key_1", mask(THREE), THREE, "***"):
        assert act(call, "remove", 404, tokens=[0, token])["message"] == "令牌不存在", token
    for said in ({}, {"tokens": []}, {"token": ""}, {"token": True}, {"tokens": [{}]}, {"token": [0]}):
        act(call, "remove", 400, **said)
    twin = ONE[:8] + "x" * 31 + ONE[-4:]
    act(call, "add", tokens=twin)
    act(call, "remove", 404, token=mask(ONE))
    assert binned(house) == []
    act(call, "explode", 400)


def test_several_are_switched_at_once_and_one_is_turned_over(call):
    act(call, "add", tokens=f"{ONE}\n{TWO}\n{THREE}")
    act(call, "toggle", tokens=[0, 1], enable=False)
    assert [each["enabled"] for each in call("GET")["tokens"]] == [False, False, True]
    act(call, "toggle", token=0)
    act(call, "toggle", tokens=[1], enable=False)
    assert [each["enabled"] for each in call("GET")["tokens"]] == [True, False, True]
    assert act(call, "toggle", tokens=[0, 1, 2], enable=True)["message"] == "成功启用了3个令牌"


def test_refreshing_a_balance_tests_the_key(house, call):
    act(call, "add", tokens=ONE)
    told = act(call, "refresh_balance", token=0)
    assert (told["isValid"], told["balance"], told["results"]) == (True, None, {"1": "alive"})
    assert call("GET")["tokens"][0]["lastChecked"]


def test_every_change_leaves_a_trail(house, call):
    act(call, "add", tokens=ONE)
    act(call, "toggle", token=0)
    act(call, "refresh_balance", token=0)
    act(call, "remove", token=0)
    call("POST", "/api/logs/settings", {"logLevel": "warn"})
    trail = [(row["action"], row["via"]) for row in rows_of(house, "audit")]
    assert [action for action, _ in trail] == ["key.import", "key.disable", "key.test", "key.delete", "settings.change"]
    assert {via for _, via in trail} == {"session token"}


def test_figures_in_short(house, call):
    house.add_keys(*OPENAI_KEYS[:3])
    house.keypool.inventory.set_disabled([2], FOREVER)
    house.chat("gpt-4o")
    house.keypool.recorder.drain()
    stats = call("GET", "/api/stats?force=true")["stats"]
    assert (stats["current"]["rpm"], stats["current"]["rpd"]) == (1, 1)
    assert stats["current"]["tpm"] == stats["current"]["tpd"] > 0
    tokens = stats["tokens"]
    assert (tokens["total"], tokens["active"], tokens["disabled"], len(tokens["details"])) == (3, 2, 1, 3)
    assert tokens["details"][0]["usageCount"] == 1
    assert stats["updated"]


def test_the_log_level_is_the_setting(house, call):
    assert call("POST", "/api/logs/settings", {"logLevel": "warn"})["logLevel"] == "warning"
    assert house.keypool.preferences.current.log_level == "warning"
    for body, param in (({"logLevel": "loud"}, "logLevel"), ({}, "logLevel"), ({"logLevel": 7}, "logLevel")):
        assert call("POST", "/api/logs/settings", body, 400)["error"]["param"] == param
