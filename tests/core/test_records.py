import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.calls import Usage
from pool.core.keys import FOREVER
from pool.core.quota import Quota
from pool.core.records import (
    MOST_TOKENS,
    AttemptRecord,
    RequestRecord,
    bench_line,
    dead_line,
    limit_line,
    parse_line,
    parse_request,
    project_line,
    release_line,
)

QUOTA = Quota("day", "requests", 20, "free", "m")
TOLD = ["day", "requests", 20, "free"]

counts = st.integers(0, 2**53)
tokens = st.integers(0, MOST_TOKENS)
short = st.text(max_size=200)


def record_of(**fields):
    return RequestRecord("r-1", 1_790_000_000.25, 3, 7, "openai", "chat", "fast", **fields)


attempts = st.builds(
    AttemptRecord,
    key_id=counts,
    provider=short,
    why=short,
    started_ms=counts,
    skipped=st.dictionaries(short, counts, max_size=3),
    duration_ms=counts,
    ttfb_ms=st.none() | counts,
    status=st.none() | counts,
    outcome=short,
    blamed=st.booleans(),
    error=st.text(max_size=500),
)
records = st.builds(
    RequestRecord,
    request_id=short,
    at=st.floats(0, 4e9),
    pool_id=counts,
    client_id=st.none() | counts,
    dialect=short,
    operation=short,
    model=short,
    model_used=short,
    stream=st.booleans(),
    ip=short,
    status=counts,
    outcome=short,
    code=short,
    latency_ms=counts,
    ttfb_ms=st.none() | counts,
    usage=st.builds(Usage, tokens, tokens, tokens, tokens, st.booleans()),
    attempts=st.lists(attempts, max_size=3),
)


@given(records)
def test_a_record_comes_back_from_its_line_as_it_was(record):
    line = record.line()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert parse_request(parse_line(line)) == record


def test_what_strangers_wrote_is_clipped():
    attempt = AttemptRecord(1, "gemini", "round_robin", 0, error="e" * 9_000)
    record = record_of(model_used="u" * 9_000, attempts=[attempt])
    record.model = "m" * 9_000
    back = parse_request(parse_line(record.line()))
    assert (len(back.model), len(back.model_used), len(back.attempts[0].error)) == (200, 200, 500)


def test_usage_counts_input_and_output():
    assert Usage(input=10, output=5, cached=8, thinking=3).total == 15


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (bench_line(7, "m", "quota_day", 99.5, "slow", 9.0), ["bench", 7, "m", "quota_day", 99.5, "slow", 9.0, None]),
        (bench_line(7, "", "errors", None, "", 9.0), ["bench", 7, "", "errors", None, "", 9.0, None]),
        (bench_line(7, "", "errors", FOREVER, "", 9.0), ["bench", 7, "", "errors", None, "", 9.0, None]),
        (bench_line(7, "m", "quota_day", 9.5, "", 9.0, QUOTA), ["bench", 7, "m", "quota_day", 9.5, "", 9.0, TOLD]),
        (limit_line(7, "p/1", "m", QUOTA, 9.0), ["limit", 7, "p/1", "m", "day", "requests", 20, "free", 9.0]),
        (project_line(7, "projects/1", 9.0), ["project", 7, "projects/1", 9.0]),
        (dead_line(7, "leaked", 9.0), ["dead", 7, "leaked", 9.0]),
        (release_line(7, None, 9.0), ["release", 7, None, 9.0]),
        (release_line(7, "m", 9.0), ["release", 7, "m", 9.0]),
    ],
)
def test_what_is_known_against_a_key_is_one_line(line, fields):
    assert line.endswith(b"\n")
    assert parse_line(line) == fields


def test_a_bench_written_before_quotas_were_is_still_read():
    assert parse_line(b'["bench",7,"m","quota_day",99.5,"slow",9.0]')[-2:] == [9.0, None]


def test_an_upstreams_prose_is_clipped():
    assert len(parse_line(dead_line(1, "x" * 9_000, 9.0))[2]) == 2_000
    assert len(parse_line(bench_line(1, "m", "r", None, "x" * 9_000, 9.0))[5]) == 2_000


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b'["request", "r-1"',
        b"[]",
        b"{}",
        b"3",
        b"null",
        b"\0\0\0",
        b"\xff",
        b"[[1], 2]",
        b'["bench", 1]',
        b'["dead", {}, "t", 1]',
        b'["release", 1, 2, 3]',
    ],
)
def test_a_torn_line_is_refused(line):
    with pytest.raises(ValueError):
        parse_line(line)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields[:-1],
        lambda fields: [*fields, 1],
        lambda fields: fields[:1],
        lambda fields: [*fields[:-2], 5, []],
        lambda fields: [*fields[:-1], [[1, 2]]],
        lambda fields: ["request", None, *fields[2:]],
        lambda fields: ["request", "r-1", "yesterday", *fields[3:]],
        lambda fields: ["request", "r-1", 9.0, [], *fields[4:]],
    ],
)
def test_a_line_of_another_shape_is_refused(change):
    fields = orjson.loads(record_of(attempts=[AttemptRecord(1, "gemini", "lru", 0)]).line())
    with pytest.raises((ValueError, TypeError)):
        parse_request(change(fields))


def test_counts_no_database_takes_are_brought_within_bounds():
    record = parse_request(
        parse_line(RequestRecord("r", 0.0, 1, None, "openai", "chat", "m", usage=Usage(2**70, -1)).line())
    )
    assert record.usage == Usage(MOST_TOKENS, 0)
