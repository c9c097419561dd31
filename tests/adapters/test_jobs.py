"""Long work: counted, shown by any worker, cancelled between slices, and never left running by the dead."""

import time

import gevent
import pytest
from gevent.event import Event

from pool.adapters import queries
from pool.adapters.database import Database
from pool.adapters.jobs import JobRows
from pool.jobs import AT_ONCE, KEPT_S, LOST_S, MOST_NAMED, Jobs


@pytest.fixture
def jobs(either):
    jobs = Jobs(JobRows(either), time.time)
    yield jobs
    jobs.stop()


def row(database, job_id):
    return database.read(queries.job_row, job_id)


def begin(jobs, work, **more):
    return jobs.begin("test", "admin", "session", work, **more)


def test_a_job_counts_its_rows_by_fate_and_tells_its_result(jobs, either):
    def work(progress):
        progress.step(3, "enabled", [1, 2, 3])
        progress.note("missing", 1, [9])
        progress.step(1)
        return {"changed": 3}

    job_id = begin(jobs, work, total=4, undo={"audit": 7})
    assert jobs.wait(job_id, 10)
    told = row(either, job_id)
    assert (told.state, told.done, told.total, told.result) == ("done", 4, 4, {"changed": 3})
    assert (told.fates, told.rows) == ({"enabled": 3, "missing": 1}, {"enabled": [1, 2, 3], "missing": [9]})
    assert (told.kind, told.who, told.via, told.undo, told.can_undo) == (
        "test", "admin", "session", {"audit": 7}, True,
    )  # fmt: skip
    assert told.created_at <= told.started_at <= told.ended_at


def test_it_counts_all_rows_and_names_some(jobs, either):
    def work(progress):
        for _ in range(3):
            progress.step(800, "deleted", iter(range(800)))

    job_id = begin(jobs, work)
    jobs.wait(job_id)
    told = row(either, job_id)
    assert (told.fates["deleted"], len(told.rows["deleted"])) == (2400, MOST_NAMED)


def test_cancelling_stops_between_two_slices_and_keeps_what_was_done(jobs, either):
    begun, go_on = Event(), Event()

    def work(progress):
        for n in range(5):
            begun.set()
            go_on.wait()
            progress.step(1, "done", [n])

    job_id = begin(jobs, work, total=5)
    begun.wait()
    assert jobs.cancel(job_id)
    assert row(either, job_id).cancel_asked
    go_on.set()
    jobs.wait(job_id)
    told = row(either, job_id)
    assert (told.state, told.done, told.rows) == ("cancelled", 1, {"done": [0]})
    assert not jobs.cancel(job_id), "it is over"
    assert not jobs.cancel(99), "there is none"


def test_whoever_asks_too_late_finds_the_work_done(jobs, either):
    def work(progress):
        progress.cancel_asked = True
        progress.step(2)

    job_id = begin(jobs, work, total=2)
    jobs.wait(job_id)
    assert row(either, job_id).state == "done"


def test_another_worker_cancels_and_sees_the_progress(either, monkeypatch):
    monkeypatch.setattr("pool.jobs.BEAT_S", 0.05)
    here, there = (Jobs(JobRows(either), time.time) for _ in range(2))

    def work(progress):
        while True:
            progress.step(1, "tried")
            gevent.sleep(0.01)

    job_id = begin(here, work, total=1_000_000)
    gevent.sleep(0.3)
    seen = row(either, job_id)
    assert seen.state == "running"
    assert seen.done == seen.fates["tried"] > 3
    assert there.cancel(job_id)
    assert here.wait(job_id, 10)
    assert row(either, job_id).state == "cancelled"


def test_what_fails_is_told_without_its_words(jobs, either, caplog):
    def work(progress):
        progress.step(1, "deleted", [4])
        raise ValueError("AIzaSySecret")

    job_id = begin(jobs, work, total=2)
    jobs.wait(job_id)
    told = row(either, job_id)
    assert (told.state, told.error, told.done, told.rows) == ("failed", "ValueError", 1, {"deleted": [4]})
    assert f"job {job_id} failed" in caplog.text


def test_only_so_many_run_at_once_and_the_others_wait(jobs, either):
    over = Event()
    running = []

    def work(_):
        running.append(1)
        over.wait()

    ids = [begin(jobs, work) for _ in range(AT_ONCE + 2)]
    gevent.sleep(0.2)
    assert len(running) == AT_ONCE
    assert [row(either, job_id).state for job_id in ids].count("queued") == 2
    jobs.cancel(ids[-1])
    over.set()
    for job_id in ids:
        jobs.wait(job_id)
    assert [row(either, job_id).state for job_id in ids] == ["done"] * (AT_ONCE + 1) + ["cancelled"]
    assert len(running) == AT_ONCE + 1, "a job cancelled while it waits never begins"


def test_a_stop_ends_what_runs_and_says_that_it_is_lost(either):
    jobs = Jobs(JobRows(either), time.time)

    def polite(progress):
        while True:
            gevent.sleep(0.01)
            progress.step()

    ids = [begin(jobs, polite, total=10**9), begin(jobs, lambda _: gevent.sleep(60), total=1)]
    gevent.sleep(0.1)
    jobs.stop(timeout_s=0.5)
    assert [row(either, job_id).state for job_id in ids] == ["lost", "lost"]


def test_a_job_whose_process_died_is_lost_and_an_old_one_forgotten(either):
    now = [1000.0]
    dead, alive = (Jobs(JobRows(either), lambda: now[0]) for _ in range(2))
    rows = JobRows(either)
    values = {"kind": "test", "state": "running", "who": "", "via": "", "total": 5, "undo": None}
    job_id = rows.add({**values, "created_at": 1000.0, "beat_at": 1000.0})
    now[0] += LOST_S - 1
    alive.tidy()
    assert row(either, job_id).state == "running"
    now[0] += 2
    alive.tidy()
    assert (row(either, job_id).state, row(either, job_id).ended_at) == ("lost", now[0])
    now[0] += KEPT_S + 1
    dead.tidy()
    assert row(either, job_id) is None


def test_jobs_are_listed_newest_first_page_by_page(jobs, either):
    ids = [begin(jobs, lambda _: None) for _ in range(5)]
    other = jobs.begin("other", "admin", "", lambda _: 1 / 0)
    for job_id in [*ids, other]:
        jobs.wait(job_id)

    def page(**wanted):
        return [job.id for job in either.read(queries.job_page, **wanted)]

    assert page(size=2) == [other, ids[4]]
    assert page(size=2, after=ids[4]) == [ids[3], ids[2]]
    assert page(kind="other") == page(state="failed") == [other]
    assert page(kind="test", state="failed") == []


def test_sqlite_holds_progress_without_a_statement_a_step(tmp_path, sqlite_url, database):
    second = Database(sqlite_url)
    jobs = Jobs(JobRows(second), time.time)
    ready = Event()

    def work(progress):
        before = second.statements
        for _ in range(1000):
            progress.step()
        progress.undo = {"statements": second.statements - before}
        ready.set()

    job_id = begin(jobs, work, total=1000)
    jobs.wait(job_id)
    assert row(second, job_id).undo == {"statements": 0}
    second.close()
