"""Backing up and restoring by the API, and moving in from other products."""

from __future__ import annotations

import io

import orjson
import pytest

from pool.adapters.backup import Cost
from tests.adapters.foreign import schemas
from tests.house import GEMINI_KEYS, PASSWORD, make_template, open_house
from tests.web.visitor import rows_of

ADMIN = {"X-Admin-Key": PASSWORD}
PASSPHRASE = "a quite long passphrase"


@pytest.fixture
def call(house, passwords):
    house.keypool.backups.cost = Cost(2**10)
    return caller(house)


def caller(house):
    def send(method, path, body=None, headers=None, **options):
        if isinstance(body, dict) and "data" not in options:
            options |= {"data": orjson.dumps(body), "content_type": "application/json"}
        elif body is not None:
            options |= {"data": body, "content_type": "application/octet-stream"}
        return house.app.test_client().open(path, method=method, headers={**ADMIN, **(headers or {})}, **options)

    return send


def backed_up(call):
    answer = call("POST", "/admin/backup", {"password": PASSWORD, "passphrase": PASSPHRASE})
    assert answer.status_code == 200, answer.text
    return answer


def leftovers(house):
    return list(house.keypool.environment.instance.glob("received-*"))


def test_a_backup_asks_for_the_password_and_a_passphrase(call, house):
    for body, status in (
        ({"passphrase": PASSPHRASE}, 403),
        ({"password": "wrong", "passphrase": PASSPHRASE}, 403),
        ({"password": PASSWORD}, 400),
        ({"password": PASSWORD, "passphrase": "short"}, 400),
    ):
        assert call("POST", "/admin/backup", body).status_code == status, body
    house.add_keys(GEMINI_KEYS[0])
    answer = backed_up(call)
    assert answer.mimetype == "application/octet-stream"
    assert "keypool-" in answer.headers["Content-Disposition"]
    assert GEMINI_KEYS[0].encode() not in answer.data
    assert [row["action"] for row in rows_of(house, "audit")] == ["backup.write"]


def test_a_restore_is_looked_at_first_and_then_runs_as_a_job(call, house, tmp_path_factory, tmp_path):
    house.add_keys(*GEMINI_KEYS[:3])
    file = backed_up(call).data
    folder = make_template(tmp_path_factory.mktemp("other"))
    with open_house(folder, tmp_path / "elsewhere") as other:
        there, headers = caller(other), {"X-Backup-Passphrase": PASSPHRASE}
        foreseen = there("POST", "/admin/restore?dry_run=1", file, headers)
        assert foreseen.status_code == 200, foreseen.text
        assert (foreseen.json["dry_run"], foreseen.json["mode"], foreseen.json["rows"]["keys"]) == (True, "replace", 3)
        assert other.keypool.catalogue.keys == {}
        answer = there("POST", "/admin/restore", file, headers)
        assert answer.status_code == 202
        assert other.keypool.jobs.wait(answer.json["job"], 60)
        job = there("GET", f"/admin/jobs/{answer.json['job']}").json
        assert job["state"] == "done", job
        assert job["result"]["written"]["keys"] == 3
        assert len(other.keypool.catalogue.keys) == 3
        assert rows_of(other, "audit")[-1]["action"] == "backup.restore"
        assert leftovers(other) == []
        assert there("POST", "/admin/restore", file, headers).json["error"]["code"] == "mode_required"
        merged = there("POST", "/admin/restore?mode=merge&wait=1", file, headers)
        assert merged.json["merge"]["keys"]["duplicate"] == 3
        assert leftovers(other) == []


def test_a_form_will_do_for_a_restore(call, house):
    form = {"file": (io.BytesIO(backed_up(call).data), "keypool.backup"), "passphrase": PASSPHRASE}
    answer = call("POST", "/admin/restore?dry_run=1&mode=merge", data=form, content_type="multipart/form-data")
    assert answer.status_code == 200, answer.text
    assert leftovers(house) == []


def test_a_wrong_passphrase_and_a_damaged_file_are_said_in_a_sentence(call, house):
    file = backed_up(call).data
    for body, passphrase, words in (
        (file, "a wrong one indeed", "That is not the passphrase of this backup."),
        (file[:-1], PASSPHRASE, "This backup is incomplete: its end is missing."),
        (b"something else", PASSPHRASE, "This is no backup of Keypool."),
    ):
        answer = call("POST", "/admin/restore?mode=replace", body, {"X-Backup-Passphrase": passphrase})
        assert (answer.status_code, answer.json["message"]) == (400, words)
    assert call("POST", "/admin/restore", b"").json["error"]["param"] == "file"
    assert leftovers(house) == []


@pytest.fixture
def gpt_load(tmp_path):
    return schemas.gpt_load(tmp_path / "gpt-load.db", "an-encryption-key").read_bytes()


def test_a_database_of_gpt_load_is_looked_at_taken_in_and_can_be_undone(call, house, gpt_load):
    headers = {"X-Encryption-Key": "an-encryption-key"}
    foreseen = call("POST", "/admin/import-from/gpt-load?dry_run=1", gpt_load, headers)
    assert foreseen.status_code == 200, foreseen.text
    assert foreseen.json["keys"]["added"] == 3
    assert foreseen.json["providers"]["added"] == ["silicon-flow"]
    assert any("2 upstreams" in note for note in foreseen.json["notes"])
    assert rows_of(house, "keys") == []
    told = call("POST", "/admin/import-from/gpt-load", gpt_load, headers).json
    assert told["keys"] == foreseen.json["keys"]
    undone = call("POST", f"/admin/imports/{told['import_id']}/undo")
    assert undone.status_code == 200, undone.text
    assert house.keypool.catalogue.keys == {}
    entry = rows_of(house, "audit")[0]
    assert (entry["action"], orjson.loads(entry["after"])["product"]) == ("import.from", "gpt-load")


def test_a_form_will_do_for_a_database(call, house, gpt_load, tmp_path):
    form = {"file": (io.BytesIO(gpt_load), "gpt-load.db"), "encryption_key": "an-encryption-key"}
    answer = call("POST", "/admin/import-from/gpt-load", data=form, content_type="multipart/form-data")
    assert answer.json["keys"]["added"] == 3
    balance = schemas.gemini_balance(tmp_path / "default_db").read_bytes()
    answer = call("POST", "/admin/import-from/gemini-balance", balance)
    assert answer.json["keys"]["added"] == 4
    assert house.generate(headers={"x-goog-api-key": "sk-second-token"}).status_code == 200
    assert leftovers(house) == []


def test_what_cannot_be_read_is_said(call, house, gpt_load):
    for path, body, words in (
        ("gpt-load", gpt_load, "The keys of this database are encrypted: give its ENCRYPTION_KEY."),
        ("gemini-balance", gpt_load, "That is no database of gemini-balance: it has no table `t_settings`."),
        ("gpt-load", b"no database at all", "That is no SQLite database."),
    ):
        answer = call("POST", f"/admin/import-from/{path}", body)
        assert (answer.status_code, answer.json["message"]) == (400, words)
    assert call("POST", "/admin/import-from/litellm", gpt_load).status_code == 404
    assert call("POST", "/admin/import-from/gpt-load?database=sqlite:///etc", gpt_load).status_code == 400
    assert leftovers(house) == []
