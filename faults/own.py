"""What goes wrong with Keypool itself: its database, its disk, its processes."""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import gevent

from faults.asking import Caller, Load, Tally
from faults.figures import Figures
from faults.rig import QUICK, Admin, blamed, instance, keys, of_sqlite, rows_lost, unknown
from tests.server import CLIENT_KEY, Server
from tests.upstream import SAYS, ScriptedUpstream, openai_stream, sse

CLIENTS = 8
LOCKED_S, NO_ROOM_S = 7.0, 2.0
"""Longer than a writer waits for SQLite's lock (5 s): it gives up, and the journal holds what it wanted to write."""

ROOM_BYTES = 64 * 1024
"""What a file may grow to on a disk that is full: the journal's small files still go on, the database does not."""

ANSWERING_S = 10.0
"""So soon a worker that was killed is replaced, and answers."""

DEFAULT_POOL = "SELECT id FROM pools WHERE is_default"


@dataclass(slots=True)
class House:
    """A server whose four keys are well. Cases may share it, one after another: each begins with `fresh`."""

    server: Server
    upstream: ScriptedUpstream
    admin: Admin
    pool_id: int
    rows_before: int = 0

    def fresh(self) -> None:
        self.upstream.requests.clear()
        self.upstream.script(None)
        self.admin.set(**QUICK)
        self.rows_before = self.server.rows("SELECT count(*) FROM requests")[0][0]

    def rows_lost(self, sent: int) -> int:
        return rows_lost(of_sqlite(self.server), self.pool_id, self.rows_before + sent)

    def blamed(self, culprits: Iterable[str] = ()) -> int:
        return blamed(of_sqlite(self.server), self.pool_id, culprits)

    def figures(self, name: str, tally: Tally, note: str = "") -> Figures:
        """Where every request reached the server: each has its row."""
        broken = tuple(tally.words) if tally.told or tally.silent else ()
        lost, calls = self.rows_lost(tally.sent), len(self.upstream.requests)
        told, silent = tally.told, tally.silent
        return Figures(name, tally.sent, calls, told, silent, lost, self.blamed(), broken=broken, note=note)


@contextmanager
def house(template: Path, folder: Path, config: str = "gunicorn.conf.py", **variables: str) -> Iterator[House]:
    variables.setdefault("OPENAI_API_KEYS", ",".join(keys("own", 4)))
    with ScriptedUpstream() as upstream:
        server = Server(instance(template, folder), upstream.url, **variables)
        server.config = config
        with server:
            at = House(server, upstream, Admin(server.url), server.rows(DEFAULT_POOL)[0][0])
            at.fresh()
            yield at


def loaded(server: Server, act: Callable[[], object], clients: int = CLIENTS) -> Tally:
    """Half a second of requests, whatever is done meanwhile, and half a second more."""
    load = Load([server.port], CLIENT_KEY, clients, pause_s=0.02)
    gevent.sleep(0.5)
    act()
    gevent.sleep(0.5)
    return load.stop()


def database_locked(at: House) -> Figures:
    """Somebody else writes, and does not end."""

    def hold() -> None:
        with closing(sqlite3.connect(at.server.instance / "pool.sqlite", timeout=10, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            gevent.sleep(LOCKED_S)
            other.execute("ROLLBACK")

    return at.figures("SQLite locked", loaded(at.server, hold), f"{LOCKED_S:.0f} s")


def disk_full(at: House) -> Figures:
    """The database can grow no more; what is small still fits."""
    return _no_room(at, "SQLite full", ROOM_BYTES)


def disk_read_only(at: House) -> Figures:
    """Nothing can be written at all, the journal included."""
    return _no_room(at, "disk full or read-only, the journal's, too", 0)


def _no_room(at: House, name: str, size_bytes: int) -> Figures:
    def fill() -> None:
        pid = at.server.worker_pid()
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, most))
        gevent.sleep(NO_ROOM_S)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))

    return at.figures(name, loaded(at.server, fill), f"{NO_ROOM_S:.0f} s")


def worker_killed(template: Path, folder: Path) -> Figures:
    """`kill -9` of the worker, twice, and of everything; what clients saw answered must be there after the restart.

    An answer under way may break off, which is an error to any client. While the worker is replaced clients wait, and
    only when everything is dead do they find nobody. No answer may be cut short and look whole, or be an error.
    """
    with house(template, folder) as at:
        server, upstream = at.server, at.upstream
        load = Load([server.port, server.port], CLIENT_KEY, CLIENTS, pause_s=0.02)
        seen = load.tally
        for kill in (server.kill_worker, server.kill_worker):
            _answering(load)
            kill()
        _answering(load)
        broken = () if not seen.gone and seen.cut <= 2 * CLIENTS else (
            f"{seen.gone} found nobody and {seen.cut} broke off while only the worker was killed",
        )  # fmt: skip
        server.kill()
        tally = load.stop()
        server.start()
        lost = unknown(of_sqlite(server), tally.ids)
        after = loaded(server, lambda: None)
        told, silent = tally.told + after.told, tally.silent - tally.cut - tally.gone + after.silent
        return Figures(
            "kill -9", tally.sent + after.sent, len(upstream.requests), told, silent, lost, at.blamed(),
            broken=(*broken, *(tally.words | after.words if told or silent else ())),
            note=f"{tally.gone} found nobody, {tally.cut} broke off, {len(tally.ids):,} answers",
        )  # fmt: skip


def _answering(load: Load) -> None:
    """Half a second of answers, of a worker that may be being replaced."""
    before, deadline = len(load.tally.ids), time.monotonic() + ANSWERING_S
    while len(load.tally.ids) < before + CLIENTS and time.monotonic() < deadline:
        gevent.sleep(0.05)
    gevent.sleep(0.5)


def stopped_under_streams(template: Path, folder: Path) -> Figures:
    """SIGTERM while streams run: they go on to their end."""
    with house(template, folder) as at:
        server, upstream = at.server, at.upstream
        upstream.script(sse(openai_stream([*SAYS[:-1], *[""] * 10, SAYS[-1]]), delay_s=0.1, done=True))
        tally = Tally()
        callers = [gevent.spawn(_one_stream, server, tally) for _ in range(20)]
        upstream.wait_until(lambda: len(upstream.requests) == 20, within_s=5)
        code = server.stop()
        gevent.joinall(callers, raise_error=True)
        broken = () if code == 0 else (f"it ended with {code}",)
        lost = unknown(of_sqlite(server), tally.ids)
        return Figures("SIGTERM under streams", tally.sent, 20, tally.told, tally.silent, lost, 0, broken=broken)


def _one_stream(server: Server, tally: Tally) -> None:
    caller = Caller([server.port], CLIENT_KEY)
    caller.ask(tally, stream=True)
    caller.close()


SHARING = (database_locked, disk_full, disk_read_only)
ALONE = (worker_killed, stopped_under_streams)
