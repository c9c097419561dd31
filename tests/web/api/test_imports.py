"""Importing keys by programs: any form, looked at first, by the thousand, and taken back."""

import io
import time

import gevent
import orjson
import pytest
import sqlalchemy

from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.web.visitor import rows_of

ADMIN = {"X-Admin-Key": PASSWORD}
IMPORT = "/admin/keys/import"
UNKNOWN = "Zq8" * 12


@pytest.fixture
def call(house, passwords):
    def send(path, method="POST", status=200, **options):
        answer = house.app.test_client().open(path, method=method, headers=ADMIN, **options)
        assert answer.status_code == status, answer.text
        for secret in (*GEMINI_KEYS, *OPENAI_KEYS, UNKNOWN):
            assert secret not in answer.text
        return answer.json

    return send


def many(count, letter="k"):
    return "\n".join(f"AIzaSy{n:08d}" + letter * 25 for n in range(count))


def trail(house):
    """What the audit trail says: action, and what there was after it."""
    return [(entry["action"], orjson.loads(entry["after"])) for entry in rows_of(house, "audit")]


def seats(house):
    catalogue = house.keypool.catalogue
    return {key_id: set(pools) for key_id, pools in catalogue.pools_of_key.items() if key_id in catalogue.keys}


def test_a_text_is_imported_and_what_was_not_taken_is_told_by_line(house, call):
    house.add_keys(GEMINI_KEYS[0])
    text = "\n".join(
        [GEMINI_KEYS[0], f"ann@example.com:{GEMINI_KEYS[1]}", GEMINI_KEYS[1], "ya29." + "a" * 40, UNKNOWN,
         f"{OPENAI_KEYS[0]}|7"]
    )  # fmt: skip
    told = call(IMPORT, json={"text": text, "tags": ["paid"], "project": "p1", "name": "list.txt"})
    assert told == {
        "success": True, "message": "3 keys are imported.", "import_id": 2, "pool_id": 1, "pool_name": "default",
        "imported": 3, "fates": {"added": 3}, "counts": {"here": 1, "twice": 1, "impossible": 1}, "rejected": 1,
        "rejects": [{"line": 4, "problem": "access_token"}],
    }  # fmt: skip
    keys = rows_of(house, "keys")[1:]
    assert [(key["email"], key["tags"], key["project"]) for key in keys] == [
        ("ann@example.com", '["paid"]', "p1"), ("", '["paid"]', "p1"), ("", '["paid"]', "p1"),
    ]  # fmt: skip
    assert [row["weight"] for row in rows_of(house, "memberships")] == [1, 1, 1, 7]
    (entry,) = rows_of(house, "audit")
    assert (entry["object"], entry["via"]) == ("pool 1", "password")
    assert trail(house) == [("key.import", {"pool": "default", "import": 2, "added": 3})]


def test_the_preview_tells_every_row_page_by_page_and_changes_nothing(house, call):
    other, _ = house.keypool.inventory.create_pool("other")
    house.add_keys(GEMINI_KEYS[0])
    house.add_keys(GEMINI_KEYS[1], pool_id=other)
    (binned,) = house.add_keys(GEMINI_KEYS[2])
    house.keypool.inventory.bin_keys([binned])
    text = "\n".join([*GEMINI_KEYS[:4], GEMINI_KEYS[3], UNKNOWN, "eyJ" + "a" * 40])
    told = call(IMPORT + "?dry_run=1", json={"text": text, "unknown": ""})
    assert [row["fate"] for row in told["rows"]] == [
        "here", "linked", "restored", "new", "twice", "left_out", "impossible",
    ]  # fmt: skip
    assert (told["total"], told["takeable"], told["next"], told["dry_run"]) == (7, 3, None, True)
    assert told["rows"][1] == {
        "index": 1, "line": 2, "key": "AIzaSyGe...xxxx", "provider": "gemini", "fate": "linked", "problem": "",
        "pools": ["other"], "name": "", "email": "", "note": "", "project": "", "tags": [], "weight": 1,
    }  # fmt: skip
    first = call(IMPORT + "?dry_run=1&limit=5", json={"text": text})
    rest = call(IMPORT + f"?dry_run=1&limit=5&after={first['next']}", json={"text": text})
    assert [row["index"] for row in first["rows"] + rest["rows"]] == list(range(7))
    assert (rest["next"], rest["rows"][0]["provider"], rest["unsure"]) == (None, "openai", 1)
    assert len(house.keypool.catalogue.keys) == 2
    assert rows_of(house, "audit") == []


def test_a_body_may_be_the_text_itself_or_a_form_with_a_file(house, call):
    other, _ = house.keypool.inventory.create_pool("other")
    told = call(f"{IMPORT}?pool=other&tags=a,b&weight=3", data=GEMINI_KEYS[0], content_type="text/plain")
    assert (told["pool_id"], told["imported"]) == (other, 1)
    file = (io.BytesIO(f"\ufeffkey,email\n{GEMINI_KEYS[1]},a@b.cd\n".encode("utf-16")), "keys.csv")
    told = call(IMPORT, data={"file": file, "pool": "default", "tags": "c", "take": "0"})
    assert (told["pool_id"], told["imported"]) == (1, 1)
    keys, places = rows_of(house, "keys"), rows_of(house, "memberships")
    assert [(key["email"], key["tags"]) for key in keys] == [("", '["a","b"]'), ("a@b.cd", '["c"]')]
    assert {place["key_id"]: place["weight"] for place in places} == {1: 3, 2: 1}
    assert call("/admin/imports", "GET")["imports"][0]["name"] == "keys.csv"


def test_only_the_rows_named_are_taken(house, call):
    told = call(IMPORT, json={"text": "\n".join(GEMINI_KEYS[:4]), "take": [1, 3, 77]})
    assert (told["imported"], told["counts"]) == (2, {"left_out": 2})
    assert call(IMPORT, json={"text": GEMINI_KEYS[0], "take": []})["import_id"] is None


def test_a_provider_is_whose_keys_they_are_whatever_their_shape(house, call):
    house.keypool.inventory.create_provider("mine", dialect="openai", base_url="https://example.com/v1")
    call(IMPORT, json={"text": f"{GEMINI_KEYS[0]}\n{UNKNOWN}", "provider": "mine"})
    call(IMPORT, json={"text": f"key,provider\n{OPENAI_KEYS[0]},mine\n{OPENAI_KEYS[1]},somebody"})
    providers = [key.provider for key in house.keypool.catalogue.keys.values()]
    assert providers == ["mine", "mine", "mine", "openai"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "text"),
        ({"text": 7}, 400, "text"),
        ({"text": "x", "pool": "nowhere"}, 404, "pool"),
        ({"text": "x", "provider": "nobody"}, 400, "provider"),
        ({"text": "x", "unknown": "nobody"}, 400, "unknown"),
        ({"text": "x", "weight": 101}, 400, "weight"),
        ({"text": "x", "take": ["a"]}, 400, "take[0]"),
        ({"text": "x", "keys": []}, 400, "keys"),
    ],
)
def test_what_is_wrong_is_named(call, body, status, param):
    assert call(IMPORT, json=body, status=status)["error"]["param"] == param


def test_a_form_or_a_query_that_is_wrong_is_named_too(call):
    assert call(IMPORT, data={"weight": "heavy"}, content_type="multipart/form-data", status=400)
    assert call(IMPORT + "?limit=501&dry_run=1", json={"text": "x"}, status=400)["error"]["param"] == "limit"
    torn = b"--x\r\nContent-Disposition: form-data"
    assert call(IMPORT, data=torn, content_type="multipart/form-data; boundary=x", status=400)


def test_more_than_five_thousand_are_a_job_that_can_be_taken_back(house, call):
    begun = call(IMPORT, json={"text": many(6_000), "name": "big"}, status=202)
    assert house.keypool.jobs.wait(begun["job"], 60)
    job = call(f"/admin/jobs/{begun['job']}", "GET")
    assert (job["state"], job["kind"], job["total"], job["done"]) == ("done", "import", 6_000, 6_000)
    assert (job["result"]["fates"], job["result"]["pool_name"], job["can_undo"]) == ({"added": 6_000}, "default", True)
    assert len(job["rows"]["added"]) == 1_000
    assert len(seats(house)) == 6_000
    import_id = job["result"]["import_id"]
    assert trail(house) == [("key.import", {"pool": "default", "import": import_id, "added": 6_000})]
    undoing = call(f"/admin/imports/{import_id}/undo", status=202)
    assert house.keypool.jobs.wait(undoing["job"], 60)
    assert call(f"/admin/jobs/{undoing['job']}", "GET")["result"]["fates"] == {"removed": 6_000}
    assert seats(house) == {}


def test_a_job_cancelled_midway_leaves_an_import_that_is_whole(house, call):
    begun = call(IMPORT, json={"text": many(20_000)}, status=202)
    while not house.keypool.catalogue.keys and not house.keypool.jobs.wait(begun["job"], 0):
        if rows_of(house, "imports"):
            break
        gevent.sleep(0.01)
    (under_way,) = call("/admin/imports", "GET")["imports"]
    assert under_way["under_way"] is True
    assert call(f"/admin/imports/{under_way['id']}/undo", status=409)["error"]["code"] == "import_under_way"
    call(f"/admin/jobs/{begun['job']}/cancel")
    house.keypool.jobs.wait(begun["job"], 60)
    (row,) = call("/admin/imports", "GET")["imports"]
    job = call(f"/admin/jobs/{begun['job']}", "GET")
    assert job["state"] == "cancelled"
    assert row["counts"] == job["fates"]
    assert 0 < row["counts"]["added"] == len(seats(house)) < 20_000
    assert call(f"/admin/imports/{row['id']}/undo?wait=1")["removed"] == row["counts"]["added"]


def test_an_import_is_shown_with_what_is_left_of_it_and_undone_once(house, call):
    other, _ = house.keypool.inventory.create_pool("other")
    (known,) = house.add_keys(GEMINI_KEYS[0])
    told = call(IMPORT, json={"text": "\n".join(GEMINI_KEYS[:4]), "pool": other, "name": "n"})
    import_id = told["import_id"]
    assert told["fates"] == {"linked": 1, "added": 3}
    house.keypool.inventory.set_disabled([known + 1], 5e9)
    shown = call(f"/admin/imports/{import_id}", "GET")
    assert (shown["keys_left"], shown["links_left"], shown["changed_since"]) == (3, 4, [known + 1])
    assert (shown["origin"], shown["who"], shown["pool_name"], shown["under_way"]) == ("api", "admin", "other", False)
    undone = call(f"/admin/imports/{import_id}/undo")
    assert (undone["removed"], undone["unlinked"], undone["kept"], undone["kept_ids"]) == (2, 1, 1, [known + 1])
    assert seats(house) == {known: {1}, known + 1: {other}}
    assert call(f"/admin/imports/{import_id}/undo", status=409)["error"]["code"] == "already_undone"
    assert call(f"/admin/imports/{import_id}/undo", json={"force": True})["removed"] == 1
    assert seats(house) == {known: {1}}
    shown = call(f"/admin/imports/{import_id}", "GET")
    assert (shown["keys_left"], shown["links_left"]) == (0, 0)
    assert [action for action, _ in trail(house)] == ["key.import", "import.undo", "import.undo"]
    assert trail(house)[1][1] == {"removed": 2, "unlinked": 1, "kept": 1}


def test_imports_are_listed_newest_first_page_by_page(house, call):
    ids = [call(IMPORT, json={"text": key})["import_id"] for key in GEMINI_KEYS[:3]]
    first = call("/admin/imports?limit=2", "GET")
    assert [each["id"] for each in first["imports"]] == [ids[2], ids[1]]
    rest = call(f"/admin/imports?limit=2&after={first['next']}", "GET")
    assert ([each["id"] for each in rest["imports"]], rest["next"]) == ([ids[0]], None)
    for path in ("/admin/imports/99", "/admin/imports/99/undo"):
        method = "POST" if path.endswith("undo") else "GET"
        assert call(path, method, status=404)["error"]["code"] == "import_not_found"


def held(house, monkeypatch):
    """How long each transaction of the writer took, in CPU and by the clock."""
    from pool.adapters import database

    took = []
    write = database._write

    def timed(*args):
        began, worked = time.perf_counter(), time.thread_time()
        try:
            return write(*args)
        finally:
            took.append((time.perf_counter() - began, time.thread_time() - worked))

    monkeypatch.setattr(database, "_write", timed)
    return took


@pytest.mark.alone
@pytest.mark.timeout(90)
def test_ten_thousand_keys_take_two_seconds_and_nobody_waits_for_the_writer(house, call, monkeypatch):
    body = orjson.dumps({"text": many(10_000)})
    took = held(house, monkeypatch)
    began = time.process_time()
    told = call(IMPORT + "?wait=1", data=body, content_type="application/json")
    assert time.process_time() - began < 2.5, "of this process, whatever others do meanwhile"
    assert told["imported"] == 10_000
    assert max(worked for _, worked in took) < 0.15
    again = time.process_time()
    told = call(IMPORT + "?wait=1", data=body, content_type="application/json")
    assert (told["imported"], told["counts"], told["import_id"]) == (0, {"here": 10_000}, None)
    assert time.process_time() - again < 1.5


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_hundred_thousand_keys_take_forty_seconds(house, call, monkeypatch):
    took = held(house, monkeypatch)
    began = time.perf_counter()
    told = call(IMPORT + "?wait=1", json={"text": many(100_000)})
    took_s = time.perf_counter() - began
    assert told["imported"] == 100_000
    assert took_s < 40
    assert max(took)[0] < 0.3


def delete_behind_the_catalogue(house, pool_id):
    """What another instance does in the moment between looking a pool up and writing to it."""
    deletion = sqlalchemy.text(f"DELETE FROM pools WHERE id = {pool_id}")
    house.keypool.database.write(lambda session: session.execute(deletion))


def test_keys_for_a_pool_that_is_deleted_meanwhile_are_refused_and_none_is_taken_in(house, call):
    pool = call("/admin/pools", json={"name": "fleeting"}, status=201)
    delete_behind_the_catalogue(house, pool["id"])
    before = rows_of(house, "keys")
    told = call(IMPORT, json={"text": GEMINI_KEYS[0], "pool": "fleeting"}, status=409)
    assert told["error"]["code"] == "changed_meanwhile"
    assert (rows_of(house, "keys"), rows_of(house, "imports")) == (before, [])
