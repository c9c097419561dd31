"""Exports: with masks for everybody who manages, in full for who knows the password; and the way back in."""

from __future__ import annotations

import csv
import io

import orjson
import pytest

from pool.core.importing import parse
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.web.visitor import Visitor, rows_of

ADMIN = {"X-Admin-Key": PASSWORD}


@pytest.fixture
def call(house, passwords):
    def send(method, path, body=None, headers=ADMIN, **options):
        data = body if isinstance(body, bytes | None) else orjson.dumps(body)
        kind = options.pop("content_type", "application/json")
        return house.app.test_client().open(
            path, method=method, headers=headers, data=data, content_type=kind, **options
        )

    return send


@pytest.fixture
def furnished(house):
    inventory = house.keypool.inventory
    pool_id, auth_key = inventory.create_pool(
        "batch", allowed_models=["gemini-2.5-*"], aliases={"fast": "gemini-2.5-flash"}, limits={"rpm_limit": 5}
    )
    ids = house.add_keys(*GEMINI_KEYS[:3], tags=("paid",), note="mine", email="a@b.test", pool_id=pool_id)
    house.add_keys(OPENAI_KEYS[0])
    inventory.set_disabled(ids[:1], float("inf"))
    inventory.bin_keys(ids[2:])
    _, token = inventory.create_client("ana", pool_id, rpd_limit=7)
    house.set(max_attempts=9)
    return {"pool_id": pool_id, "auth_key": auth_key, "token": token}


def whole(call, **body):
    answer = call("POST", "/admin/export", {"password": PASSWORD, **body})
    assert answer.status_code == 200, answer.text
    return answer


def test_an_export_without_the_password_shows_no_secret(call, furnished, house):
    answer = call("GET", "/admin/export")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert "attachment" in answer.headers["Content-Disposition"]
    for secret in (*GEMINI_KEYS[:3], OPENAI_KEYS[0], furnished["auth_key"], furnished["token"], house.auth_key):
        assert secret not in answer.text
    document = answer.json
    assert (document["keypool"], document["masked"]) == ("export", True)
    assert [key["key"] for key in document["keys"]] == ["AIzaSyGe...xxxx", "AIzaSyGe...xxxx", "sk-proj-...yyyy"]
    assert document["settings"] == {"max_attempts": 9}


def test_an_export_in_full_asks_for_the_password_and_is_remembered(call, furnished, house):
    assert call("POST", "/admin/export", {}).json["error"]["code"] == "password_required"
    assert call("POST", "/admin/export", {"password": "wrong"}).status_code == 403
    assert rows_of(house, "audit") == []
    document = whole(call).json
    assert {key["key"] for key in document["keys"]} == {*GEMINI_KEYS[:2], OPENAI_KEYS[0]}
    first = next(key for key in document["keys"] if key["key"] == GEMINI_KEYS[0])
    assert first["pools"] == [{"name": "batch", "weight": 1, "tier": 0, "enabled": True}]
    assert (first["disabled"], first["tags"], first["email"]) == (True, ["paid"], "a@b.test")
    assert {pool["name"]: pool["auth_key"] for pool in document["pools"]} == {
        "default": house.auth_key, "batch": furnished["auth_key"],
    }  # fmt: skip
    assert furnished["token"] not in str(document)
    [entry] = rows_of(house, "audit")
    assert (entry["action"], entry["via"]) == ("export.write", "password")
    assert GEMINI_KEYS[0] not in str(entry)


def test_guessing_the_password_here_is_throttled_like_a_login(call):
    token = call("POST", "/admin/login", {"password": PASSWORD}).json["token"]
    codes = {call("POST", "/admin/export", {"password": f"guess {n}"}, headers={"X-Admin-Key": token}).status_code
             for n in range(8)}  # fmt: skip
    assert codes == {403, 429}


def test_the_page_s_session_needs_the_password_once_in_ten_minutes(house, furnished, passwords):
    visitor = Visitor(house)
    send = {"content_type": "application/json", "headers": {"Sec-Fetch-Site": "same-origin"}}
    ask = lambda body: visitor.client.post("/admin/export", data=orjson.dumps(body), **send)  # noqa: E731
    assert ask({}).status_code == 403
    assert ask({"password": PASSWORD}).status_code == 200
    assert ask({}).status_code == 200


def test_keys_come_as_lines_env_and_csv_too(call, furnished):
    assert whole(call, format="lines").text.split() == [*GEMINI_KEYS[:2], OPENAI_KEYS[0]]
    assert whole(call, format="lines", pool="batch").text.split() == list(GEMINI_KEYS[:2])
    assert whole(call, format="env").text == f"API_KEYS={','.join(GEMINI_KEYS[:2])}\nOPENAI_API_KEYS={OPENAI_KEYS[0]}\n"
    answer = whole(call, format="csv")
    assert answer.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["key"] for row in rows] == [*GEMINI_KEYS[:2], OPENAI_KEYS[0]]
    assert rows[0]["tags"] == "paid"


def test_what_is_wanted_in_full_may_be_said_in_the_query_too(call, furnished):
    def asked(query, **body):
        return call("POST", f"/admin/export?{query}", {"password": PASSWORD, **body})

    assert asked("format=lines&pool=batch").text.split() == list(GEMINI_KEYS[:2])
    assert asked("format=lines", pool="batch").text.split() == list(GEMINI_KEYS[:2])
    assert asked("format=csv", format="lines", what="keys").text.split() == [*GEMINI_KEYS[:2], OPENAI_KEYS[0]]
    for query in ("format=zzz", "pol=1", "format=lines&what=pools"):
        assert asked(query).status_code == 400, query


def test_a_table_of_keys_is_taken_back_as_it_was(call, house):
    house.add_keys(GEMINI_KEYS[0], tags=("a b", "c"), note="=HYPERLINK(1)", name="- mine")
    [row] = parse(whole(call, format="csv").text).usable
    assert (row.secret, row.tags) == (GEMINI_KEYS[0], ("a b", "c"))
    assert (row.note, row.name) == ("=HYPERLINK(1)", "- mine")


@pytest.mark.parametrize("what", ["pools", "clients", "providers", "settings"])
def test_each_part_comes_alone_as_json_and_csv(call, furnished, what):
    document = call("GET", f"/admin/export?what={what}").json
    assert {"keys", "pools", "clients", "providers", "settings"} & document.keys() == {what}
    assert call("GET", f"/admin/export?format=csv&what={what}").text.count("\n") >= 2


def test_a_cell_that_a_spreadsheet_would_run_is_text(call, house):
    house.add_keys(GEMINI_KEYS[0], note="=HYPERLINK(1)")
    assert "'=HYPERLINK" in call("GET", "/admin/export?format=csv").text


def test_what_makes_no_sense_together_is_refused(call):
    for query in ("format=lines&what=pools", "format=csv&what=all", "format=xml", "what=sessions", "pol=1"):
        assert call("GET", f"/admin/export?{query}").status_code == 400, query
    assert call("GET", "/admin/export?pool=nobody").status_code == 404


def test_an_export_is_taken_in_elsewhere(call, furnished, house):
    document = whole(call).json
    inventory = house.keypool.inventory
    inventory.bin_keys(list(house.keypool.catalogue.keys))
    inventory.delete_pool(furnished["pool_id"])
    house.keypool.preferences.change({"max_attempts": None})
    foreseen = call("POST", "/admin/import?dry_run=1", document).json
    assert foreseen["pools"]["added"] == ["batch"]
    assert house.keypool.catalogue.keys == {}
    told = call("POST", "/admin/import", document).json
    assert told["keys"] == foreseen["keys"] == {
        "added": 0, "linked": 0, "restored": 3, "duplicate": 0, "masked": 0, "impossible": 0,
    }  # fmt: skip
    assert told["settings"]["set"] == ["max_attempts"]
    assert told["clients"]["left"] == 1
    assert house.keypool.preferences.current.max_attempts == 9
    pool = next(pool for pool in house.keypool.catalogue.pools.values() if pool.name == "batch")
    assert inventory.auth_key(pool.id) == furnished["auth_key"]
    assert pool.aliases == {"fast": "gemini-2.5-flash"}
    assert rows_of(house, "audit")[-1]["action"] == "import.export"


def test_new_keys_of_an_export_come_with_all_that_is_said_of_them(call, house):
    document = {
        "keypool": "export", "format": 1,
        "providers": [{"slug": "relay", "dialect": "openai", "base_url": "https://relay.test/v1"}],
        "keys": [
            {"key": "relay-key-000000000001", "provider": "relay", "project": "p1", "max_requests": 5,
             "max_requests_window": "day", "pools": [{"name": "default", "weight": 7, "tier": 2}],
             "limits": {"*": {"rpm": 3}}},
            {"key": "relay-key-000000000002", "provider": "relay", "dead_reason": "leaked"},
            {"key": "relay-key-000000000002", "provider": "relay"},
            {"key": "somebody-else-0000000", "provider": "nobody"},
        ],
    }  # fmt: skip
    told = call("POST", "/admin/import", document).json
    counts = {fate: count for fate, count in told["keys"].items() if count}
    assert counts == {"added": 2, "duplicate": 1, "impossible": 1}
    one, two = house.keypool.catalogue.keys.values()
    assert (one.provider, one.project, one.max_requests, one.limits) == ("relay", "p1", 5, {"*": {"rpm": 3}})
    assert two.dead == "leaked"
    [seat] = [row for row in rows_of(house, "memberships") if row["key_id"] == one.id]
    assert (seat["weight"], seat["tier"], seat["import_id"]) == (7, 2, told["import_id"])


def test_a_masked_export_taken_back_changes_nothing(call, furnished, house):
    before = {table: rows_of(house, table) for table in ("keys", "pools", "memberships", "client_keys")}
    told = call("POST", "/admin/import", call("GET", "/admin/export").json).json
    assert told["keys"]["masked"] == 3
    assert told["import_id"] is None
    assert {table: rows_of(house, table) for table in before} == before


def test_what_is_no_export_is_refused_and_the_place_is_named(call):
    good = {"keypool": "export", "format": 1}
    for body, param in (
        ({"keypool": "backup"}, "keypool"),
        ({**good, "format": 2}, "format"),
        ({**good, "keys": {}}, "keys"),
        ({**good, "keys": [{"provider": "gemini"}]}, "keys[0].key"),
        ({**good, "keys": [{"key": "k", "provider": "p"}, {"key": "k", "provider": "p", "pools": [{"name": "d", "weight": 900}]}]}, "keys[1].pools[0].weight"),  # noqa: E501
        ({**good, "pools": [{"name": "a", "policy": "fair"}]}, "pools[0].policy"),
        ({**good, "providers": [{"slug": "admin", "dialect": "openai", "base_url": "https://a.test"}]}, "providers[0]"),
    ):  # fmt: skip
        answer = call("POST", "/admin/import", body)
        assert (answer.status_code, answer.json["error"].get("param")) == (400, param), answer.json
    assert call("POST", "/admin/import", b"{").json["error"]["code"] == "invalid_json"


def test_many_keys_are_taken_in_by_a_job(call, house):
    keys = [{"key": f"AIzaSyMany{n:05d}" + "z" * 24, "provider": "gemini"} for n in range(5_200)]
    answer = call("POST", "/admin/import", {"keypool": "export", "format": 1, "keys": keys})
    assert answer.status_code == 202
    assert house.keypool.jobs.wait(answer.json["job"], 60)
    job = call("GET", f"/admin/jobs/{answer.json['job']}").json
    assert (job["state"], job["done"], job["total"]) == ("done", 5_200, 5_200)
    assert job["result"]["keys"]["added"] == 5_200
    assert len(house.keypool.catalogue.keys) == 5_200
    lines = call("GET", "/admin/export?format=lines").text.split()
    assert len(lines) == 5_200
