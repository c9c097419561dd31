"""Pools as a predecessor's clients know them: `/api/pools`, with their keys as an array that can be written back."""

import time

import pytest

from pool.core.keys import FOREVER
from pool.core.masking import mask
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.upstream import gemini_error
from tests.web.visitor import Visitor, rows_of

POOLS = "/api/pools"
KEY, OTHER, THIRD = ("AIzaSyK" + digit * 32 for digit in "123")


@pytest.fixture
def call(house):
    token = Visitor(house).token

    def send(method, path="", body=None, status=200):
        headers = {"Authorization": f"Bearer {token}"}
        answer = house.app.test_client().open(POOLS + path, method=method, headers=headers, json=body)
        assert answer.status_code == status, answer.text
        return answer.json

    return send


@pytest.fixture
def made(call):
    """A pool of two keys."""
    keys = [{"key": KEY, "name": "one", "weight": 3}, {"key": OTHER, "enabled": False}]
    body = {"name": "lab", "description": "d", "geminiKeys": keys, "allowedModels": ["m"]}
    return call("POST", "", body, 201)["pool"]


def trail(house, action):
    return [row for row in rows_of(house, "audit") if row["action"] == action]


def binned(house):
    return [row["id"] for row in rows_of(house, "keys") if row["deleted_at"]]


def test_a_pool_is_made_with_its_keys_and_answered_whole_but_for_their_secrets(house, call, made):
    assert made["id"].startswith("pool-")
    assert len(made["id"]) == 37
    assert made["authKey"].startswith("sk-pool-")
    assert len(made["authKey"]) == 40
    assert (made["name"], made["description"], made["allowedModels"], made["enabled"]) == ("lab", "d", ["m"], True)
    first, second = made["geminiKeys"]
    assert (first["key"], first["name"], first["enabled"], first["weight"]) == (mask(KEY), "one", True, 3)
    assert (second["enabled"], second["weight"], second["provider"]) == (False, 1, "gemini")
    assert first["id"].startswith("key_")
    assert made["createdAt"] == pytest.approx(time.time() * 1000, abs=5000)
    assert made["stats"]["totalRequests"] == 0
    assert KEY not in str(rows_of(house, "audit"))
    assert made["authKey"] not in str(rows_of(house, "audit"))


def test_the_words_are_the_predecessors(call, made):
    path = f"/{made['id']}"
    assert call("GET", path)["success"] is True
    assert call("PUT", path, {"description": "new"})["message"] == "池更新成功"
    assert call("PUT", f"{path}/keys", {"geminiKeys": made["geminiKeys"]})["message"] == "池更新成功"
    assert call("POST", f"{path}/regenerate-auth")["message"] == "AuthKey 重新生成成功"
    assert call("DELETE", path) == {"success": True, "message": "池删除成功"}
    for method, place, message in (
        ("GET", "", "池不存在"),
        ("PUT", "", "池不存在"),
        ("DELETE", "", "池不存在或删除失败"),
        ("PUT", "/keys", "池不存在"),
        ("POST", "/keys", "池不存在"),
        ("GET", "/stats", "池不存在"),
        ("POST", "/regenerate-auth", "池不存在"),
        ("POST", "/reset-stats", "池不存在"),
        ("GET", "/models", "池不存在"),
        ("POST", "/test", "池不存在"),
    ):
        body = {} if method in ("PUT", "POST") else None
        answer = call(method, path + place, body, 404)
        assert (answer["success"], answer["message"]) == (False, message), (method, place)


def test_what_is_wrong_with_a_pool_is_listed_and_nothing_is_made(house, call):
    told = call("POST", "", {}, 400)
    assert (told["success"], told["message"]) == (False, "池配置无效")
    assert told["errors"] == ["池名称必须是非空字符串", "至少需要一个 Gemini API Key"]
    told = call("POST", "", {"name": 7, "geminiKeys": [{"key": KEY}, {"key": ""}, {}, {"key": mask(KEY)}]}, 400)
    assert told["errors"] == ["池名称必须是非空字符串", *(f"Gemini Key #{n} 无效" for n in (2, 3, 4))]
    for body in ({"enabled": "yes"}, {"allowedModels": "m"}, {"allowedModels": [7]}, {"description": 7},
                 {"name": "x" * 61}, {"geminiKeys": [{"key": KEY, "provider": "nobody"}]}):  # fmt: skip
        assert len(call("POST", "", {"name": "lab", "geminiKeys": [KEY], **body}, 400)["errors"]) == 1, body
    assert len(rows_of(house, "pools")) == 1
    assert rows_of(house, "keys") == []


def test_a_name_that_is_given_is_refused(call, made):
    assert call("POST", "", {"name": "lab", "geminiKeys": [KEY]}, 409)["error"]["code"] == "name_taken"


def test_a_list_masks_auth_keys_and_one_pool_shows_its_own(house, call, made):
    told = call("GET")
    assert (told["success"], told["total"], [pool["name"] for pool in told["pools"]]) == (True, 2, ["default", "lab"])
    assert told["pools"][1]["authKey"] == mask(made["authKey"])
    assert call("GET", f"/{made['id']}")["pool"]["authKey"] == made["authKey"]
    assert call("GET", "/1")["pool"]["authKey"] == house.auth_key
    for said in (told, call("GET", f"/{made['id']}")):
        assert KEY not in str(said)


def test_what_was_read_and_is_written_back_changes_nothing(house, call, made):
    house.keypool.inventory.set_disabled([1], FOREVER)
    before = rows_of(house, "keys"), rows_of(house, "memberships"), len(rows_of(house, "audit"))
    for pool in (call("GET", f"/{made['id']}")["pool"], next(p for p in call("GET")["pools"] if p["name"] == "lab")):
        call("PUT", f"/{made['id']}", pool)
        call("PUT", f"/{made['id']}/keys", {"geminiKeys": pool["geminiKeys"]})
        without_ids = [{name: value for name, value in key.items() if name != "id"} for key in pool["geminiKeys"]]
        call("PUT", f"/{made['id']}/keys", {"geminiKeys": without_ids})
    assert (rows_of(house, "keys"), rows_of(house, "memberships"), len(rows_of(house, "audit"))) == before
    assert house.keypool.inventory.secrets([1, 2]) == {1: KEY, 2: OTHER}


def test_a_put_changes_only_what_it_names(call, made):
    path = f"/{made['id']}"
    pool = call("PUT", path, {"enabled": False})["pool"]
    assert (pool["enabled"], pool["name"], len(pool["geminiKeys"])) == (False, "lab", 2)
    pool = call("PUT", path, {"allowedModels": [], "stats": {}, "colour": "red", "authKey": "mine"})["pool"]
    assert (pool["allowedModels"], pool["authKey"]) == ([], made["authKey"])
    told = call("PUT", path, {"name": "", "description": "lost"}, 400)
    assert told["message"].startswith("更新池失败: 更新后的配置无效: 池名称")
    assert call("GET", path)["pool"]["description"] == "d"


def test_an_array_takes_the_place_of_all_keys(house, call, made):
    first, _ = made["geminiKeys"]
    array = [{**first, "weight": 7, "name": "uno", "enabled": False}, {"key": THIRD, "name": "three"}]
    pool = call("PUT", f"/{made['id']}/keys", {"geminiKeys": array})["pool"]
    shown = [(key["key"], key["name"], key["weight"], key["enabled"]) for key in pool["geminiKeys"]]
    assert shown == [(mask(KEY), "uno", 7, False), (mask(THIRD), "three", 1, True)]
    assert pool["geminiKeys"][0]["id"] == first["id"]
    assert binned(house) == [2]
    seats = house.keypool.catalogue.rotations[2]["gemini"]
    assert (1 in seats, 3 in seats, len(seats)) == (False, True, 1)
    entry = trail(house, "pool.keys")[-1]
    assert '"binned":[2]' in entry["before"]
    assert OTHER not in entry["before"] + entry["after"]


def test_an_empty_array_or_one_with_a_fault_changes_nothing(house, call, made):
    path = f"/{made['id']}"
    for body in ({"geminiKeys": []}, {"geminiKeys": [{"key": THIRD}, {"key": "short"}]}):
        assert call("PUT", f"{path}/keys", body, 400)["success"] is False
        assert call("PUT", path, {**body, "name": "other"}, 400)["success"] is False
    assert call("PUT", f"{path}/keys", {}, 400)["errors"] == ["至少需要一个 Gemini API Key"]
    told = call("PUT", path, {"name": "other", "geminiKeys": [{"key": THIRD}, {"key": mask(THIRD)}]}, 409)
    assert (told["error"]["code"], told["error"]["param"]) == ("ambiguous_key", "geminiKeys[1]")
    assert call("GET", path)["pool"]["name"] == "lab"
    assert len(rows_of(house, "keys")) == 2


def test_a_mask_that_two_keys_have_is_refused_and_their_ids_are_not(house, call):
    twins = [KEY[:8] + middle + KEY[-4:] for middle in ("a" * 27, "b" * 27)]
    made = call("POST", "", {"name": "lab", "geminiKeys": twins}, 201)["pool"]
    masks = [{"key": key["key"]} for key in made["geminiKeys"]]
    assert call("PUT", f"/{made['id']}/keys", {"geminiKeys": masks}, 409)["error"]["code"] == "ambiguous_key"
    call("PUT", f"/{made['id']}/keys", {"geminiKeys": [{**key, "weight": 5} for key in made["geminiKeys"]]})
    assert house.keypool.inventory.secrets([1, 2]) == dict(enumerate(twins, 1))


def test_a_key_that_is_left_out_leaves_this_pool_only_where_it_is_in_others(house, call, made):
    house.keypool.inventory.arrange({2: [1, 2]})
    call("PUT", f"/{made['id']}/keys", {"geminiKeys": made["geminiKeys"][:1]})
    assert binned(house) == []
    assert house.keypool.catalogue.pools_of_key[2] == {1}
    call("PUT", f"/{made['id']}/keys", {"geminiKeys": [{"key": OTHER}]})
    assert binned(house) == [1]
    assert house.keypool.catalogue.pools_of_key[2] == {1, 2}


def test_a_key_named_by_its_id_gets_the_secret_it_comes_with(house, call, made):
    first, second = made["geminiKeys"]
    array = {"geminiKeys": [{"id": first["id"], "key": THIRD}, {"id": second["id"], "key": OTHER}]}
    call("PUT", f"/{made['id']}/keys", array)
    assert house.keypool.inventory.secrets([1, 2]) == {1: THIRD, 2: OTHER}
    taken = {"geminiKeys": [{"id": first["id"], "key": OTHER}, second]}
    assert call("PUT", f"/{made['id']}/keys", taken, 409)["error"]["code"] == "duplicate_key"
    assert THIRD not in str(rows_of(house, "audit"))


def test_a_key_that_a_person_disabled_serves_again_where_the_array_says_so(house, call, made):
    house.keypool.inventory.set_disabled([1], FOREVER)
    key = call("GET", f"/{made['id']}")["pool"]["geminiKeys"][0]
    assert key["enabled"] is False
    keys = [{**each, "enabled": True} for each in made["geminiKeys"]]
    pool = call("PUT", f"/{made['id']}/keys", {"geminiKeys": keys})["pool"]
    assert [key["enabled"] for key in pool["geminiKeys"]] == [True, True]
    assert house.keypool.catalogue.keys[1].disabled_until is None


def test_keys_are_added_beside_those_there_are(house, call, made):
    house.add_keys(THIRD)
    path = f"/{made['id']}/keys"
    told = call("POST", path, {"geminiKeys": [KEY, THIRD, {"key": GEMINI_KEYS[3], "weight": 9}, OPENAI_KEYS[0]]}, 201)
    assert (told["added"], told["linked"], told["restored"], told["duplicates"]) == (2, 1, 0, 1)
    assert told["message"] == "成功添加了3个密钥，1个密钥已存在"
    assert [key["provider"] for key in told["pool"]["geminiKeys"]] == ["gemini"] * 4 + ["openai"]
    odd = "0123456789abcdef0123456789abcdef"
    assert call("POST", path, {"keys": [{"key": odd}], "provider": "openai"}, 201)["added"] == 1
    assert call("POST", path, {"keys": [{"key": mask(KEY)}]}, 400)["errors"] == ["Gemini Key #1 无效"]
    assert call("POST", path, {}, 400)["errors"] == ["至少需要一个 Gemini API Key"]


def test_a_binned_key_comes_back(house, call, made):
    house.keypool.inventory.bin_keys([1])
    assert call("POST", f"/{made['id']}/keys", {"geminiKeys": [KEY]}, 201)["restored"] == 1
    assert binned(house) == []


def test_ids_of_keys_work_in_the_catalogue_of_keys(house, call, made):
    shown = {key["id"] for key in made["geminiKeys"]}
    assert shown == set(house.public_ids().values())


def test_a_pool_of_very_many_keys_is_not_replaced_by_an_array(house, call, monkeypatch):
    monkeypatch.setattr("pool.web.api.gemini_pools.SHOWN", 2)
    monkeypatch.setattr("pool.web.api.pool_shapes.SHOWN", 2)
    made = call("POST", "", {"name": "lab", "geminiKeys": list(GEMINI_KEYS[:3])}, 201)["pool"]
    assert (len(made["geminiKeys"]), made["geminiKeysCount"], made["geminiKeysTruncated"]) == (2, 3, True)
    told = call("PUT", f"/{made['id']}/keys", {"geminiKeys": made["geminiKeys"]}, 409)
    assert told["error"]["code"] == "too_many_keys"
    assert binned(house) == []


def test_the_default_pool_is_not_deleted(call):
    assert call("DELETE", "/1", status=409)["error"]["code"] == "default_pool"


def test_deleting_a_pool_keeps_its_keys(house, call, made):
    call("DELETE", f"/{made['id']}")
    assert binned(house) == []
    assert house.keypool.catalogue.pools_of_key == {1: {1}, 2: {1}}


def test_an_old_auth_key_may_have_a_grace(house, call, made):
    def opens(key):
        return house.client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code != 401

    second = call("POST", f"/{made['id']}/regenerate-auth", {"grace_s": 60})["pool"]["authKey"]
    assert (opens(made["authKey"]), opens(second)) == (True, True)
    third = call("POST", f"/{made['id']}/regenerate-auth")["pool"]["authKey"]
    assert [opens(key) for key in (made["authKey"], second, third)] == [False, False, True]


def test_statistics_are_real_and_can_be_begun_anew(house, call, made):
    call("PUT", f"/{made['id']}", {"allowedModels": []})
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}

    def ask(times):
        for _ in range(times):
            house.post("/v1/chat/completions", body, headers={"Authorization": f"Bearer {made['authKey']}"})
        house.keypool.recorder.drain()

    ask(3)
    told = call("GET", f"/{made['id']}/stats")["stats"]
    assert (told["poolId"], told["poolName"], told["enabled"]) == (made["id"], "lab", True)
    assert (told["geminiKeysCount"], told["enabledKeysCount"], told["allowedModelsCount"]) == (2, 1, 0)
    stats = told["stats"]
    assert (stats["totalRequests"], stats["successfulRequests"], stats["failedRequests"]) == (3, 3, 0)
    assert (stats["rpm"], stats["rpd"]) == (3, 3)
    assert stats["totalTokens"] == stats["promptTokens"] + stats["completionTokens"] == stats["tpm"] > 0
    assert stats["lastRequestTime"] == pytest.approx(time.time() * 1000, abs=10_000)
    key = call("GET", f"/{made['id']}")["pool"]["geminiKeys"][0]
    assert (key["totalRequests"], key["successfulRequests"]) == (3, 3)
    pool = call("POST", f"/{made['id']}/reset-stats")["pool"]
    assert (pool["stats"]["totalRequests"], pool["geminiKeys"][0]["totalRequests"]) == (0, 0)
    assert len(trail(house, "pool.reset")) == 1
    ask(2)
    assert call("GET", f"/{made['id']}/stats")["stats"]["stats"]["totalRequests"] == 2
    call("POST", f"/{made['id']}/reset-stats")
    assert call("GET", f"/{made['id']}/stats")["stats"]["stats"]["totalRequests"] == 0
    assert len(rows_of(house, "requests")) == 5


def test_the_models_its_keys_reach_are_listed_allowed_or_not(house, call, made):
    told = call("GET", f"/{made['id']}/models")
    assert told["total"] == len(told["models"]) > 1
    assert {each["allowed"] for each in told["models"]} == {False}
    some = told["models"][0]["id"]
    call("PUT", f"/{made['id']}", {"allowedModels": [some]})
    allowed = [each["id"] for each in call("GET", f"/{made['id']}/models")["models"] if each["allowed"]]
    assert allowed == [some]


def test_a_pool_whose_upstream_lists_no_models_says_so(house, call, made):
    house.upstream.script(gemini_error(503))
    told = call("GET", f"/{made['id']}/models", None, 409)
    assert told["success"] is False
    assert told["message"].startswith("No upstream lists its models now")


def test_its_keys_are_tested(house, call, made):
    house.upstream.for_key(OTHER, gemini_error(400, reason="API_KEY_INVALID"))
    told = call("POST", f"/{made['id']}/test")
    assert told["summary"] == {"alive": 1, "dead": 1}
    assert [each["result"] for each in told["results"]] == ["alive", "dead"]
    assert OTHER not in str(told)


def test_many_keys_are_tested_by_a_job(house, call, made, monkeypatch):
    monkeypatch.setattr("pool.web.bulk.TESTED_AT_ONCE", 1)
    told = call("POST", f"/{made['id']}/test", status=202)
    assert told["total"] == 2
    assert house.keypool.jobs.wait(told["job"], 10)
    job = house.client.get(f"/admin/jobs/{told['job']}", headers={"X-Admin-Key": PASSWORD}).json
    assert (job["state"], job["fates"]) == ("done", {"alive": 2})
