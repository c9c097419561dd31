"""The admin password and the key of the vault, changed by programs."""

import pytest

from pool.admin_socket import BY_SOCKET
from tests.house import GEMINI_KEYS, PASSWORD
from tests.web.visitor import Visitor, rows_of

NEW = "another good horse"


@pytest.fixture
def call(house, passwords):
    def send(path, status=200, password=PASSWORD, by_socket=False, **options):
        headers = {"X-Admin-Key": password} if password else {}
        options["environ_overrides"] = {BY_SOCKET: True} if by_socket else {}
        answer = house.app.test_client().post(path, headers=headers, **options)
        assert answer.status_code == status, answer.text
        return answer.json

    return send


def test_the_password_is_changed_by_who_knows_it_and_every_session_ends(house, call):
    visitor = Visitor(house)
    assert visitor.get("/keys").status_code == 200
    assert call("/admin/password", json={"new": NEW, "current": PASSWORD})["sessions_ended"] == 1
    assert visitor.get("/keys").status_code == 302
    call("/admin/password", 401, json={"new": NEW})
    call("/admin/password", password=NEW, json={"new": PASSWORD, "current": NEW})
    assert {row["action"] for row in rows_of(house, "audit")} == {"password.change"}
    assert NEW not in str(rows_of(house, "audit"))


def test_a_session_alone_or_a_wrong_password_changes_none(call):
    assert call("/admin/password", 403, json={"new": NEW})["error"]["param"] == "current"
    assert call("/admin/password", 403, json={"new": NEW, "current": "wrong"})["error"]["code"] == "wrong_password"
    assert call("/admin/password", 400, json={"new": "admin", "current": PASSWORD})["error"]["param"] == "new"
    assert call("/admin/password", 400, json={"current": PASSWORD})["error"]["param"] == "new"


def test_who_comes_by_the_admin_socket_need_not_know_the_old_one(house, call):
    call("/admin/password", password="", by_socket=True, json={"new": NEW})
    call("/admin/password", password=NEW, json={"new": PASSWORD, "current": NEW})
    assert [row["via"] for row in rows_of(house, "audit")] == ["admin socket", "password"]


def test_no_header_is_taken_for_the_admin_socket(house):
    for name in (BY_SOCKET, "keypool-by-admin-socket", "HTTP_" + BY_SOCKET):
        answer = house.app.test_client().get("/admin/jobs", headers={name: "1"})
        assert answer.status_code == 401


def test_everything_is_sealed_anew_by_a_job(house, call):
    house.add_keys(*GEMINI_KEYS[:3])
    before = [row["secret"] for row in rows_of(house, "keys")]
    job = call("/admin/encryption/rotate", 202)["job"]
    assert house.keypool.jobs.wait(job, 10)
    answer = house.app.test_client().get(f"/admin/jobs/{job}", headers={"X-Admin-Key": PASSWORD})
    assert (answer.json["state"], answer.json["kind"]) == ("done", "encryption.rotate")
    assert [row["secret"] for row in rows_of(house, "keys")] == before, "the newest key sealed them already"
    assert house.chat().status_code == 200
    assert [row["action"] for row in rows_of(house, "audit")] == ["encryption.rotate"]
