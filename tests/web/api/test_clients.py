"""Client keys managed by programs: made and shown once, limited, rotated, revoked, deleted."""

import time

import pytest

from tests.house import GEMINI_KEYS
from tests.web.visitor import rows_of

CLIENTS, USERS = "/admin/clients", "/admin/keys/user"


@pytest.fixture
def knocks(house):
    """What a program is told that presents a client key."""
    house.add_keys(GEMINI_KEYS[0])

    def knock(token):
        body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
        return house.post("/v1/chat/completions", body, headers={"Authorization": f"Bearer {token}"}).status_code

    return knock


def trail(house, action):
    return [row for row in rows_of(house, "audit") if row["action"] == action]


def test_a_client_key_is_shown_once_when_it_is_made(house, call, knocks):
    made = call("POST", CLIENTS, {"name": "ana", "rpm_limit": 30, "allowed_models": ["gemini-*"]}, 201)
    token = made["key"]
    assert token.startswith("sk-")
    assert len(token) == 51
    assert knocks(token) == 200
    assert (made["name"], made["pool"], made["enabled"], made["rpm_limit"]) == ("ana", "default", True, 30)
    for seen in (call("GET", f"{CLIENTS}/{made['id']}"), *call("GET", CLIENTS)["clients"]):
        assert seen["key"] == f"{token[:8]}...{token[-4:]}"
    assert token not in str(rows_of(house, "audit"))
    (entry,) = trail(house, "client.create")
    assert (entry["object"], entry["who"], entry["via"], entry["ip"]) == ("client 1", "admin", "password", "127.0.0.1")


def test_every_limit_is_set_changed_alone_and_taken_away(house, call):
    limits = {"rpm_limit": 5, "tpm_limit": 1000, "rpd_limit": 50, "concurrency_limit": 2, "budget_usd_day": 0.5,
              "budget_usd_month": 10, "expires_at": 4_000_000_000, "allowed_models": ["gemini-2.5-flash"],
              "allowed_ips": ["10.0.0.0/8", "::1"], "permissions": ["raw"]}  # fmt: skip
    made = call("POST", CLIENTS, {"name": "ana", **limits}, 201)
    assert {name: made[name] for name in limits} == limits
    path = f"{CLIENTS}/{made['id']}"
    for method in ("PUT", "PATCH"):
        call(method, path, {"rpm_limit": 6})
        seen = call("GET", path)
        assert {name: seen[name] for name in limits} == {**limits, "rpm_limit": 6}
        call(method, path, {"rpm_limit": 5})
    seen = call("PATCH", path, dict.fromkeys(limits))
    assert {name: seen[name] or None for name in limits} == dict.fromkeys(limits)
    client = next(each.client for each in house.keypool.catalogue.credentials.values() if each.client)
    assert (client.limits, client.allowed_models, client.permissions) == ({}, (), frozenset())


def test_nothing_named_changes_nothing_and_leaves_no_trail(house, call):
    made = call("POST", CLIENTS, {"name": "ana"}, 201)
    path = f"{CLIENTS}/{made['id']}"
    assert call("PATCH", path, {})["name"] == "ana"
    assert call("PATCH", path, {"name": "ana", "enabled": True})["name"] == "ana"
    assert trail(house, "client.update") == []
    call("PATCH", path, {"name": "ann"})
    (entry,) = trail(house, "client.update")
    assert (entry["before"], entry["after"]) == ('{"name":"ana"}', '{"name":"ann"}')


def test_what_is_wrong_is_named(call):
    made = call("POST", CLIENTS, {"name": "ana"}, 201)
    for body, param in (
        ({"name": "b", "rpm_limit": -1}, "rpm_limit"),
        ({"name": "b", "rpm_limit": "5"}, "rpm_limit"),
        ({"name": "b", "rpm_limit": True}, "rpm_limit"),
        ({"name": "b", "budget_usd_day": 1e9}, "budget_usd_day"),
        ({"name": "b", "expires_at": 1_900_000_000_000}, "expires_at"),
        ({"name": "b", "allowed_ips": ["10.0.0.0/8", "home"]}, "allowed_ips[1]"),
        ({"name": "b", "permissions": ["all"]}, "permissions[0]"),
        ({"name": "b", "allowed_models": ["x" * 201]}, "allowed_models[0]"),
        ({"name": "b", "colour": "red"}, "colour"),
        ({"name": " "}, "name"),
        ({"name": "x" * 61}, "name"),
        ({}, "name"),
    ):
        error = call("POST", CLIENTS, body, 400)["error"]
        assert error["param"] == param, body
    assert call("POST", CLIENTS, {"name": "b", "pool": "nowhere"}, 404)["error"]["param"] == "pool"
    assert call("POST", CLIENTS, {"name": "ana"}, 409)["error"]["code"] == "name_taken"
    call("POST", CLIENTS, {"name": "ben"}, 201)
    call("PATCH", f"{CLIENTS}/{made['id']}", {"name": "ben"}, 409)
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert call(method, f"{CLIENTS}/99", {} if method[0] == "P" else None, 404)["error"]["code"] == (
            "client_not_found"
        )


def test_a_client_key_is_moved_to_another_pool(house, call, knocks):
    pool_id, _ = house.keypool.inventory.create_pool("research")
    made = call("POST", CLIENTS, {"name": "ana"}, 201)
    public_id = house.keypool.catalogue.pools[pool_id].public_id
    for reference in (pool_id, str(pool_id), "research", public_id):
        assert call("PATCH", f"{CLIENTS}/{made['id']}", {"pool": reference})["pool_id"] == pool_id
        call("PATCH", f"{CLIENTS}/{made['id']}", {"pool": "default"})
    call("PATCH", f"{CLIENTS}/{made['id']}", {"pool": "research"})
    assert knocks(made["key"]) == 503


def test_a_new_one_has_the_usual_limit_unless_it_says_otherwise(house, call):
    house.set(rate_limit_requests=120, rate_limit_window=120)
    assert call("POST", CLIENTS, {"name": "ana"}, 201)["rpm_limit"] == 60
    assert call("POST", CLIENTS, {"name": "ben", "rpm_limit": None}, 201)["rpm_limit"] is None


def test_one_that_is_disabled_is_refused_until_it_is_enabled(house, call, knocks):
    made = call("POST", CLIENTS, {"name": "ana"}, 201)
    path, token = f"{CLIENTS}/{made['id']}", made["key"]
    assert call("PATCH", path, {"enabled": False})["revoked_at"] == pytest.approx(time.time(), abs=5)
    assert knocks(token) == 401
    call("POST", CLIENTS, {"name": "ana"}, 201)
    call("PATCH", path, {"enabled": True}, 409)
    seen = call("PATCH", path, {"enabled": True, "name": "ana the first"})
    assert (seen["enabled"], seen["revoked_at"]) == (True, None)
    assert knocks(token) == 200


def test_a_rotated_one_works_beside_the_old_one_for_the_overlap_and_then_alone(house, call, knocks, monkeypatch):
    made = call("POST", CLIENTS, {"name": "ana"}, 201)
    path = f"{CLIENTS}/{made['id']}/rotate"
    second = call("POST", path, {"overlap_s": 600})
    assert second["key"] != made["key"]
    assert second["previous_works_until"] == pytest.approx(time.time() + 600, abs=5)
    assert (knocks(made["key"]), knocks(second["key"])) == (200, 200)
    third = call("POST", path, {"overlap_s": 600})
    assert [knocks(each["key"]) for each in (made, second, third)] == [401, 200, 200]
    later = time.time() + 601
    monkeypatch.setattr(house.keypool.proxy._access, "_clock", lambda: later)
    assert [knocks(each["key"]) for each in (second, third)] == [401, 200]
    fourth = call("POST", path)
    assert fourth["previous_works_until"] is None
    assert [knocks(each["key"]) for each in (third, fourth)] == [401, 200]
    trails = str(trail(house, "client.rotate"))
    assert not any(each["key"] in trails for each in (made, second, third, fourth))


def test_a_revoked_one_is_not_rotated(call):
    made = call("POST", CLIENTS, {"name": "ana", "enabled": False}, 201)
    assert call("POST", f"{CLIENTS}/{made['id']}/rotate", {}, 409)["error"]["code"] == "client_revoked"


def test_a_deleted_one_is_gone_for_good_and_its_name_stays_beside_its_requests(house, call, knocks):
    made = call("POST", CLIENTS, {"name": "ana"}, 201)
    assert knocks(made["key"]) == 200
    assert call("DELETE", f"{CLIENTS}/{made['id']}")["success"] is True
    assert knocks(made["key"]) == 401
    call("GET", f"{CLIENTS}/{made['id']}", status=404)
    call("PATCH", f"{CLIENTS}/{made['id']}", {"enabled": True}, 404)
    assert call("GET", CLIENTS)["clients"] == []
    assert rows_of(house, "client_keys")[0]["name"] == "ana"
    assert call("POST", CLIENTS, {"name": "ana"}, 201)["id"] == made["id"] + 1


def test_the_list_pages_by_a_cursor_and_filters(house, call):
    house.keypool.inventory.create_pool("research")
    for n in range(5):
        call("POST", CLIENTS, {"name": f"client {n}", "pool": "research" if n % 2 else "default"}, 201)
    call("PATCH", f"{CLIENTS}/1", {"enabled": False})
    names, after = [], ""
    while after is not None:
        page = call("GET", f"{CLIENTS}?limit=2&after={after}" if after else f"{CLIENTS}?limit=2")
        names += [each["name"] for each in page["clients"]]
        after = page["next"]
    assert names == [f"client {n}" for n in range(5)]
    assert [each["id"] for each in call("GET", f"{CLIENTS}?pool=research")["clients"]] == [2, 4]
    assert [each["id"] for each in call("GET", f"{CLIENTS}?enabled=false")["clients"]] == [1]
    assert [each["id"] for each in call("GET", f"{CLIENTS}?q=CLIENT 3")["clients"]] == [4]
    assert call("GET", f"{CLIENTS}?limit=0", status=400)["error"]["param"] == "limit"
    call("GET", f"{CLIENTS}?pool=nowhere", status=404)


def test_what_each_used_is_told(house, call, knocks):
    made = call("POST", CLIENTS, {"name": "ana"}, 201)
    knocks(made["key"])
    house.keypool.recorder.drain()
    spent = call("GET", f"{CLIENTS}/{made['id']}")["spent"]
    assert spent["day"]["requests"] == spent["month"]["requests"] == 1
    assert spent["day"]["tokens"] > 0


# -- as a predecessor has them ----------------------------------------------------------------------------------------


def test_a_predecessors_client_makes_a_user_key_by_a_name_or_none(call, knocks):
    told = call("POST", USERS, {"name": "my app"})
    assert (told["success"], told["message"]) == (True, "User key generated successfully")
    assert (told["data"]["name"], told["data"]["status"]) == ("my app", 1)
    assert knocks(told["data"]["key"]) == 200
    assert call("POST", USERS)["data"]["name"] == "API User"
    assert call("POST", USERS, {})["data"]["name"].startswith("API User ")


def test_its_names_for_limits_are_understood(call):
    body = {"name": "a", "rpm_limit": 10, "tpm_limit": -1, "max_concurrency": 3, "valid_until": 4e9, "colour": "red"}
    told = call("POST", USERS, body)["data"]
    limits = told["rpm_limit"], told["tpm_limit"], told["concurrency_limit"], told["expires_at"]
    assert limits == (10, None, 3, 4_000_000_000)
    changed = call("PUT", f"{USERS}/{told['id']}", {"rpm_limit": -1, "status": 0})
    assert changed["message"] == "User key updated successfully"
    assert (changed["data"]["rpm_limit"], changed["data"]["status"]) == (None, 0)
    assert call("PATCH", f"{USERS}/{told['id']}", {"name": ""}, 400)["error"]["param"] == "name"


def test_its_user_keys_are_listed_masked_turned_over_rotated_and_deleted(call, knocks):
    made = call("POST", USERS, {"name": "a"})["data"]
    (listed,) = call("GET", USERS)["data"]
    assert (listed["id"], listed["name"], listed["status"]) == (made["id"], "a", 1)
    assert listed["key"] == f"{made['key'][:8]}...{made['key'][-4:]}"
    path = f"{USERS}/{made['id']}"
    assert call("POST", f"{path}/toggle")["data"]["status"] == 0
    assert knocks(made["key"]) == 401
    assert call("POST", f"{path}/toggle", {"is_active": False})["data"]["status"] == 0
    assert call("POST", f"{path}/toggle", {"is_active": True})["message"] == "User key enabled successfully"
    fresh = call("POST", f"{path}/rotate", {"overlap_s": 60})["data"]["key"]
    assert (knocks(made["key"]), knocks(fresh)) == (200, 200)
    assert call("DELETE", path) == {"success": True, "message": "User key deleted successfully"}
    assert knocks(fresh) == 401
    assert call("DELETE", path, status=404)["message"] == "User key not found"
    assert call("GET", USERS)["data"] == []
