"""Pools managed by programs: made, changed in part, deleted without losing a key; their auth keys and members."""

import time

import pytest

from pool.core.keys import FOREVER
from tests.house import GEMINI_KEYS
from tests.web.visitor import Visitor, rows_of

POOLS = "/admin/pools"


def trail(house, action):
    return [row for row in rows_of(house, "audit") if row["action"] == action]


def test_a_pool_is_made_with_all_that_can_be_said_of_it(house, call):
    said = {"name": "research", "description": "for the lab", "policy": "weighted", "allowed_models": ["gemini-*"],
            "aliases": {"gpt-4o": "gemini-2.5-pro"}, "limits": {"rpm_limit": 60, "budget_usd_day": 2.5},
            "fallback_pool": "default"}  # fmt: skip
    made = call("POST", POOLS, said, 201)
    assert {name: made[name] for name in ("name", "description", "policy", "allowed_models", "aliases")} == {
        name: said[name] for name in ("name", "description", "policy", "allowed_models", "aliases")
    }
    assert (made["limits"]["rpm_limit"], made["limits"]["budget_usd_day"], made["limits"]["tpm_limit"]) == (
        60, 2.5, None,
    )  # fmt: skip
    assert (made["fallback_pool_id"], made["enabled"], made["is_default"], made["keys"]) == (1, True, False, 0)
    pool = house.keypool.catalogue.pools[made["id"]]
    assert (pool.policy, pool.aliases, pool.limits["rpm_limit"]) == ("weighted", said["aliases"], 60)
    assert house.client.get("/v1/models", headers={"Authorization": f"Bearer {made['auth_key']}"}).status_code != 401
    (entry,) = trail(house, "pool.create")
    assert (entry["object"], entry["via"], entry["ip"]) == (f"pool {made['id']}", "password", "127.0.0.1")
    assert made["auth_key"] not in str(entry)


def test_one_pool_is_shown_with_its_auth_key_and_a_list_masks_it(house, call):
    public_id = house.keypool.catalogue.pools[1].public_id
    for reference in (1, public_id):
        assert call("GET", f"{POOLS}/{reference}")["auth_key"] == house.auth_key
    (listed,) = call("GET", POOLS)["pools"]
    assert listed["auth_key"] == f"{house.auth_key[:8]}...{house.auth_key[-4:]}"
    for reference in ("default", "99", "pool-" + "0" * 32):
        assert call("GET", f"{POOLS}/{reference}", status=404)["error"]["code"] == "pool_not_found"


def test_only_what_is_named_is_changed(house, call):
    made = call("POST", POOLS, {"name": "research", "limits": {"rpm_limit": 5, "tpm_limit": 7}}, 201)
    path = f"{POOLS}/{made['id']}"
    for method in ("PUT", "PATCH"):
        changed = call(method, path, {"policy": "roundRobin", "limits": {"rpm_limit": 6}})
        assert (changed["policy"], changed["name"]) == ("round_robin", "research")
        assert (changed["limits"]["rpm_limit"], changed["limits"]["tpm_limit"]) == (6, 7)
        call(method, path, {"policy": None, "limits": {"rpm_limit": 5}})
    assert call("PATCH", path, {"limits": {"rpm_limit": None}})["limits"]["rpm_limit"] is None
    assert set(call("PATCH", path, {"limits": None})["limits"].values()) == {None}
    before = len(rows_of(house, "audit"))
    call("PATCH", path, {})
    call("PATCH", path, {"name": "research", "enabled": True, "allowed_models": [], "aliases": {}})
    assert len(rows_of(house, "audit")) == before
    call("PATCH", path, {"enabled": False})
    entry = trail(house, "pool.update")[-1]
    assert (entry["before"], entry["after"]) == ('{"enabled":true}', '{"enabled":false}')


def test_what_is_wrong_is_named(call):
    made = call("POST", POOLS, {"name": "research"}, 201)
    for body, param in (
        ({}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"name": "b", "policy": "fastest"}, "policy"),
        ({"name": "b", "allowed_models": "gemini"}, "allowed_models"),
        ({"name": "b", "aliases": {"a": 7}}, "aliases.a"),
        ({"name": "b", "limits": {"rpm": 7}}, "limits.rpm"),
        ({"name": "b", "limits": {"rpm_limit": -7}}, "limits.rpm_limit"),
        ({"name": "b", "enabled": "perhaps"}, "enabled"),
        ({"name": "b", "geminiKeys": []}, "geminiKeys"),
    ):
        assert call("POST", POOLS, body, 400)["error"]["param"] == param, body
    assert "round_robin" in call("POST", POOLS, {"name": "b", "policy": "fastest"}, 400)["message"]
    assert call("POST", POOLS, {"name": "b", "fallback_pool": "nowhere"}, 404)["error"]["code"] == "pool_not_found"
    assert call("POST", POOLS, {"name": "research"}, 409)["error"]["code"] == "name_taken"
    assert call("PATCH", f"{POOLS}/1", {"name": "other"}, 409)["error"]["code"] == "default_pool"
    path = f"{POOLS}/{made['id']}"
    assert call("PATCH", path, {"name": "default"}, 409)["error"]["code"] == "name_taken"
    assert call("PATCH", path, {"fallback_pool": made["id"]}, 400)["error"]["param"] == "fallback_pool"


def test_a_deleted_pools_keys_stay_and_the_default_pool_cannot_be_deleted(house, call):
    made, other = (call("POST", POOLS, {"name": name}, 201) for name in ("research", "other"))
    only, shared = house.add_keys(*GEMINI_KEYS[:2], pool_id=made["id"])
    house.keypool.inventory.arrange({shared: [made["id"], other["id"]]})
    assert call("DELETE", f"{POOLS}/{made['public_id']}")["success"] is True
    assert house.keypool.catalogue.pools_of_key == {only: {1}, shared: {other["id"]}}
    call("GET", f"{POOLS}/{made['id']}", status=404)
    assert call("DELETE", f"{POOLS}/1", status=409)["error"]["code"] == "default_pool"
    assert len(trail(house, "pool.delete")) == 1


@pytest.mark.alone
def test_deleting_a_pool_of_many_keys_holds_up_nobody_for_long(house, call):
    made = call("POST", POOLS, {"name": "research"}, 201)
    house.add_keys(*(f"AIzaSyMany{n:05d}" + "m" * 24 for n in range(1_200)), pool_id=made["id"])
    longest, write = 0.0, house.keypool.database.write

    def timed(*args, **kwargs):
        nonlocal longest
        began = time.perf_counter()
        try:
            return write(*args, **kwargs)
        finally:
            longest = max(longest, time.perf_counter() - began)

    house.keypool.database.write = timed
    call("DELETE", f"{POOLS}/{made['id']}")
    house.keypool.database.write = write
    assert longest < 0.5
    assert all(pools == {1} for pools in house.keypool.catalogue.pools_of_key.values())
    assert len(house.keypool.catalogue.keys) == 1_200


def test_an_auth_key_is_replaced_at_once_or_after_a_grace(house, call):
    path = f"{POOLS}/1/regenerate-auth"

    def opens(key):
        return house.client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code != 401

    fresh = call("POST", path)
    assert fresh["auth_key"] != house.auth_key
    assert (opens(house.auth_key), opens(fresh["auth_key"])) == (False, True)
    third = call("POST", path, {"grace_s": 600})
    assert third["previous_auth_keys_until"] == [pytest.approx(time.time() + 600, abs=5)]
    assert (opens(fresh["auth_key"]), opens(third["auth_key"])) == (True, True)
    assert call("POST", path, {"grace_s": -1}, 400)["error"]["param"] == "grace_s"
    trails = str(trail(house, "pool.regenerate"))
    assert not any(key in trails for key in (house.auth_key, fresh["auth_key"], third["auth_key"]))


def test_pools_and_their_members_page_by_a_cursor(house, call):
    for n in range(4):
        call("POST", POOLS, {"name": f"pool {n}"}, 201)
    names, after = [], 0
    while after is not None:
        page = call("GET", f"{POOLS}?limit=2&after={after}")
        names += [each["name"] for each in page["pools"]]
        after = page["next"]
    assert names == ["default", "pool 0", "pool 1", "pool 2", "pool 3"]
    assert [each["name"] for each in call("GET", f"{POOLS}?q=POOL 3")["pools"]] == ["pool 3"]
    ids = house.add_keys(*GEMINI_KEYS[:3])
    house.keypool.inventory.set_disabled([ids[2]], FOREVER)
    first = call("GET", f"{POOLS}/1/keys?limit=2")
    second = call("GET", f"{POOLS}/1/keys?limit=2&after={first['next']}")
    assert [each["id"] for each in first["keys"] + second["keys"]] == ids
    assert second["next"] is None
    assert (second["keys"][0]["disabled"], first["keys"][0]["disabled"]) == (True, False)
    assert GEMINI_KEYS[0] not in str(first)


def test_a_browser_is_led_to_the_page(house):
    public_id = house.keypool.catalogue.pools[1].public_id
    visitor, person = Visitor(house), {"Accept": "text/html"}
    for reference in (1, public_id):
        assert visitor.get(f"{POOLS}/{reference}", headers=person).location == "/pools/1"
    assert visitor.get(f"{POOLS}/1").json["name"] == "default"
    assert visitor.get(f"{POOLS}/99", headers=person).status_code == 404
