import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import gevent
import pytest
from gevent.event import Event
from gevent.monkey import get_original
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from pool.adapters.database import AlreadyRunning, Database, acquire_instance_lock, next_revision
from pool.adapters.tables import db


def put(session, name, number=0):
    session.execute(text("INSERT INTO meta (name, value, number) VALUES (:n, '', :x)"), {"n": name, "x": number})


def names(session):
    return list(session.scalars(text("SELECT name FROM meta ORDER BY name")))


def pragma(session, name):
    return session.execute(text(f"PRAGMA {name}")).scalar()


class Heartbeat:
    """Ticks while a test works; `gap_s` is the longest time the hub was away."""

    def __enter__(self):
        self.gap_s = 0.0
        self._greenlet = gevent.spawn(self._beat)
        gevent.sleep(0)
        return self

    def _beat(self):
        last = time.perf_counter()
        while True:
            gevent.sleep(0.001)
            now = time.perf_counter()
            self.gap_s, last = max(self.gap_s, now - last), now

    def __exit__(self, *_):
        gevent.sleep(0.005)
        self._greenlet.kill()


def native_sleep(_session, seconds):
    get_original("time", "sleep")(seconds)


def test_a_write_is_seen_by_the_next_read(either):
    either.write(put, "one")
    assert either.read(names) == ["one"]


def test_a_write_that_raises_leaves_nothing(either):
    def half(session):
        put(session, "half")
        raise KeyError("boom")

    with pytest.raises(KeyError, match="boom"):
        either.write(half)
    assert either.read(names) == []


def test_a_read_cannot_change_anything(either):
    with pytest.raises(DBAPIError):
        either.read(put, "sneaky")
    assert either.read(names) == []


def test_an_error_reaches_its_caller_and_nobody_else(either, capfd):
    with pytest.raises(DBAPIError):
        either.read(lambda session: session.execute(text("SELECT nonsense")))
    assert capfd.readouterr() == ("", "")


def test_concurrent_writes_lose_nothing(either):
    either.write(put, "revision")
    writers = [gevent.spawn(either.write, next_revision) for _ in range(100)]
    gevent.joinall(writers, raise_error=True)
    assert sorted(writer.value for writer in writers) == list(range(1, 101))


def test_revisions_begin_at_one(either):
    assert [either.write(next_revision) for _ in range(3)] == [1, 2, 3]


def test_a_revision_rolled_back_is_given_again(either):
    def bump_and_fail(session):
        next_revision(session)
        raise KeyError

    with pytest.raises(KeyError):
        either.write(bump_and_fail)
    assert either.write(next_revision) == 1


def test_a_caller_killed_while_waiting_leaves_a_whole_write(either):
    def two_rows(session):
        put(session, "first")
        session.execute(text("SELECT pg_sleep(0.1)")) if not either.is_sqlite else native_sleep(session, 0.1)
        put(session, "second")

    caller = gevent.spawn(either.write, two_rows)
    gevent.sleep(0.03)
    caller.kill()
    either.write(put, "third")
    gevent.sleep(0.2)
    assert either.read(names) == ["first", "second", "third"]


def test_a_timeout_in_the_caller_spoils_no_connection(either):
    for _ in range(12):
        with gevent.Timeout(0.001, False):
            either.read(names)
    assert either.read(names) == []


def test_a_hundred_killed_callers_leave_the_database_usable(either):
    callers = [gevent.spawn(either.write, put, f"{n:03}") for n in range(100)]
    gevent.sleep(0.001)
    gevent.killall(callers)
    either.write(put, "last")
    assert either.read(names)[-1] == "last"
    gevent.sleep(0.3)  # who was let in writes to the end; the next test begins with nothing


def test_more_callers_than_connections_all_get_their_turn(either):
    readers = [gevent.spawn(either.read, names) for _ in range(60)]
    gevent.joinall(readers, raise_error=True)
    assert all(reader.value == [] for reader in readers)


def test_statements_are_counted(either):
    before = either.statements
    either.read(names)
    assert either.statements > before
    idle = either.statements
    gevent.sleep(0.01)
    assert either.statements == idle


def test_structures_come_back_as_they_were_and_keep_their_letters(either):
    either.write(
        lambda s: s.execute(
            db.metadata.tables["settings"].insert().values(name="x", value={"标签": ["a", 1, None]}, updated_at=0)
        ) and None
    )  # fmt: skip
    assert either.read(lambda s: s.execute(db.metadata.tables["settings"].select()).one().value) == {
        "标签": ["a", 1, None]
    }
    assert "标签" in either.read(lambda s: s.execute(text("SELECT CAST(value AS TEXT) FROM settings")).scalar())


def test_the_hub_lives_while_another_connection_holds_the_write_lock(database, tmp_path):
    # Once is enough: a hub that waits is away for all of the 0.5 s, a busy machine only now and then.
    assert any(gap_while_locked_s(database, tmp_path / "pool.sqlite", f"patient {n}") < 0.05 for n in range(3))


def gap_while_locked_s(database, file, name):
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Heartbeat() as heart:
        writer = gevent.spawn(database.write, put, name)
        gevent.sleep(0.5)
        assert not writer.ready()
        assert name not in database.read(names)
        other.execute("COMMIT")
        writer.get(timeout=2)
    other.close()
    assert name in database.read(names)
    return heart.gap_s


@pytest.mark.alone
def test_two_reads_and_a_write_run_at_the_same_time(database):
    started_at = time.perf_counter()
    work = [gevent.spawn(database.read, native_sleep, 0.2) for _ in range(2)]
    work.append(gevent.spawn(database.write, native_sleep, 0.2))
    gevent.joinall(work, raise_error=True)
    assert time.perf_counter() - started_at < 0.38


@pytest.mark.alone
def test_a_stuck_database_leaves_the_hubs_own_threads_free(database):
    stuck = [gevent.spawn(database.read, native_sleep, 0.3) for _ in range(20)]
    gevent.sleep(0.01)
    started_at = time.perf_counter()
    gevent.get_hub().threadpool.apply(len, ("x",))
    assert time.perf_counter() - started_at < 0.1
    gevent.killall(stuck)


def test_sqlite_is_set_up_for_a_server(database):
    def facts(session):
        wanted = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "mmap_size", "trusted_schema")
        return [pragma(session, name) for name in (*wanted, "temp_store", "wal_autocheckpoint", "query_only")]

    common = ["wal", 1, 1, 5000, 0, 0, 2]
    assert database.write(facts) == [*common, 1000, 0]
    assert database.read(facts) == [*common, 0, 1]


def test_a_checkpoint_empties_the_wal(database, tmp_path):
    database.write(put, "one")
    assert (tmp_path / "pool.sqlite-wal").stat().st_size > 0
    database.checkpoint()
    assert (tmp_path / "pool.sqlite-wal").stat().st_size == 0


def test_open_readers_learn_of_fresh_statistics(database):
    """Without statistics SQLite walks this table by key, all of it, to group one day's rows."""
    hours = [{"hour": n, "pool_id": 1, "key_id": n % 500, "client_key_id": 1, "model": "m"} for n in range(2000)]
    database.write(lambda session: session.execute(db.metadata.tables["usage_hourly"].insert(), hours) and None)
    grouped = "SELECT key_id, model, sum(requests) FROM usage_hourly WHERE hour > 1976 GROUP BY key_id, model"

    def plan(session):
        return session.execute(text(f"EXPLAIN QUERY PLAN {grouped}")).first()[3]

    gevent.joinall([gevent.spawn(database.read, plan) for _ in range(4)], raise_error=True)
    database.optimize()
    plans = [gevent.spawn(database.read, plan) for _ in range(4)]
    gevent.joinall(plans, raise_error=True)
    assert all("PRIMARY KEY (hour>?)" in one.value for one in plans)


def test_asking_from_within_a_function_is_an_error_not_a_deadlock(either):
    with pytest.raises(RuntimeError, match="not from within"):
        either.write(lambda _session: either.write(put, "inner"))
    assert either.read(names) == []


def test_a_database_in_memory_is_refused():
    with pytest.raises(ValueError, match="must name a file"):
        Database("sqlite://")


def test_closing_waits_for_what_is_under_way(database):
    began = Event()

    def slow(session):
        native_sleep(session, 0.1)
        put(session, "slow")

    writer = gevent.spawn(lambda: (began.set(), database.write(slow)))
    began.wait()
    gevent.sleep(0.01)
    database.close()
    writer.get(timeout=1)
    assert database.read(names) == ["slow"]


CRASH = """
    import sys, sqlite3
    from gevent import monkey; monkey.patch_all()
    from sqlalchemy import text
    from pool.adapters.database import Database
    database = Database(sys.argv[1])
    INSERT = text("INSERT INTO meta (name, value, number) VALUES (:n, '', 0)")
    def whole(session, n):
        session.execute(INSERT, {"n": f"{n:05}a"})
        session.execute(INSERT, {"n": f"{n:05}b"})
    for n in range(100_000):
        database.write(whole, n)
        print(n, flush=True)
"""


def test_kill_9_loses_no_acknowledged_write_and_leaves_no_half_one(database, sqlite_url, tmp_path):
    database.close()
    command = [sys.executable, "-c", textwrap.dedent(CRASH), sqlite_url]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    acknowledged = -1
    for line in server.stdout:
        acknowledged = int(line)
        if acknowledged >= 100:
            server.send_signal(signal.SIGKILL)
            break
    rest = server.stdout.read().split("\n")
    server.wait()
    acknowledged = max([acknowledged, *(int(line) for line in rest[:-1])])

    stored = database.read(names)
    assert len(stored) % 2 == 0
    assert len(stored) // 2 in (acknowledged + 1, acknowledged + 2)
    assert database.read(pragma, "integrity_check") == "ok"


def test_a_second_server_on_one_instance_is_refused_by_name(tmp_path):
    lock = acquire_instance_lock(tmp_path / "instance" / "lock")
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}: one SQLite file serves one server"):
        acquire_instance_lock(tmp_path / "instance" / "lock")
    lock.release()
    acquire_instance_lock(tmp_path / "instance" / "lock").release()


def test_a_killed_server_leaves_no_lock_behind(tmp_path):
    script = "import sys, time; from pool.adapters.database import acquire_instance_lock as lock;"
    script += "held = lock(sys.argv[1]); print('held', flush=True); time.sleep(60)"
    server = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"held\n"
    with pytest.raises(AlreadyRunning, match=str(server.pid)):
        acquire_instance_lock(tmp_path / "lock")
    server.kill()
    server.communicate()
    acquire_instance_lock(tmp_path / "lock").release()


@pytest.mark.alone
def test_postgresql_never_blocks_the_hub(postgres_url):
    database = Database(postgres_url)
    started_at = time.perf_counter()
    with Heartbeat() as heart:
        sleepers = [gevent.spawn(database.read, lambda s: s.execute(text("SELECT pg_sleep(0.3)"))) for _ in range(5)]
        gevent.joinall(sleepers, raise_error=True)
    assert time.perf_counter() - started_at < 1
    assert heart.gap_s < 0.1
    database.close()


def test_postgresql_connections_cut_by_the_server_are_replaced(postgres_url):
    database = Database(postgres_url)
    own = database.read(lambda s: s.execute(text("SELECT pg_backend_pid()")).scalar_one())
    other = Database(postgres_url)
    other.read(lambda s: s.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": own}).scalar_one())
    assert database.read(lambda s: s.execute(text("SELECT pg_backend_pid()")).scalar_one()) != own
    database.close()
    other.close()


def test_postgresql_deadlocks_are_tried_again(postgres_url):
    database = Database(postgres_url)
    database.write(lambda session: db.metadata.create_all(session.connection()))
    database.write(put, "a")
    database.write(put, "b")

    def crosswise(session, first, second):
        session.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
        session.execute(text("UPDATE meta SET number = number + 1 WHERE name = :n"), {"n": first})
        gevent.sleep(0.05)
        session.execute(text("UPDATE meta SET number = number + 1 WHERE name = :n"), {"n": second})

    pair = [gevent.spawn(database.write, crosswise, *order) for order in ("ab", "ba")]
    gevent.joinall(pair, raise_error=True)
    assert database.read(lambda s: list(s.scalars(text("SELECT number FROM meta")))) == [2, 2]
    database.close()


def test_a_reader_sees_one_picture(either):
    """A change between two of its questions shows in neither answer, or a later one would tell more than the first."""
    either.write(put, "one")

    def twice(session):
        before = names(session)
        engine = create_engine(either.url)
        with Session(engine) as other:
            put(other, "two")
            other.commit()
        engine.dispose()
        return before, names(session)

    assert either.read(twice) == (["one"], ["one"])
    assert sorted(either.read(names)) == ["one", "two"]
