"""Figures for Prometheus: whole, in its format, and never less than at the look before."""

import os
import re
import resource
import time
from contextlib import contextmanager

import gevent
import pytest

from pool.adapters import spool
from pool.metering import Totals
from tests.house import GEMINI_KEYS, PASSWORD, open_house
from tests.redis_server import RedisServer, found
from tests.upstream import gemini_error, gemini_like, stall

ADMIN = {"Authorization": f"Bearer {PASSWORD}"}
LABEL = r'[a-z_]+="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
SAMPLE = re.compile(rf"([a-z_]+)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")


@pytest.fixture
def scrape(house, passwords):
    client = house.app.test_client()

    def get():
        house.keypool.recorder.drain()
        answer = client.get("/metrics", headers=ADMIN)
        assert answer.status_code == 200
        assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.text.endswith("\n")
        return answer.text

    return get


def samples(text):
    """By name and labels; every line is one, or a comment."""
    lines = [line for line in text.splitlines() if not re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+", line)]
    found = [SAMPLE.fullmatch(line) for line in lines]
    assert all(found), lines
    return {(each[1], each[2] or ""): float(each[3]) for each in found}


def test_it_tells_requests_attempts_tokens_and_times(house, scrape):
    house.add_keys(*GEMINI_KEYS[:2])
    house.chat()
    house.upstream.for_key(GEMINI_KEYS[1], gemini_error(429, retry_delay="38s"))
    house.chat()
    told = samples(scrape())
    assert told["keypool_requests_total", 'route="chat",status="200",outcome="ok"'] == 2
    assert told["keypool_attempts_total", 'outcome="ok",status="200"'] == 2
    assert told["keypool_attempts_total", 'outcome="quota_minute",status="429"'] == 1
    assert told["keypool_tokens_total", 'kind="in"'] > 0
    assert told["keypool_request_duration_seconds_count", ""] == 2
    assert told["keypool_request_duration_seconds_bucket", 'le="+Inf"'] == 2
    assert told["keypool_time_to_first_token_seconds_count", ""] == 2
    assert told["keypool_keys", 'pool="default",state="cooling"'] == 1
    assert told["keypool_keys", 'pool="default",state="healthy"'] == 1
    assert told["keypool_journal_behind_bytes", ""] == 0
    edges = [float(labels[4:-1]) for name, labels in told if name == "keypool_time_to_first_token_seconds_bucket"]
    assert edges == sorted(edges)
    counts = [number for (name, _), number in told.items() if name == "keypool_time_to_first_token_seconds_bucket"]
    assert counts == sorted(counts)


def test_the_journal_is_told_as_far_as_it_is_behind(house, passwords):
    house.add_keys(GEMINI_KEYS[0])
    house.chat()
    text = house.app.test_client().get("/metrics", headers=ADMIN).text
    assert samples(text)["keypool_journal_behind_bytes", ""] > 100


def of_this_worker(text, name):
    return samples(text)[name, f'worker="{os.getpid()}"']


def test_what_is_under_way_at_upstreams_is_told_while_it_is(house, scrape):
    house.add_keys(*GEMINI_KEYS[:3])
    house.upstream.script(lambda request: stall(0.3, then=gemini_like(request)))
    asking = [gevent.spawn(house.chat) for _ in range(3)]
    house.upstream.wait_until(lambda: len(house.upstream.requests) == 3)
    during = scrape()
    gevent.joinall(asking)
    after = scrape()
    names = ("keypool_attempts_in_flight", "keypool_upstream_connections", "keypool_requests_waiting")
    assert [of_this_worker(during, name) for name in names] == [3, 3, 0]
    assert [of_this_worker(after, name) for name in names] == [0, 3, 0], "connections stay open for the next ones"
    house.upstream.close_idle()
    house.chat()
    assert of_this_worker(scrape(), "keypool_upstream_connections") == 1
    assert {each.value.status_code for each in asking} == {200}


def test_who_waits_for_a_key_is_told_while_they_wait(house, scrape):
    house.add_keys(GEMINI_KEYS[0])
    house.set(max_queue_s=5)
    assert of_this_worker(scrape(), "keypool_requests_waiting") == 0
    house.keypool.catalogue.bench(1, "quota_minute", time.time() + 1.5)
    asking = [gevent.spawn(house.chat) for _ in range(2)]
    gevent.sleep(0)
    assert of_this_worker(scrape(), "keypool_requests_waiting") == 2
    gevent.joinall(asking)
    assert of_this_worker(scrape(), "keypool_requests_waiting") == 0
    assert {each.value.status_code for each in asking} == {200}


@contextmanager
def no_file_grows():
    """For this process, as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_records_that_a_full_disk_loses_are_counted_and_those_in_memory_are_not(house, scrape, monkeypatch):
    house.add_keys(GEMINI_KEYS[0])
    house.chat()
    monkeypatch.setattr(spool, "MOST_WAITING_BYTES", 1000)
    assert of_this_worker(scrape(), "keypool_journal_lost_total") == 0
    with no_file_grows():
        for _ in range(12):
            assert house.chat().status_code == 200
    house.chat()
    text = scrape()
    lost = of_this_worker(text, "keypool_journal_lost_total")
    assert 0 < lost < 12
    assert samples(text)["keypool_requests_total", 'route="chat",status="200",outcome="ok"'] == 14 - lost


def test_an_upstream_in_a_storm_is_told_until_it_is_over(house, scrape):
    house.add_keys(*GEMINI_KEYS)
    house.keypool.relay.pause = lambda seconds: gevent.sleep(min(seconds, 0.001))
    house.chat()
    assert not [name for name, _ in samples(scrape()) if name == "keypool_storm"]
    house.upstream.script(gemini_error(503, message="The service is currently unavailable."))
    for _ in range(20):
        house.chat()
    assert samples(scrape())["keypool_storm", 'provider="gemini"'] == 1
    house.upstream.script(None)
    while house.chat().status_code != 200:
        gevent.sleep(0.05)
    assert not [name for name, _ in samples(scrape()) if name == "keypool_storm"]


@pytest.mark.slow
def test_a_redis_that_is_away_is_told_until_it_is_back(instance_template, tmp_path, passwords):
    found(url_will_do=False)
    with RedisServer(tmp_path) as redis, open_house(instance_template, tmp_path / "i", REDIS_URL=redis.url) as house:
        away = "keypool_shared_state_away"

        def told():
            house.chat()  # a limited key: Redis is asked for it
            return of_this_worker(house.app.test_client().get("/metrics", headers=ADMIN).text, away)

        house.add_keys(GEMINI_KEYS[0], max_requests=1000)
        for change, value in ((None, 0), (redis.kill, 1), (redis.start, 0)):
            if change is not None:
                change()
            house.upstream.wait_until(lambda value=value: told() == value, within_s=15)


def test_nothing_secret_and_no_key_is_in_it_and_names_are_escaped(house, scrape):
    pool_id, _ = house.keypool.inventory.create_pool('a "pool"\\ of\nmine')
    house.add_keys(GEMINI_KEYS[0], pool_id=pool_id)
    house.chat()
    text = scrape()
    assert samples(text)["keypool_keys", 'pool="a \\"pool\\"\\\\ of\\nmine",state="healthy"'] == 1
    assert "AIza" not in text
    assert "key_id" not in text


def test_totals_never_fall_when_an_hour_closes():
    rows = {0: 5, 3600: 7, 7200: 11, 36_000: 13}

    def add_up(since, until):
        return sum(number for hour, number in rows.items() if since <= hour < until)

    totals = Totals()
    assert totals.now(36_100, add_up) == 36
    rows[36_000] += 1
    assert totals.now(36_200, add_up) == 37
    assert totals.now(90_000, add_up) == 37
    rows[90_000] = 2
    assert totals.now(90_100, add_up) == 39
