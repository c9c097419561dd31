"""Long work as programs see it."""

from typing import get_args

import gevent
import pytest
from gevent.event import Event

from pool.jobs import STATES
from pool.web.api.jobs import State
from tests.house import PASSWORD
from tests.web.visitor import rows_of

ADMIN = {"X-Admin-Key": PASSWORD}


@pytest.fixture
def call(house, passwords):
    def send(path, method="GET", status=200, **options):
        answer = house.app.test_client().open(path, method=method, headers=ADMIN, **options)
        assert answer.status_code == status, answer.text
        return answer.json

    return send


def begin(house, work, kind="keys.test", total=0):
    return house.keypool.jobs.begin(kind, "admin", "password", work, total)


def test_a_job_is_shown_with_its_progress_and_some_of_its_rows(house, call):
    def work(progress):
        progress.step(2, "disabled", [1, 2])
        return {"audit": 4}

    job_id = begin(house, work, total=2)
    house.keypool.jobs.wait(job_id)
    told = call(f"/admin/jobs/{job_id}")
    times = [told.pop(name) for name in ("created_at", "started_at", "ended_at")]
    assert times == sorted(times)
    assert told == {
        "id": job_id, "kind": "keys.test", "state": "done", "who": "admin", "via": "password", "total": 2, "done": 2,
        "fates": {"disabled": 2}, "rows": {"disabled": [1, 2]}, "result": {"audit": 4}, "error": "",
        "can_undo": False, "cancel_asked": False,
    }  # fmt: skip


def test_jobs_are_listed_newest_first_by_page_and_state(house, call):
    ids = [begin(house, lambda _: None) for _ in range(3)]
    failed = begin(house, lambda _: 1 / 0, kind="import")
    for job_id in [*ids, failed]:
        house.keypool.jobs.wait(job_id)
    first = call("/admin/jobs?limit=3")
    assert [job["id"] for job in first["jobs"]] == [failed, ids[2], ids[1]]
    rest = call(f"/admin/jobs?limit=3&after={first['next']}")
    assert ([job["id"] for job in rest["jobs"]], rest["next"]) == ([ids[0]], None)
    assert [job["id"] for job in call("/admin/jobs?state=failed")["jobs"]] == [failed]
    assert [job["id"] for job in call("/admin/jobs?kind=import")["jobs"]] == [failed]
    assert call("/admin/jobs?state=asleep", status=400)["error"]["param"] == "state"


def test_a_job_is_cancelled_once_and_the_trail_says_who_did(house, call):
    going = Event()

    def work(progress):
        while True:
            progress.step(1)
            going.set()
            gevent.sleep(0.01)

    job_id = begin(house, work, total=10**6)
    going.wait()
    told = call(f"/admin/jobs/{job_id}/cancel", "POST")
    assert (told["success"], told["job"]["cancel_asked"]) == (True, True)
    assert house.keypool.jobs.wait(job_id, 10)
    assert call(f"/admin/jobs/{job_id}")["state"] == "cancelled"
    refused = call(f"/admin/jobs/{job_id}/cancel", "POST", 409)
    assert (refused["error"]["code"], refused["message"]) == ("job_over", f"Job {job_id} is over: cancelled.")
    (entry,) = rows_of(house, "audit")
    assert (entry["action"], entry["object"], entry["via"]) == ("job.cancel", f"job {job_id}", "password")


def test_a_job_there_is_not_is_404(call):
    assert call("/admin/jobs/99", status=404)["error"]["code"] == "job_not_found"
    assert call("/admin/jobs/99/cancel", "POST", 404)["error"]["code"] == "job_not_found"


def test_every_state_is_told():
    assert get_args(State) == STATES
