import pytest
from sqlalchemy import select

from pool.adapters import tables
from pool.adapters.prices import Prices
from pool.adapters.recorder import Recorder
from pool.adapters.spool import Spool, batches
from pool.core.calls import Usage
from pool.core.prices import MOST_COST_NANO
from pool.core.records import AttemptRecord, RequestRecord, bench_line, dead_line, release_line

HOUR = 1_789_999_200
AT = HOUR + 100.5
SECRET = "AIzaSyCanary0123456789abcdefghijklmnopq"


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "spool")
    yield spool
    spool.close()


@pytest.fixture
def recorder(database, spool):
    """Over a database that has a provider, the keys 1 to 3 and the user key 7."""
    database.write(furnish)
    return Recorder(database, spool.folder)


def furnish(session):
    session.add(tables.Provider(id=1, slug="gemini", dialect="gemini"))
    session.add(tables.Pool(id=1, public_id="pool-1", name="p", auth_digest=b"p" * 32, auth_sealed=b""))
    session.flush()
    session.add(tables.ClientKey(id=7, name="c", pool_id=1, digest=b"c" * 32))
    session.add_all(
        tables.Key(id=n, public_id=f"key_{n}", provider_id=1, fingerprint=bytes([n]) * 32) for n in (1, 2, 3)
    )


def attempt(key_id, outcome="ok", **fields):
    return AttemptRecord(key_id, "gemini", "round_robin", 0, outcome=outcome, **fields)


def record(request_id, *attempts, at=AT, outcome="ok", **fields):
    fields = {"status": 200, "latency_ms": 300, "ttfb_ms": 120, "model_used": "gemini-2.5-flash", **fields}
    return RequestRecord(
        request_id, at, 1, 7, "openai", "chat", "fast", outcome=outcome, attempts=list(attempts), **fields
    )


def rows(database, table, order="id"):
    columns = table.__table__.c
    query = select(*columns).order_by(columns[order])
    return database.read(lambda session: [dict(row._mapping) for row in session.execute(query)])


def key_row(database, key_id):
    return next(row for row in rows(database, tables.Key) if row["id"] == key_id)


def drain(recorder, spool, *lines):
    for line in lines:
        spool.write(line)
    return recorder.drain()


def outcomes(database, side):
    found = rows(database, tables.OutcomeHour, order="word")
    assert {row["hour"] for row in found} <= {HOUR, HOUR + 3600}
    return [(row["status"], row["word"], row["times"]) for row in found if row["side"] == side]


def test_outcomes_are_counted_by_the_hour_for_clients_and_for_upstreams(recorder, spool, database):
    spent = attempt(1, outcome="quota_day", status=429)
    lines = [
        record("a", spent, attempt(2, status=200)),
        record("b", attempt(2, status=200)),
        record("c", spent, outcome="error", status=429, code="all_keys_cooling"),
        record("d", attempt(1, outcome="unreachable"), outcome="error", status=502),
        record("e", attempt(2, outcome="rejected", status=400), outcome="error", status=400, code="ok"),
    ]
    drain(recorder, spool, *(each.line() for each in lines))
    drain(recorder, spool, record("a", spent).line(), record("f", attempt(3, status=200)).line())
    assert outcomes(database, "request") == [(429, "all_keys_cooling", 1), (400, "error", 1), (502, "error", 1),
                                             (200, "ok", 3)]  # fmt: skip
    assert outcomes(database, "attempt") == [(200, "ok", 3), (429, "quota_day", 2), (400, "rejected", 1),
                                             (0, "unreachable", 1)]  # fmt: skip
    assert outcomes(database, "rescue") == [(429, "quota_day", 1)]


def test_a_request_is_one_row_with_its_attempts_beneath(recorder, spool, database):
    first = AttemptRecord(
        1, "gemini", "round_robin", 0, {"cooling": 2}, 40, None, 429, "quota_minute", True, "slow down"
    )
    second = AttemptRecord(2, "gemini", "round_robin", 45, {}, 255, 75, 200, "ok")
    usage = Usage(input=10, output=5, cached=4, thinking=2, estimated=True)
    made = record("r-1", first, second, stream=True, ip="10.0.0.9", usage=usage)
    assert drain(recorder, spool, made.line()) == 1
    (row,) = rows(database, tables.Request)
    assert {name: row[name] for name in ("request_id", "at", "pool_id", "client_key_id", "key_id", "attempts")} == {
        "request_id": "r-1", "at": AT, "pool_id": 1, "client_key_id": 7, "key_id": 2, "attempts": 2,
    }  # fmt: skip
    assert (row["model_asked"], row["model_used"], row["operation"]) == ("fast", "gemini-2.5-flash", "chat")
    assert (row["status"], row["outcome"], row["error_code"], row["stream"]) == (200, "ok", None, True)
    assert (row["latency_ms"], row["ttfb_ms"], row["ip"]) == (300, 120, "10.0.0.9")
    assert (row["tokens_in"], row["tokens_out"], row["tokens_cached"], row["tokens_thinking"]) == (10, 5, 4, 2)
    assert row["estimated"] is True
    below = rows(database, tables.Attempt, "n")
    assert [(a["n"], a["key_id"], a["status"], a["outcome"], a["blamed"], a["error"]) for a in below] == [
        (1, 1, 429, "quota_minute", "key", "slow down"),
        (2, 2, 200, "ok", "", ""),
    ]
    assert [(a["skipped"], a["started_ms"], a["duration_ms"]) for a in below] == [
        ({"cooling": 2}, 0, 40),
        (None, 45, 255),
    ]
    assert {a["request_row"] for a in below} == {row["id"]}


def test_a_request_that_met_no_key_is_a_row_too(recorder, spool, database):
    drain(recorder, spool, record("r-1", outcome="error", status=503, code="no_available_keys", model_used="").line())
    (row,) = rows(database, tables.Request)
    assert (row["key_id"], row["attempts"], row["error_code"]) == (None, 0, "no_available_keys")
    assert row["model_used"] == "fast"


def test_draining_again_finds_nothing(recorder, spool, database):
    assert drain(recorder, spool, record("r-1", attempt(1)).line(), record("r-2", attempt(1)).line()) == 2
    assert recorder.drain() == 0
    assert len(rows(database, tables.Request)) == 2


def test_lines_written_meanwhile_are_drained_next(recorder, spool, database):
    drain(recorder, spool, record("r-1", attempt(1)).line())
    assert drain(recorder, spool, record("r-2", attempt(1)).line()) == 1
    assert [row["request_id"] for row in rows(database, tables.Request)] == ["r-1", "r-2"]


def test_a_crash_within_a_drain_leaves_all_or_nothing(recorder, spool, database, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pool.adapters.rollups._touch_clients", crash)
        with pytest.raises(KeyboardInterrupt):
            drain(recorder, spool, record("r-1", attempt(1)).line())
    assert rows(database, tables.Request) == []
    assert rows(database, tables.SpoolPosition, "file") == []
    assert recorder.drain() == 1
    assert key_row(database, 1)["requests"] == 1


def test_a_request_drained_from_two_files_counts_once(recorder, spool, database):
    line = record("r-1", attempt(1), usage=Usage(10, 5)).line()
    drain(recorder, spool, line)
    (spool.folder / "9-copied.jsonl").write_bytes(line)
    assert recorder.drain() == 1
    assert len(rows(database, tables.Request)) == 1
    assert len(rows(database, tables.Attempt, "n")) == 1
    assert [row["requests"] for row in rows(database, tables.TrafficHour, "hour")] == [1]
    assert key_row(database, 1)["tokens"] == 15


def test_a_request_twice_in_one_piece_counts_once(recorder, spool, database):
    line = record("r-1", attempt(1), usage=Usage(10, 5)).line()
    assert drain(recorder, spool, line, line) == 2
    assert len(rows(database, tables.Attempt, "n")) == 1
    assert key_row(database, 1)["tokens"] == 15


def test_the_position_moves_with_the_rows(recorder, spool, database):
    drain(recorder, spool, record("r-1", attempt(1)).line())
    (position,) = rows(database, tables.SpoolPosition, "file")
    assert position["file"] == spool.current
    assert position["offset"] == (spool.folder / spool.current).stat().st_size
    assert list(batches(spool.folder, {position["file"]: position["offset"]})) == []


def test_an_hours_figures_add_up_with_and_without_the_key(recorder, spool, database):
    usage = Usage(input=10, output=5, cached=4, thinking=2, estimated=True)
    drain(recorder, spool, record("r-1", attempt(1), usage=usage).line())
    drain(
        recorder, spool,
        record("r-2", attempt(1, "quota_minute"), attempt(2), usage=usage, latency_ms=700).line(),
        record("r-3", attempt(1, "rejected"), outcome="error", status=400, ttfb_ms=None).line(),
        record("r-4", attempt(1), at=AT + 3600).line(),
    )  # fmt: skip
    by_key = {
        (row["hour"], row["key_id"]): (row["requests"], row["successes"], row["errors"], row["attempts"])
        for row in rows(database, tables.UsageHour, "hour")
    }
    assert by_key == {(HOUR, 1): (2, 1, 1, 3), (HOUR, 2): (1, 1, 0, 1), (HOUR + 3600, 1): (1, 1, 0, 1)}
    first = rows(database, tables.TrafficHour, "hour")[0]
    assert (first["hour"], first["pool_id"], first["client_key_id"], first["model"]) == (HOUR, 1, 7, "gemini-2.5-flash")
    assert (first["requests"], first["successes"], first["errors"], first["attempts"]) == (3, 2, 1, 4)
    assert (first["tokens_in"], first["tokens_out"], first["tokens_cached"], first["tokens_thinking"]) == (20, 10, 8, 4)
    assert (first["estimated"], first["latency_ms"], first["ttfb_ms"]) == (2, 1300, 240)
    assert (first["ms_500"], first["ms_1000"], first["ms_more"]) == (2, 1, 0)


def test_attempts_count_for_the_key_that_was_asked_in_the_hour_they_began(recorder, spool, database):
    late = AttemptRecord(2, "gemini", "round_robin", 3_500_000, outcome="quota_minute")
    drain(recorder, spool, record("r-1", attempt(1, "quota_minute"), attempt(1), late, attempt(3)).line())
    by_key = {
        (row["hour"], row["key_id"]): (row["requests"], row["attempts"], row["tokens_in"])
        for row in rows(database, tables.UsageHour, "hour")
    }
    assert by_key == {(HOUR, 1): (0, 2, 0), (HOUR + 3600, 2): (0, 1, 0), (HOUR, 3): (1, 1, 0)}
    assert [(row["requests"], row["attempts"]) for row in rows(database, tables.TrafficHour, "hour")] == [(1, 4)]


def test_what_a_request_cost_is_in_its_row_its_hour_and_its_last_key(database, spool):
    database.write(furnish)
    recorder = Recorder(database, spool.folder, Prices())
    # Gemini 2.5 Flash: 300, 30 cached and 2,500 nano-USD a token.
    usage = Usage(input=1_000, output=100, cached=400, thinking=50)
    cost = 600 * 300 + 400 * 30 + 100 * 2_500
    line = record("r-1", attempt(1, "quota_minute"), attempt(2), usage=usage).line()
    drain(recorder, spool, line)
    drain(recorder, spool, line)
    drain(recorder, spool, record("r-2", attempt(2), usage=Usage(1_000, 0), model_used="nobody-lists-it").line())
    assert [row["cost_nano"] for row in rows(database, tables.Request)] == [cost, 0]
    assert sum(row["cost_nano"] for row in rows(database, tables.TrafficHour, "hour")) == cost
    by_key = {(row["key_id"], row["model"]): row["cost_nano"] for row in rows(database, tables.UsageHour, "hour")}
    assert by_key == {(1, "gemini-2.5-flash"): 0, (2, "gemini-2.5-flash"): cost, (2, "nobody-lists-it"): 0}
    assert [key_row(database, n)["cost_nano"] for n in (1, 2, 3)] == [0, cost, 0]


def test_absurd_counts_cost_what_a_column_holds(database, spool):
    database.write(furnish)
    recorder = Recorder(database, spool.folder, Prices())
    for n in range(50):
        spool.write(record(f"r-{n}", attempt(1), usage=Usage(2**53, 2**53)).line())
    assert recorder.drain() == 50
    assert key_row(database, 1)["cost_nano"] == 50 * MOST_COST_NANO


def test_without_prices_nothing_costs_anything(recorder, spool, database):
    drain(recorder, spool, record("r-1", attempt(1), usage=Usage(1_000, 100)).line())
    assert rows(database, tables.Request)[0]["cost_nano"] == 0


def test_a_keys_totals_count_its_attempts(recorder, spool, database):
    drain(
        recorder, spool,
        record("r-1", attempt(1, "quota_minute", status=429, error="slow down"), attempt(2), usage=Usage(10, 5)).line(),
        record("r-2", attempt(1), usage=Usage(1, 2), at=AT + 5).line(),
        record("r-3", attempt(1, "client_gone"), outcome="client_gone", at=AT + 9).line(),
    )  # fmt: skip
    one, two, three = (key_row(database, n) for n in (1, 2, 3))
    assert (one["requests"], one["successes"], one["errors"], one["tokens"]) == (3, 1, 1, 3)
    assert (one["last_used_at"], one["last_error_at"], one["last_error"]) == (AT + 9, AT, "429 quota_minute slow down")
    assert (two["requests"], two["successes"], two["tokens"], two["last_error_at"]) == (1, 1, 15, None)
    assert (three["requests"], three["last_used_at"]) == (0, None)


def test_a_client_keys_last_use_is_kept(recorder, spool, database):
    drain(recorder, spool, record("r-1", attempt(1)).line(), record("r-2", attempt(1), at=AT + 60).line())
    assert [row["last_used_at"] for row in rows(database, tables.ClientKey)] == [AT + 60]


def test_what_an_upstream_echoed_is_stored_without_the_key(recorder, spool, database):
    echoed = f"Consumer 'api_key:{SECRET}' of projects/123456789012 has been suspended."
    drain(
        recorder, spool,
        record("r-1", attempt(1, "dead", status=403, error=echoed)).line(),
        dead_line(1, echoed, AT),
        bench_line(2, "", "suspected", AT + 60, echoed, AT),
    )  # fmt: skip
    told = [
        rows(database, tables.Attempt, "n")[0]["error"],
        key_row(database, 1)["last_error"],
        key_row(database, 1)["dead_reason"],
        rows(database, tables.KeyHealth, "key_id")[0]["upstream_text"],
    ]
    assert all("has been suspended" in text and "AIzaSyCa...nopq" in text for text in told)
    assert not any("Canary" in text or "123456789012" in text for text in told)


def test_a_rest_is_stored_until_its_end(recorder, spool, database):
    drain(
        recorder, spool,
        bench_line(1, "m", "quota_day", AT + 900, "spent", AT),
        bench_line(1, "", "errors", AT + 60, "five", AT),
        bench_line(2, "m", "not_entitled", None, "no", AT),
        bench_line(99, "m", "quota_day", AT + 900, "of a key that is gone", AT),
    )  # fmt: skip
    found = {(row["key_id"], row["model"]): row for row in rows(database, tables.KeyHealth, "key_id")}
    assert {place: (row["state"], row["reason"], row["until"]) for place, row in found.items()} == {
        (1, "m"): ("cooling", "quota_day", AT + 900),
        (1, ""): ("cooling", "errors", AT + 60),
        (2, "m"): ("not_entitled", "not_entitled", None),
    }
    assert found[1, "m"]["since"] == AT


def test_a_later_word_extends_a_rest_and_never_shortens_it(recorder, spool, database):
    def until():
        return [(row["reason"], row["until"]) for row in rows(database, tables.KeyHealth, "key_id")]

    drain(recorder, spool, bench_line(1, "m", "quota_minute", AT + 60, "", AT))
    drain(recorder, spool, bench_line(1, "m", "quota_day", AT + 900, "", AT))
    drain(recorder, spool, bench_line(1, "m", "quota_minute", AT + 61, "", AT + 1))
    assert until() == [("quota_day", AT + 900)]
    drain(recorder, spool, bench_line(1, "m", "limited", None, "", AT + 2))
    drain(recorder, spool, bench_line(1, "m", "quota_day", AT + 9_000, "", AT + 3))
    assert until() == [("limited", None)]


def test_a_released_key_is_known_for_nothing(recorder, spool, database):
    benches = [bench_line(1, model, "quota_day", AT + 900, "", AT) for model in ("", "m", "n")]
    drain(recorder, spool, *benches, release_line(1, "m", AT + 1))
    assert [row["model"] for row in rows(database, tables.KeyHealth, "model")] == ["", "n"]
    drain(recorder, spool, release_line(1, None, AT + 2))
    assert rows(database, tables.KeyHealth, "model") == []


def test_the_first_reason_of_a_death_stays(recorder, spool, database):
    drain(
        recorder, spool, dead_line(1, "leaked", AT), dead_line(1, "API key not valid", AT + 9), dead_line(99, "x", AT)
    )
    assert (key_row(database, 1)["dead_at"], key_row(database, 1)["dead_reason"]) == (AT, "leaked")
    assert key_row(database, 2)["dead_at"] is None


@pytest.mark.parametrize(
    "garbage",
    [
        b"", b"\0\0\0\0", b"\xff\xfe", b"{", b"[1, 2", b'{"request": 1}', b'["request"]', b'["request", "r", 1, 2]',
        b'["of a later version", 1]', b'["bench", 1]', b'["bench", [], "m", "r", 1, "t", 2]', b'["dead"]',
        b'["dead", {}, "t", 1]', b'["release", 1]', b'["request", null' + b", 1" * 16 + b"]",
        record("r-9", attempt(1)).line().replace(b'"gemini"', b"null").strip(),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_left_out_alone(recorder, spool, database, garbage):
    spool.write(record("r-1", attempt(1)).line())
    spool.write(garbage + b"\n")
    spool.write(record("r-2", attempt(1)).line())
    assert recorder.drain() == 3
    assert [row["request_id"] for row in rows(database, tables.Request)] == ["r-1", "r-2"]
    assert recorder.drain() == 0


def test_strangers_names_are_stored_clipped(recorder, spool, database):
    made = record("r-1", attempt(1), model_used="m" * 5_000 + "\0")
    drain(recorder, spool, made.line())
    assert rows(database, tables.Request)[0]["model_used"] == "m" * 200


def test_a_drained_file_is_removed_with_its_position(recorder, spool, database):
    (spool.folder / "1-dead.jsonl").write_bytes(record("r-1", attempt(1)).line() + b'["torn')
    drain(recorder, spool, record("r-2", attempt(1)).line())
    recorder.tidy()
    assert [path.name for path in spool.folder.iterdir() if path.name != ".drain"] == [spool.current]
    assert [row["file"] for row in rows(database, tables.SpoolPosition, "file")] == [spool.current]
    assert len(rows(database, tables.Request)) == 2


def test_a_file_that_is_not_drained_stays(recorder, spool):
    (spool.folder / "1-dead.jsonl").write_bytes(record("r-1", attempt(1)).line())
    recorder.tidy()
    assert (spool.folder / "1-dead.jsonl").exists()


def test_a_thousand_requests_are_drained_quickly(recorder, spool, database):
    for n in range(1_000):
        spool.write(record(f"r-{n}", attempt(n % 3 + 1), usage=Usage(10, 5)).line())
    assert recorder.drain() == 1_000
    assert sum(row["requests"] for row in rows(database, tables.Key)) == 1_000


def test_old_requests_are_forgotten_with_their_attempts_and_their_figures_stay(recorder, spool, database):
    for n in range(8):
        spool.write(record(f"r{n}", attempt(1), at=AT + n).line())
    recorder.drain()
    assert recorder.prune(AT + 5, at_once=3) == 5
    assert [row["request_id"] for row in rows(database, tables.Request)] == ["r5", "r6", "r7"]
    assert len(rows(database, tables.Attempt, "request_row")) == 3
    assert rows(database, tables.TrafficHour, "hour")[0]["requests"] == 8


def test_either_database_takes_requests_and_gives_later_ones_ids_of_their_own(either, spool):
    either.write(furnish)
    recorder = Recorder(either, spool.folder)
    torn = attempt(2, error="é \0 of model", skipped={"cooling": 3}, status=429, blamed=True)
    first = drain(recorder, spool, record("a", attempt(1)).line(), record("b", torn, attempt(1), stream=True).line())
    again = drain(recorder, spool, record("a", attempt(1)).line(), record("c").line())
    assert (first, again) == (2, 2)
    found = rows(either, tables.Request, order="request_id")
    assert [row["request_id"] for row in found] == ["a", "b", "c"]
    assert len({row["id"] for row in found}) == 3
    assert [row["stream"] for row in found] == [False, True, False]
    tries = rows(either, tables.Attempt, order="request_row")
    odd = [(row["key_id"], row["skipped"], row["blamed"], row["error"]) for row in tries if row["skipped"]]
    assert odd == [(2, {"cooling": 3}, "key", "é  of model")]
    assert len(tries) == 3
