"""Upstream keys as programs manage them: in two predecessors' shapes, and in one of our own."""

import time

import pytest

from pool.core.masking import mask
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.web.visitor import Visitor, rows_of

FIRST = GEMINI_KEYS[0]


def key(call, key_id):
    return call("GET", f"/admin/keys/{key_id}")["data"]


def trail(house):
    return [(row["action"], row["object"]) for row in rows_of(house, "audit")]


# -- adding (C1) ------------------------------------------------------------------------------------------------------


def test_a_key_is_added_as_one_predecessors_clients_do(house, call):
    told = call("POST", "/admin/keys", {"api_key": FIRST, "gmail_email": "ana@gmail.com", "notes": "hers"}, 201)
    assert (told["success"], told["message"], told["provider"]) == (True, "API Key添加成功", "gemini")
    assert told["keyId"].startswith("key_")
    added = key(call, told["data"]["id"])
    assert (added["gmail_email"], added["notes"], added["max_requests"]) == ("ana@gmail.com", "hers", None)
    assert trail(house) == [("key.add", f"key {added['id']}")]


def test_a_key_is_added_as_the_other_predecessors_clients_do(house, call):
    noted = {"description": "Gemini API Key 1", "tags": ["production", "backup"], "rack": 7}
    body = {"provider": "gemini", "apiKey": FIRST, "maxRequests": 2000, "metadata": noted}
    told = call("POST", "/admin/keys", body, 201)
    assert (told["message"], told["provider"]) == ("Key added successfully", "gemini")
    assert told["data"] == {"id": told["id"]}
    added = key(call, told["keyId"])
    assert (added["max_requests"], added["metadata"], added["note"]) == (2000, noted, "Gemini API Key 1")
    assert added["tags"] == ["production", "backup"]
    told = call("POST", "/admin/keys", {"provider": "openai", "apiKey": OPENAI_KEYS[0]}, 201)
    assert key(call, told["keyId"])["max_requests"] == 1000


def test_a_key_is_added_in_our_own_shape_with_all_that_is_said_of_it(house, call):
    house.keypool.inventory.create_pool("research")
    body = {"key": OPENAI_KEYS[0], "pool": "research", "name": "n", "tags": ["a", "b", "a"], "project": "p1",
            "weight": 3, "tier": 2, "enabled": False, "limits": {"models/gpt-5": {"rpm": 5}}, "max_requests": 9,
            "max_requests_window": "day", "proxy_url": "http://me:secret@proxy:3128"}  # fmt: skip
    told = call("POST", "/admin/keys", body, 201)["key"]
    assert (told["provider"], told["tags"], told["project"], told["status"]) == ("openai", ["a", "b"], "p1", "disabled")
    assert [(seat["name"], seat["weight"], seat["tier"]) for seat in told["pools"]] == [("research", 3, 2)]
    assert (told["limits"], told["max_requests_window"]) == ({"gpt-5": {"rpm": 5}}, "day")
    assert told["proxy_url"] == "http://me:***@proxy:3128"
    assert house.keypool.catalogue.keys[told["id"]].proxy_url == "http://me:secret@proxy:3128"


def test_what_a_shape_lacks_is_said_in_its_predecessors_words(call):
    for body, error in (
        ({"api_key": FIRST}, "api_key 和 gmail_email 是必填字段"),
        ({"gmail_email": "ana@gmail.com"}, "api_key 和 gmail_email 是必填字段"),
        ({"provider": "gemini"}, "Provider and apiKey are required"),
        ({"apiKey": FIRST}, "Provider and apiKey are required"),
        ({"apiKey": FIRST, "provider": "nobody"}, "Unsupported provider: nobody"),
    ):
        assert call("POST", "/admin/keys", body, 400) == {"success": False, "error": error, "message": error}
    for body, param in (({}, "key"), ({"key": "x" * 30}, "provider"), ({"key": FIRST, "colour": "red"}, "colour"),
                        ({"key": FIRST, "weight": "3"}, "weight"), ({"key": "short"}, "provider"),
                        ({"key": FIRST, "proxy_url": "ftp://x"}, "proxy_url")):  # fmt: skip
        assert call("POST", "/admin/keys", body, 400)["error"]["param"] == param
    assert call("POST", "/admin/keys", {"key": FIRST, "pool": "gone"}, 404)["error"]["code"] == "pool_not_found"


def test_a_key_that_is_here_is_409_in_every_shape(call):
    call("POST", "/admin/keys", {"key": FIRST}, 201)
    told = call("POST", "/admin/keys", {"api_key": FIRST, "gmail_email": "a@b.c"}, 409)
    assert told["error"] == "API Key已存在"
    assert isinstance(call("POST", "/admin/keys", {"apiKey": FIRST, "provider": "gemini"}, 409)["error"], str)
    assert call("POST", "/admin/keys", {"key": FIRST}, 409)["error"]["code"] == "key_exists"


def test_a_key_of_another_pool_joins_and_one_in_the_bin_comes_back(house, call):
    house.keypool.inventory.create_pool("research")
    first = call("POST", "/admin/keys", {"key": FIRST}, 201)
    linked = call("POST", "/admin/keys", {"key": FIRST, "pool": "research"}, 201)
    assert (linked["id"], linked["result"], len(linked["key"]["pools"])) == (first["id"], "linked", 2)
    call("DELETE", f"/admin/keys/{first['id']}")
    assert call("POST", "/admin/keys", {"key": FIRST}, 201)["result"] == "restored"


def test_keys_of_new_shapes_are_taken_and_what_can_never_be_one_is_not(call):
    """C27."""
    told = call("POST", "/admin/keys", {"api_key": "AQ." + "a" * 50, "gmail_email": "a@b.c"}, 201)
    assert told["provider"] == "gemini"
    assert call("POST", "/admin/keys", {"key": FIRST[:30]}, 201)["warnings"] == ["length"]
    for secret in ("ya29.abcdefghijklmnopqrstuvwxyz", "eyJhbGciOiJIUzI1NiJ9.e30.xxxxxxx", "too-short", "a space " * 5,
                   "GOCSPX-abcdefghijklmnopqrstuvwxyz", "sk-pool-0123456789abcdef0123456789abcdef"):  # fmt: skip
        call("POST", "/admin/keys", {"key": secret, "provider": "openai"}, 400)
        call("POST", "/admin/keys", {"apiKey": secret, "provider": "openai"}, 400)


# -- ids and deleting (C2) --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", ["AIzaSy…", "AIzaSyAA...bbbb", "AIza" + "*" * 30])
def test_a_mask_is_no_key_to_add(call, masked):
    told = call("POST", "/admin/keys", {"key": masked}, 400)
    assert told["error"]["param"] == "key"


def test_a_key_is_deleted_by_either_id_and_told_so_in_that_ones_words(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:2])
    assert call("DELETE", f"/admin/keys/{ids[0]}")["message"] == "API Key删除成功"
    public_id = key(call, ids[1])["public_id"]
    assert call("DELETE", f"/admin/keys/{public_id}")["message"] == "Key deleted successfully"
    assert house.keypool.catalogue.keys == {}
    assert [row["id"] for row in call("GET", "/admin/bin")["data"]] == [ids[1], ids[0]]
    assert call("POST", f"/admin/keys/{ids[0]}/restore")["data"]["status"] == "healthy"
    assert trail(house) == [("key.delete", f"key {ids[0]}"), ("key.delete", f"key {ids[1]}"),
                            ("key.restore", f"key {ids[0]}")]  # fmt: skip


def test_a_key_that_is_missing_is_404_and_what_is_no_id_400(call):
    missing = {"success": False, "error": "Key not found", "message": "Key not found"}
    for reference in ("77", "key_1234567890_abc123", "9" * 18):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            assert call(method, f"/admin/keys/{reference}", {} if method != "GET" else None, 404) == missing
        assert call("POST", f"/admin/keys/{reference}/toggle", {}, 404) == missing
    assert call("DELETE", "/admin/keys/abc", None, 400)["error"] == "无效的key ID"
    call("GET", "/admin/keys/" + "9" * 40, None, 404)


# -- changing (C3, C28) -----------------------------------------------------------------------------------------------


def test_a_put_changes_what_it_names_and_nothing_else(house, call):
    (key_id,) = house.add_keys(FIRST, note="old", email="a@b.c")
    call("POST", f"/admin/keys/{key_id}/toggle", {"is_active": False})
    told = call("PUT", f"/admin/keys/{key_id}", {"maxRequests": 9})
    assert told["message"] == "Key updated successfully"
    after = told["data"]
    assert (after["max_requests"], after["enabled"], after["note"], after["email"]) == (9, False, "old", "a@b.c")
    after = call("PUT", f"/admin/keys/{key_id}", {"isActive": True, "metadata": {"description": "new"}})["data"]
    assert (after["max_requests"], after["enabled"], after["note"]) == (9, True, "new")
    named = {"name": "n", "tags": ["x"], "weight": 0, "status": "disabled"}
    after = call("PATCH", f"/admin/keys/{key_id}", named)["data"]
    assert (after["name"], after["tags"], after["pools"][0]["weight"], after["enabled"]) == ("n", ["x"], 0, False)
    assert after["note"] == "new"


def test_what_was_read_may_be_written_back_whole_and_changes_nothing(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:2], note="n", tags=("a",), email="a@b.c", project="p", max_requests=5)
    call("PUT", f"/admin/keys/{ids[0]}", {"proxy_url": "http://me:secret@proxy:1", "metadata": {"rack": 7}})
    call("PUT", f"/admin/keys/{ids[1]}", {"disabled_until": time.time() + 500})
    for key_id in ids:
        before, written = key(call, key_id), len(rows_of(house, "audit"))
        assert call("PUT", f"/admin/keys/{key_id}", before)["data"] == before
        assert len(rows_of(house, "audit")) == written
    assert house.keypool.inventory.secrets(ids) == dict(zip(ids, GEMINI_KEYS[:2], strict=True))
    assert house.keypool.catalogue.keys[ids[0]].proxy_url == "http://me:secret@proxy:1"


@pytest.mark.parametrize("name", ["key", "api_key", "apiKey"])
@pytest.mark.parametrize("masked", [mask(FIRST), FIRST[:10] + "...", "***", FIRST[:4] + "…" + FIRST[-4:], "", None])
def test_a_masked_key_written_back_changes_nothing(house, call, name, masked):
    """C20, C28."""
    (key_id,) = house.add_keys(FIRST)
    call("PUT", f"/admin/keys/{key_id}", {name: masked, "note": "x"})
    assert house.keypool.inventory.secrets([key_id]) == {key_id: FIRST}


def test_another_secret_takes_the_place_of_a_key_unless_it_is_one_already(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:2])
    house.keypool.catalogue.bench(ids[0], "errors", time.time() + 500)
    before = key(call, ids[0])
    told = call("PUT", f"/admin/keys/{ids[0]}", {"key": GEMINI_KEYS[5]})["data"]
    assert (told["key"], told["status"], before["status"]) == (mask(GEMINI_KEYS[5]), "healthy", "cooling")
    assert house.keypool.inventory.secrets([ids[0]]) == {ids[0]: GEMINI_KEYS[5]}
    assert house.chat().status_code == 200
    taken = call("PUT", f"/admin/keys/{ids[0]}", {"key": GEMINI_KEYS[1]}, 409)
    assert (taken["error"]["code"], taken["error"]["param"]) == ("key_exists", "key")
    call("PUT", f"/admin/keys/{ids[0]}", {"key": "ya29.abcdefghijklmnopqrstuvwxyz"}, 400)
    row = rows_of(house, "audit")[-1]
    assert GEMINI_KEYS[5] not in str(row)
    assert mask(GEMINI_KEYS[5]) in row["after"]


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


REFUSED = [
    ({"proxy_url": "http://me:***@proxy:1"}, 400, "proxy_url"),
    ({"pools": ["gone"]}, 404, "pools"),
    ({"metadata": {"a": nested(100)}}, 400, "metadata"),
    ({"metadata": {"a": nested(500)}}, 400, "metadata"),
]


@pytest.mark.parametrize(("said", "status", "param"), REFUSED)
def test_a_change_that_is_refused_changes_nothing(house, call, said, status, param):
    (key_id,) = house.add_keys(FIRST)
    before = key(call, key_id)
    told = call("PUT", f"/admin/keys/{key_id}", {"key": GEMINI_KEYS[5], "note": "new", **said}, status)
    assert told["error"]["param"] == param
    assert key(call, key_id) == before
    assert house.keypool.inventory.secrets([key_id]) == {key_id: FIRST}
    taken = house.add_keys(GEMINI_KEYS[1])
    call("PUT", f"/admin/keys/{key_id}", {"key": GEMINI_KEYS[1], "note": "new", "enabled": False}, 409)
    assert key(call, key_id) == before
    assert taken != [key_id]


@pytest.mark.parametrize(("said", "status", "param"), REFUSED)
def test_a_key_that_is_refused_is_not_added(house, call, said, status, param):
    assert call("POST", "/admin/keys", {"key": FIRST, **said}, status)["error"]["param"] == param
    assert house.keypool.catalogue.keys == {}
    if "metadata" in said:
        body = {"provider": "gemini", "apiKey": FIRST, **said}
        assert call("POST", "/admin/keys", body, status)["error"]["param"] == param
    assert house.keypool.catalogue.keys == {}
    assert trail(house) == []


def test_the_pools_of_a_key_are_those_that_are_named(house, call):
    (key_id,) = house.add_keys(FIRST, weight=7)
    second, _ = house.keypool.inventory.create_pool("second")
    told = call("PUT", f"/admin/keys/{key_id}", {"pools": ["default", {"id": second, "weight": 2, "tier": 1}]})["data"]
    assert [(seat["name"], seat["weight"], seat["tier"]) for seat in told["pools"]] == [
        ("default", 7, 0), ("second", 2, 1)]  # fmt: skip
    told = call("PUT", f"/admin/keys/{key_id}", {"pools": ["second"]})["data"]
    assert [(seat["name"], seat["weight"]) for seat in told["pools"]] == [("second", 2)]
    told = call("PUT", f"/admin/keys/{key_id}", {"pools": [{"id": second, "enabled": False}]})["data"]
    assert told["pools"][0]["enabled"] is False
    assert len(house.keypool.catalogue.rotations[second]["gemini"]) == 0
    call("PUT", f"/admin/keys/{key_id}", {"pools": []}, 400)
    call("PUT", f"/admin/keys/{key_id}", {"pools": ["gone"]}, 404)


def test_a_key_is_disabled_until_a_moment(house, call):
    (key_id,) = house.add_keys(FIRST)
    until = time.time() + 500
    told = call("PATCH", f"/admin/keys/{key_id}", {"disabled_until": until})["data"]
    assert (told["status"], told["disabled_until"], told["until"]) == ("disabled", until, until)
    told = call("PATCH", f"/admin/keys/{key_id}", {"enabled": False, "disabled_until": None})["data"]
    assert (told["enabled"], told["disabled_until"]) == (False, None)
    assert call("PATCH", f"/admin/keys/{key_id}", {"enabled": True})["data"]["status"] == "healthy"


def test_a_toggle_does_as_it_is_told_and_flips_where_it_is_told_nothing(house, call):
    (key_id,) = house.add_keys(FIRST)
    for body, message, active in (
        ({"is_active": False}, "API Key已禁用", False),
        ({"is_active": False}, "API Key已禁用", False),
        ({"is_active": True}, "API Key已启用", True),
        ({}, "API Key已禁用", False),
        (None, "API Key已启用", True),
    ):
        told = call("POST", f"/admin/keys/{key_id}/toggle", body)
        assert (told["success"], told["message"], told["data"]["is_active"]) == (True, message, active)


# -- listing ----------------------------------------------------------------------------------------------------------


def test_the_list_has_every_name_of_a_member(house, call):
    (key_id,) = house.add_keys(FIRST, email="a@b.c", note="n")
    (told,) = call("GET", "/admin/keys")["data"]
    assert (told["id"], told["api_key"], told["key"]) == (key_id, mask(FIRST), mask(FIRST))
    assert (told["gmail_email"], told["notes"], told["is_active"]) == ("a@b.c", "n", True)
    assert (told["total_requests"], told["error_count"], told["last_used_at"]) == (0, 0, None)
    assert isinstance(told["created_at"], float)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["id", "created_at", "last_used_at", "requests", "errors", "tokens", "cost_usd",
                                  "success_rate"])  # fmt: skip
def test_pages_of_any_order_hold_every_key_once(house, call, sort, order):
    ids = house.add_keys(*GEMINI_KEYS[:7])
    worked = [(3, 1, None), (3, 2, 5.5), (0, 0, 7.0), (9, 9, None), (1, 1, 5.5), (7, 3, 1.0), (0, 0, None)]

    def use(session):
        from pool.adapters.tables import Key

        for key_id, (requests, successes, at) in zip(ids, worked, strict=True):
            row = session.get(Key, key_id)
            row.requests, row.successes, row.errors, row.last_used_at = requests, successes, requests - successes, at

    house.keypool.database.write(use)
    seen, after = [], ""
    while after is not None:
        page = call("GET", f"/admin/keys?sort={sort}&order={order}&limit=2&after={after}")
        seen, after = seen + page["data"], page["next"]
    assert sorted(row["id"] for row in seen) == ids
    values = [(row[sort] or 0, row["id"]) for row in seen]
    if sort != "success_rate":  # rounded in what is told
        assert values == sorted(values, reverse=order == "desc")


def test_a_list_is_narrowed_down_by_each_filter(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:4], *OPENAI_KEYS[:1])
    pool_id, _ = house.keypool.inventory.create_pool("research")
    call("PUT", f"/admin/keys/{ids[0]}", {"tags": ["blue", "dark \"blue\""], "project": "p1", "note": "a comet"})
    call("PUT", f"/admin/keys/{ids[1]}", {"enabled": False})
    call("PUT", f"/admin/keys/{ids[2]}", {"pools": ["research"], "tags": ["bluebird", "日本"]})
    call("PUT", f"/admin/keys/{ids[3]}", {"limits": {"*": {"rpm": 1}}})
    house.keypool.catalogue.bench(ids[3], "limited", time.time() + 50)
    for query, found in (
        ("q=comet", [0]), ("tag=blue", [0]), ("tag=dark \"blue\"", [0]), ("tag=日本", [2]), ("project=p1", [0]),
        ("provider=openai", [4]), ("pool=research", [2]), (f"pool={pool_id}", [2]), ("state=disabled", [1]),
        ("state=healthy", [0, 2, 3, 4]), ("state=limited", [3]), ("state=untested", [0, 1, 2, 3, 4]),
        ("state=healthy&provider=gemini&pool=default", [0, 3]), ("binned=1", []), ("q=nothing", []),
    ):  # fmt: skip
        page = call("GET", f"/admin/keys?order=asc&count=1&{query}")
        assert [ids.index(row["id"]) for row in page["data"]] == found, query
        assert page["total"] == len(found)
    assert key(call, ids[3])["status"] == "limited"
    for query, param in (("state=odd", "state"), ("limit=0", "limit"), ("limit=501", "limit"), ("sort=colour", "sort"),
                         ("after=!!", "after"), ("colour=red", "colour")):  # fmt: skip
        assert call("GET", f"/admin/keys?{query}", None, 400)["error"]["param"] == param
    call("GET", "/admin/keys?pool=gone", None, 404)


def test_keys_are_found_by_what_went_wrong_with_them(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:3])

    def fail(session):
        from pool.adapters.tables import Key, KeyHealth

        session.get(Key, ids[0]).last_error = "503 overloaded The model is overloaded."
        session.add(KeyHealth(key_id=ids[1], model="m", state="cooling", reason="quota_day", status=429, streak=1))

    house.keypool.database.write(fail)
    for code, found in (("503", [0]), ("overloaded", [0]), ("429", [1]), ("quota_day", [1]), ("401", []), ("50%", [])):
        page = call("GET", f"/admin/keys?code={code.replace('%', '%25')}")
        assert [ids.index(row["id"]) for row in page["data"]] == found, code


# -- test, clear, reveal ----------------------------------------------------------------------------------------------


def test_a_key_is_tested_and_what_is_known_against_it_forgotten(house, call):
    ids = house.add_keys(*GEMINI_KEYS[:2])
    told = call("POST", f"/admin/keys/{ids[0]}/test")
    assert (told["success"], told["check"]["result"], told["check"]["status"]) == (True, "alive", 200)
    assert told["data"]["checked_at"] > time.time() - 60
    house.keypool.catalogue.bench(ids[1], "errors", time.time() + 500)
    for verb in ("clear", "clear-cooldown"):
        assert call("POST", f"/admin/keys/{ids[1]}/{verb}")["data"]["status"] == "healthy"
    assert ("key.test", f"key {ids[0]}") in trail(house)
    assert ("key.clear", f"key {ids[1]}") in trail(house)


def test_a_key_that_spent_its_cap_serves_again_once_its_counters_are_reset(house, call):
    (key_id,) = house.add_keys(FIRST, max_requests=1)
    assert [house.chat().status_code for _ in range(2)] == [200, 429]
    assert key(call, key_id)["status"] == "limited"
    call("POST", f"/admin/keys/{key_id}/reset-counters")
    assert house.chat().status_code == 200


def test_a_secret_leaves_only_by_the_password(house, call):
    (key_id,) = house.add_keys(FIRST)
    path = f"/admin/keys/{key_id}/reveal"
    for body, code in (({}, "password_required"), ({"password": "wrong password"}, "wrong_password")):
        assert call("POST", path, body, 403)["error"]["code"] == code
    told = call("POST", path, {"password": PASSWORD})
    assert (told["key"], told["id"]) == (FIRST, key_id)
    assert trail(house) == [("key.reveal", f"key {key_id}")]
    # A program's header is no session: the password is asked for again.
    call("POST", path, {}, 403)
    for n in range(3):
        call("POST", path, {"password": f"guess number {n}"}, 403)
    assert call("POST", path, {"password": "one guess more"}, 429)["error"]["code"] == "too_many_attempts"


def test_in_a_session_the_password_holds_for_ten_minutes(house, passwords):
    (key_id,) = house.add_keys(FIRST)
    visitor = Visitor(house)
    path, shown = f"/admin/keys/{key_id}/reveal", {"Authorization": f"Bearer {visitor.token}"}
    for client, headers in ((visitor.client, {}), (house.app.test_client(), shown)):
        house.keypool.database.write(_lower)
        assert client.post(path, json={}, headers=headers).status_code == 403
        assert client.post(path, json={"password": PASSWORD}, headers=headers).json["key"] == FIRST
        assert client.post(path, json={}, headers=headers).json["key"] == FIRST


def _lower(session):
    from sqlalchemy import text

    session.execute(text("UPDATE sessions SET elevated_until = 0"))
