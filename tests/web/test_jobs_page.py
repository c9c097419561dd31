"""The pages of long work: what runs, what ended how, cancel and undo."""

import time

import gevent
from gevent.event import Event

from pool.jobs import CANCELLED
from tests.house import GEMINI_KEYS
from tests.web.visitor import Page, Visitor

HOSTILE = "<b>\u202e'\"🦊"


def begin(house, work, kind="keys.disable", total=0, **more):
    job_id = house.keypool.jobs.begin(kind, "admin", "session", work, total, **more)
    house.keypool.jobs.wait(job_id, 2)
    return job_id


def test_without_a_job_the_page_says_what_belongs_there(house):
    page = Visitor(house).see("/jobs")
    assert "Nothing runs" in page.text
    assert page.link("To the keys") == "/keys"
    assert Visitor(house).get("/jobs/77").status_code == 404


def test_a_job_that_is_over_tells_what_became_of_its_rows(house):
    ids = house.add_keys(*GEMINI_KEYS[:3], name=HOSTILE)

    def work(progress):
        progress.note("dead", 1, ids[:1])
        progress.step(2, "alive", ids[1:])

    job_id = begin(house, work, "keys.test", 3)
    visitor = Visitor(house)
    assert f"Test keys {job_id} Done 2 / 3 1 refused 2 alive" in visitor.see("/jobs").text
    answer = visitor.get(f"/jobs/{job_id}")
    assert answer.text.count(GEMINI_KEYS[0][:8]) == 3
    assert HOSTILE not in answer.text
    assert "&lt;b&gt;" in answer.text
    assert GEMINI_KEYS[0] not in answer.text
    assert "soon from:body" not in answer.text


def test_what_a_job_found_is_dealt_with_group_by_group(house):
    ids = house.add_keys(*GEMINI_KEYS[:3])

    def work(progress):
        progress.note("dead", 1, ids[:1])
        progress.step(2, "alive", ids[1:])

    job_id = begin(house, work, "keys.test", 3)
    visitor = Visitor(house)
    page = visitor.see(f"/jobs/{job_id}")
    dead = next(form for form in page.forms if form.node.get("aria-label") == "refused")
    button = next(each for each in dead.buttons if each.text == "Delete")
    asks = Page(visitor.submit(dead, button, {}).text)
    answer = visitor.press(asks, "Delete 1 key")
    assert answer.request.path == f"/jobs/{job_id}"
    assert "1 key is in the bin, for seven days." in answer.text
    assert sorted(house.keypool.catalogue.keys) == ids[1:]
    page = visitor.see(f"/jobs/{job_id}")
    assert not [form for form in page.forms if form.node.get("aria-label") == "refused"]


def test_a_job_that_runs_is_shown_with_its_progress_and_can_be_cancelled(house):
    go = Event()

    def work(progress):
        while True:
            progress.step(1, "disabled")
            gevent.sleep(0.01)
            go.set()

    job_id = house.keypool.jobs.begin("keys.disable", "admin", "session", work, 1_000_000)
    go.wait(2)
    visitor = Visitor(house)
    html = visitor.get(f"/jobs/{job_id}").text
    assert "<progress" in html
    assert '<noscript><meta http-equiv="refresh"' in html
    assert 'hx-trigger="soon from:body"' in html
    assert visitor.get(f"/jobs/{job_id}", headers={"HX-Request": "true"}).text.lstrip().startswith('<div id="job"')
    answer = visitor.press(Page(html), "Cancel")
    assert "It stops." in answer.text
    assert visitor.audit() == [("job.cancel", f"job {job_id}")]
    house.keypool.jobs.wait(job_id, 2)
    assert f"Disable keys {job_id} Cancelled" in visitor.see(f"/jobs?state={CANCELLED}").text
    assert "No job matches." in visitor.see("/jobs?state=failed").text
    visitor.post(f"/jobs/{job_id}/cancel")
    assert "It is over already." in visitor.see("/jobs").text


def test_a_failed_job_says_so_without_its_secrets(house):
    job_id = begin(house, lambda progress: {}["AIzaSecret"], "import")
    text = Visitor(house).see(f"/jobs/{job_id}").text
    assert "It ended with an error: KeyError." in text
    assert "AIzaSecret" not in text


def test_jobs_are_paged(house):
    first = begin(house, lambda _: None)
    for _ in range(50):
        house.keypool.jobs.begin("keys.enable", "admin", "session", lambda _: None)
    gevent.sleep(0.3)
    visitor = Visitor(house)
    page = visitor.see("/jobs")
    assert f"Disable keys {first}" not in page.text
    older = visitor.see(page.link("Next page"))
    assert f"Disable keys {first}" in older.text
    assert older.link("First page") == "/jobs"


def test_many_keys_changed_by_a_job_come_back_by_its_undo(house):
    ids = house.add_keys(*(f"AIzaSyMany{n:04d}" + "m" * 25 for n in range(520)))
    visitor = Visitor(house)
    answer = visitor.post("/keys/selected/disable", all="yes", back="/keys", **{"for": ""})
    while house.keypool.jobs._live:
        gevent.sleep(0.05)
    assert not any(house.keypool.catalogue.keys[key_id].available(time.time()) for key_id in ids)
    page = visitor.see(answer.location if "/jobs/" in answer.location else visitor.see("/jobs").link("Disable keys"))
    visitor.press(page, "Undo")
    while house.keypool.jobs._live:
        gevent.sleep(0.05)
    assert all(house.keypool.catalogue.keys[key_id].available(time.time()) for key_id in ids)


def test_work_under_way_is_told_on_every_page_until_it_is_over(house):
    house.add_keys(GEMINI_KEYS[0])
    go, at_it = Event(), Event()

    def work(progress):
        progress.step(1, "alive")
        at_it.set()
        go.wait(5)
        progress.step(2, "alive")

    visitor = Visitor(house)
    assert 'id="work"' not in visitor.get("/pools").text
    job_id = house.keypool.jobs.begin("keys.test", "admin", "session", work, 3)
    at_it.wait(5)
    for path in ("/dashboard", "/keys", "/stat", "/nowhere"):
        page = Page(visitor.get(path).text)
        assert "Test keys" in page.by_id["work"].text, path
        assert page.link("Show") == f"/jobs/{job_id}"
    assert 'id="work"' not in visitor.get(f"/jobs/{job_id}").text
    assert 'id="work"' not in Visitor(house, signed_in=False).get("/login").text
    strip = page.by_id["work"]
    assert strip.get("hx-trigger") == "soon from:body"
    again = visitor.get(strip.get("hx-get"), headers={"HX-Request": "true"}).text
    assert "soon from:body" in again
    go.set()
    house.keypool.jobs.wait(job_id, 2)
    over = visitor.get(strip.get("hx-get"), headers={"HX-Request": "true"}).text
    assert "3 / 3" in over
    assert "hx-get" not in over, "what is over is not asked for again"
    assert visitor.get(strip.get("hx-get")).location == "/jobs"
    assert 'id="work"' not in visitor.get("/pools").text
