"""Many keys at once: added, changed by ids or by a query, tested, copied, and brought back."""

import time

import gevent
import orjson
import pytest

from pool.core.masking import mask
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.upstream import refuse_key
from tests.web.api.test_keys import key, trail
from tests.web.visitor import rows_of

ACTIONS = "/admin/keys/actions"
MANY = 1_203


def secret(n):
    return f"AIzaSyMany{n:06d}" + "z" * 23


def many(house, count=MANY):
    return house.add_keys(*(secret(n) for n in range(count)))


def wait(house, told):
    assert house.keypool.jobs.wait(told["job"], 60)
    return told["job"]


def job_of(house, job_id):
    (row,) = (row for row in rows_of(house, "jobs") if row["id"] == job_id)
    return {**row, "result": orjson.loads(row["result"] or "null"), "fates": orjson.loads(row["fates"] or "{}")}


# -- the batch of a predecessor ---------------------------------------------------------------------------------------


def test_a_batch_takes_what_it_can_and_tells_of_each_row(house, call):
    house.add_keys(GEMINI_KEYS[8])
    rows = [
        {"api_key": GEMINI_KEYS[0], "gmail_email": "ana@gmail.com", "notes": "hers"},
        {"api_key": GEMINI_KEYS[1]},
        {"api_key": GEMINI_KEYS[0], "gmail_email": "bob@gmail.com"},
        {"api_key": GEMINI_KEYS[8], "gmail_email": "eve@gmail.com"},
        {"api_key": "short", "gmail_email": "eve@gmail.com"},
        {"gmail_email": "eve@gmail.com"}, 7, None, {"api_key": 5, "tags": 3},
        {"key": OPENAI_KEYS[0], "tags": ["a"], "weight": 4},
        OPENAI_KEYS[1],
    ]  # fmt: skip
    told = call("POST", "/admin/keys/batch", {"api_keys": rows}, 201)
    assert (told["success"], told["message"]) == (True, "批量添加完成: 成功3个, 失败8个")
    parts = told["data"]
    assert parts["total"] == 11
    assert parts["success"][0] == {
        "index": 1, "id": parts["success"][0]["id"], "api_key": mask(GEMINI_KEYS[0]), "gmail_email": "ana@gmail.com",
        "notes": "hers", "result": "added",
    }  # fmt: skip
    assert [row["index"] for row in parts["success"]] == [1, 10, 11]
    assert [error["index"] for error in parts["errors"]] == [2, 3, 4, 5, 6, 7, 8, 9]
    errors = {error["index"]: error for error in parts["errors"]}
    assert errors[2]["error"] == errors[6]["error"] == "api_key 和 gmail_email 是必填字段"
    assert errors[3]["error"] == errors[4]["error"] == "API Key已存在"
    assert [row["index"] for row in parts["duplicates"]] == [3, 4]
    added = key(call, parts["success"][1]["id"])
    assert (added["provider"], added["tags"], added["pools"][0]["weight"]) == ("openai", ["a"], 4)


def test_a_batch_of_nothing_is_400_in_its_predecessors_words(call):
    for body in ({}, {"api_keys": []}):
        assert call("POST", "/admin/keys/batch", body, 400)["error"] == "api_keys 必须是非空数组"
    assert call("POST", "/admin/keys/batch", {"api_keys": "x"}, 400)["error"]["param"] == "api_keys"
    call("POST", "/admin/keys/batch", {"api_keys": [GEMINI_KEYS[0]], "pool": "gone"}, 404)


@pytest.mark.alone
def test_a_batch_of_ten_thousand_takes_two_seconds_of_a_processor_and_lets_others_go_on(house, call):
    rows = [{"api_key": secret(n), "gmail_email": f"user{n}@gmail.com"} for n in range(10_000)]
    beats = 0

    def beat():
        nonlocal beats
        while True:
            gevent.sleep(0.005)
            beats += 1

    beating = gevent.spawn(beat)
    began = time.process_time()
    told = call("POST", "/admin/keys/batch", {"api_keys": rows}, 201)
    took_s = time.process_time() - began
    beating.kill()
    assert len(told["data"]["success"]) == 10_000
    # Two on a machine that does nothing else; this one may be slower, and counts what the test itself does.
    assert took_s < 4
    assert beats > 20


# -- actions by ids ---------------------------------------------------------------------------------------------------


def test_each_action_is_done_to_the_keys_that_are_named_and_can_be_taken_back(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:3], tags=("old",))
    research, _ = house.keypool.inventory.create_pool("research")
    public = [key(call, key_id)["public_id"] for key_id in ids]
    for action, more, name, after in (
        ("disable", {}, "enabled", False),
        ("disable", {"until": time.time() + 500}, "status", "disabled"),
        ("tag", {"tags": ["new"]}, "tags", ["old", "new"]),
        ("untag", {"tags": ["old"]}, "tags", []),
        ("project", {"project": "p1"}, "project", "p1"),
        ("link", {"pool": "research"}, "pools", ["default", "research"]),
        ("move", {"pool": research}, "pools", ["research"]),
        ("unlink", {"pool": "default"}, "pools", ["default"]),
        ("weight", {"weight": 9}, "weight", 9),
        ("delete", {}, "status", "binned"),
    ):
        before = [key(call, key_id) for key_id in ids]
        told = call("POST", ACTIONS, {"action": action, "ids": [ids[0], public[1], 999, "key_nobodys"], **more})
        assert told["count"] == 2
        assert {row["id"]: row["result"] == "not_found" for row in told["results"]} == {
            ids[0]: False, ids[1]: False, 999: True, "key_nobodys": True}  # fmt: skip
        shown = {row["id"]: row for row in call("GET", "/admin/bin" if action == "delete" else "/admin/keys")["data"]}
        for key_id in ids[:2]:
            row = shown[key_id]
            value = {"pools": [seat["name"] for seat in row["pools"]], "weight": row["pools"][0]["weight"]}
            assert value.get(name, row.get(name)) == after, action
        assert key(call, ids[2]) == before[2]
        assert call("POST", f"{ACTIONS}/{told['undo']}/undo")["message"] == "Undone."
        ever = {"updated_at": 0}
        assert [{**key(call, key_id), **ever} for key_id in ids] == [{**row, **ever} for row in before], action
    assert trail(house)[-2:] == [("key.delete", "2 keys"), ("key.undo", f"audit {told['undo']}")]


def test_a_deleted_selection_is_restored_and_enabled_ones_stay_as_they_are(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:3])
    call("POST", ACTIONS, {"action": "delete", "ids": ids})
    assert house.keypool.catalogue.keys == {}
    told = call("POST", ACTIONS, {"action": "restore", "query": {}})
    assert sorted(row["id"] for row in told["results"]) == ids
    assert len(house.keypool.catalogue.keys) == 3
    assert {row["result"] for row in call("POST", ACTIONS, {"action": "enable", "ids": ids})["results"]} == {"enabled"}
    told = call("POST", ACTIONS, {"action": "clear", "ids": ids})
    assert (told["count"], told["undo"]) == (3, None)
    call("POST", f"{ACTIONS}/1/undo", None)
    call("POST", f"{ACTIONS}/999/undo", None, 404)


def test_an_action_says_what_it_needs(house, call):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    for body, param in (
        ({"action": "explode", "ids": [1]}, "action"), ({"action": "enable"}, "ids"), ({"ids": [1]}, "action"),
        ({"action": "enable", "ids": [1], "query": {}}, "ids"), ({"action": "link", "ids": [1]}, "pool"),
        ({"action": "tag", "ids": [1]}, "tags"), ({"action": "weight", "ids": [1]}, "weight"),
        ({"action": "weight", "ids": [1], "weight": 101}, "weight"), ({"action": "project", "ids": [1]}, "project"),
        ({"action": "disable", "ids": [1], "until": 5}, "until"),
        ({"action": "enable", "query": {"state": "odd"}}, "query.state"),
        ({"action": "enable", "query": {"colour": "red"}}, "query.colour"),
    ):  # fmt: skip
        assert call("POST", ACTIONS, body, 400)["error"]["param"] == param, body
    call("POST", ACTIONS, {"action": "link", "ids": [key_id], "pool": "gone"}, 404)
    assert call("POST", ACTIONS, {"action": "enable", "ids": []})["count"] == 0


# -- actions by a query, and jobs -------------------------------------------------------------------------------------


def test_a_dry_run_tells_how_many_there_are_and_does_nothing(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:4], *OPENAI_KEYS[:2])
    for query, count in (({}, 6), ({"provider": "gemini"}, 4), ({"q": "nothing"}, 0)):
        told = call("POST", ACTIONS, {"action": "delete", "query": query, "dry_run": True})
        assert (told["count"], told["dry_run"]) == (count, True)
    assert call("POST", ACTIONS, {"action": "delete", "ids": [*ids[:2], 99], "dry_run": True})["count"] == 2
    assert call("POST", ACTIONS, {"action": "restore", "query": {}, "dry_run": True})["count"] == 0
    assert len(house.keypool.catalogue.keys) == 6
    assert trail(house) == []


@pytest.mark.parametrize("action", ["delete", "disable"])
def test_all_that_a_query_finds_is_done_by_a_job_and_taken_back_by_another(house, call, action):
    ids = many(house)
    house.keypool.inventory.set_disabled(ids[:3], time.time() + 500)
    asked = {"action": action, "query": {"state": "healthy", "provider": "gemini"}}
    told = call("POST", ACTIONS, asked, 202)
    assert told["count"] == MANY - 3
    job = job_of(house, wait(house, told))
    assert (job["state"], job["done"], job["kind"]) == ("done", MANY - 3, f"keys.{action}")
    assert job["result"]["changed"] == MANY - 3
    catalogue = house.keypool.catalogue
    assert sum(each.available(time.time()) for each in catalogue.keys.values()) == 0
    back = call("POST", f"{ACTIONS}/{job['result']['undo']}/undo", None, 202)
    assert job_of(house, wait(house, back))["state"] == "done"
    assert sum(each.available(time.time()) for each in catalogue.keys.values()) == MANY - 3
    assert len(catalogue.keys) == MANY
    (entry,) = (row for row in rows_of(house, "audit") if row["id"] == job["result"]["undo"])
    assert len(entry["before"]) < 500, "keys that were alike take a line"
    assert {row["via"] for row in rows_of(house, "audit")} == {"password"}


def test_a_cancelled_job_keeps_what_it_did_and_that_can_be_taken_back(house, call):
    many(house)
    told = call("POST", ACTIONS, {"action": "delete", "query": {}}, 202)
    house.keypool.jobs.cancel(told["job"])
    wait(house, told)
    job = job_of(house, told["job"])
    assert job["state"] == "cancelled"
    left = len(house.keypool.catalogue.keys)
    undo = orjson.loads(job["undo"]) if job["undo"] else None
    if undo:
        assert left < MANY
        answer = house.app.test_client().post(f"{ACTIONS}/{undo['audit']}/undo", headers={"X-Admin-Key": PASSWORD})
        if answer.status_code == 202:
            wait(house, answer.json)
    assert len(house.keypool.catalogue.keys) == MANY


# -- testing ----------------------------------------------------------------------------------------------------------


def test_keys_are_tested_together_and_told_what_was_found(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:3])
    told = call("POST", ACTIONS, {"action": "test", "ids": ids})
    assert [row["result"] for row in told["results"]] == ["alive"] * 3
    told = call("POST", "/admin/health/check-all")
    assert (told["count"], {row["result"] for row in told["results"]}) == (3, {"alive"})


def test_more_keys_than_somebody_would_wait_for_are_tested_by_a_job(house, call):
    many(house, 60)
    told = call("POST", "/admin/health/check-all", None, 202)
    job = job_of(house, wait(house, told))
    assert (job["state"], job["result"], told["count"]) == ("done", {"found": {"alive": 60}}, 60)


# -- copying ----------------------------------------------------------------------------------------------------------


def copy(house, body, status=200):
    answer = house.app.test_client().post("/admin/keys/copy", json=body, headers={"X-Admin-Key": PASSWORD})
    assert answer.status_code == status, answer.text
    return answer


def test_keys_are_copied_in_full_by_the_password_alone(house, passwords):
    ids = house.add_keys(*GEMINI_KEYS[:2], *OPENAI_KEYS[:1], email="a@b.c")
    assert GEMINI_KEYS[0] not in copy(house, {"ids": ids}, 403).text
    copy(house, {"ids": ids, "password": "wrong password"}, 403)
    told = copy(house, {"ids": ids[:2], "password": PASSWORD})
    assert (told.text, told.mimetype) == (f"{GEMINI_KEYS[0]}\n{GEMINI_KEYS[1]}\n", "text/plain")
    query = {"query": {"provider": "openai"}, "password": PASSWORD}
    assert copy(house, {**query, "format": "json"}).json[0]["key"] == OPENAI_KEYS[0]
    assert copy(house, {**query, "format": "env"}).text == f"OPENAI_API_KEYS={OPENAI_KEYS[0]}\n"
    assert copy(house, {**query, "format": "csv"}).text.startswith("key,provider")
    assert trail(house) == [("key.copy", "2 keys")] + [("key.copy", f"key {ids[2]}")] * 3
    assert GEMINI_KEYS[0] not in str(rows_of(house, "audit"))


# -- a predecessor's Gemini keys --------------------------------------------------------------------------------------


def test_gemini_keys_are_listed_added_and_deleted_in_their_predecessors_shape(house, call):
    told = call("POST", "/admin/keys/gemini", {"key": GEMINI_KEYS[0]})
    assert (told["success"], told["message"], told["data"]) == (True, "Gemini key added successfully", None)
    house.add_keys(OPENAI_KEYS[0])
    house.chat()
    house.keypool.recorder.drain()
    told = call("GET", "/admin/keys/gemini")
    (row,) = told["data"]
    assert (told["success"], told["message"], told["next"]) == (True, "Success", None)
    assert (row["key"], row["status"], row["health_status"]) == (mask(GEMINI_KEYS[0]), 1, "healthy")
    assert (row["success_rate"], row["total_requests"], row["successful_requests"]) == (1.0, 1, 1)
    assert call("DELETE", f"/admin/keys/gemini/{row['id']}")["message"] == "Gemini key deleted successfully"
    assert call("GET", "/admin/keys/gemini")["data"] == []


def test_what_is_wrong_with_a_gemini_key_is_said_in_its_predecessors_words(house, call):
    house.add_keys(GEMINI_KEYS[0])
    (openai,) = house.add_keys(OPENAI_KEYS[0])
    for body, message in (
        ({}, "API key is required and must be a string"),
        ({"key": 7}, "API key is required and must be a string"),
        ({"key": "AIzaSyshort"}, "API key is too short"),
        ({"key": GEMINI_KEYS[0]}, "Failed to add Gemini key (may already exist)"),
    ):
        error = call("POST", "/admin/keys/gemini", body, 400)["error"]
        assert (error["message"], error["type"], error["code"]) == (message, "invalid_request_error", "http_400")
    for reference, message in (("abc", "Invalid key ID"), ("77", "Failed to delete Gemini key"),
                               (str(openai), "Failed to delete Gemini key")):  # fmt: skip
        assert call("DELETE", f"/admin/keys/gemini/{reference}", None, 400)["error"]["message"] == message


def test_dead_gemini_keys_are_deleted_and_others_stay(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:3])
    house.upstream.for_key(GEMINI_KEYS[0], refuse_key)
    call("POST", f"/admin/keys/{ids[0]}/test")
    house.keypool.recorder.drain()
    assert call("DELETE", "/admin/keys/gemini/unhealthy?dry_run=1")["count"] == 1
    told = call("DELETE", "/admin/keys/gemini/unhealthy")
    assert told["results"] == [{"id": ids[0], "result": "deleted"}]
    assert sorted(house.keypool.catalogue.keys) == ids[1:]
