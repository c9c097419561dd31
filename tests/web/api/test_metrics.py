"""Figures for Prometheus: whole, in its format, and never less than at the look before."""

import re

import pytest

from pool.metering import Totals
from tests.house import GEMINI_KEYS, PASSWORD
from tests.upstream import gemini_error

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
