"""`kill -9` in the middle of an import: what is in is one import, it is used, and it can be taken back."""

import shutil
import time

import pytest
import requests

from tests.house import PASSWORD
from tests.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ADMIN = {"X-Admin-Key": PASSWORD}


def test_an_import_that_was_killed_is_whole_and_can_be_taken_back(instance_template, tmp_path):
    instance = tmp_path / "instance"
    shutil.copytree(instance_template, instance)
    text = "\n".join(f"AIzaSy{n:08d}" + "q" * 25 for n in range(40_000))
    with Server(instance) as server:
        begun = requests.post(f"{server.url}/admin/keys/import", headers=ADMIN, json={"text": text})
        assert begun.status_code == 202
        while not server.rows("SELECT counts FROM imports"):
            time.sleep(0.02)
        server.kill()
        server.start()
        (row,) = requests.get(f"{server.url}/admin/imports", headers=ADMIN).json()["imports"]
        assert (row["ended_at"], row["undone_at"]) == (None, None)
        ((keys,),) = server.rows("SELECT count(*) FROM keys WHERE import_id = 1")
        ((seats,),) = server.rows("SELECT count(*) FROM memberships WHERE import_id = 1 AND removed_at IS NULL")
        assert row["counts"] == {"added": keys}
        assert 0 < keys == seats < 40_000
        undo = f"{server.url}/admin/imports/1/undo?wait=1"
        deadline = time.monotonic() + 60
        while (undone := requests.post(undo, headers=ADMIN)).status_code == 409 and time.monotonic() < deadline:
            assert undone.json()["error"]["code"] == "import_under_way", "until its job is known to be lost"
            time.sleep(1)
        assert undone.json()["removed"] == keys
        job = requests.get(f"{server.url}/admin/jobs/{begun.json()['job']}", headers=ADMIN).json()
        assert job["state"] == "lost"
