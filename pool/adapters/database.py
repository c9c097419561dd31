"""Runs functions against SQLite or PostgreSQL, and never blocks the gevent hub while it does."""

from __future__ import annotations

import fcntl
import logging
import os
import random
import sqlite3
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import gevent
import orjson
from gevent.monkey import get_original
from gevent.pool import Pool
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection, Engine, FromClause, NullPool, create_engine, event, make_url, text
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, configure_mappers

from pool.core.twice import Overtaken

P = ParamSpec("P")
T = TypeVar("T")

# PostgreSQL: serialization failure, deadlock. The whole transaction is run again.
RETRIED = {"40001", "40P01"}
TRIES = 5
POSTGRESQL_CONNECTIONS = 10
NOT_HERE = "the database is asked from the thread that opened it, and not from within a function it runs"

SQLITE_PRAGMAS = (
    "PRAGMA busy_timeout=5000",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA mmap_size=0",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-8192",
)
# Only the writer moves pages from the WAL to the file: two who do may corrupt it before SQLite 3.51.3.
SQLITE_WRITER_PRAGMAS = (*SQLITE_PRAGMAS, "PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=1000")
SQLITE_READER_PRAGMAS = (*SQLITE_PRAGMAS, "PRAGMA wal_autocheckpoint=0", "PRAGMA query_only=ON")

_native_ident = get_original("_thread", "get_ident")

log = logging.getLogger(__name__)


OVERTAKEN = frozenset((
    "SQLITE_CONSTRAINT_FOREIGNKEY", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE", "23503", "23505",
))  # fmt: skip
"""How SQLite and PostgreSQL name what only another transaction can have brought about: a row that is gone, or there."""


class Hinted(SQLiteCompiler):
    """Writes hints at tables, as `INDEXED BY an_index`, which SQLAlchemy does for other databases only."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:
        return text


class AlreadyRunning(RuntimeError):
    """Another process holds the instance's lock."""


class Database:
    """The only door to SQL.

    `read` and `write` hand `fn` a `Session` and return what it returns, which must be plain values: the session is
    closed by then. `write` commits, or rolls back when `fn` raises. Both wait without blocking other greenlets.
    A caller that is killed while waiting interrupts nothing: what was begun ends whole, in one commit or none.
    """

    def __init__(self, url: str) -> None:
        configure_mappers()
        self.url = make_url(url)
        self._executed: dict[int, int] = defaultdict(int)
        self._writer: _Lane
        self._reader: _Lane
        if self.url.get_backend_name() == "sqlite":
            if not self.url.database or self.url.database == ":memory:":
                raise ValueError("DATABASE_URL must name a file: an SQLite database in memory cannot be shared")
            self._writer = _Threads(self._sqlite(SQLITE_WRITER_PRAGMAS), 1, "BEGIN IMMEDIATE")
            self._reader = _Threads(self._sqlite(SQLITE_READER_PRAGMAS), 2, "BEGIN")
        else:
            engine = self._postgresql()
            under_way = Pool(POSTGRESQL_CONNECTIONS)
            self._writer = _Greenlets(engine, under_way)
            # One picture for all that a reader asks, as SQLite gives it: a change between two of its questions would
            # be missed where the later one tells how new the answers are.
            reading = {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
            self._reader = _Greenlets(engine.execution_options(**reading), under_way)

    def read(self, fn: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._reader.run(_read, fn, args, kwargs)

    def write(self, fn: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._writer.run(_write, fn, args, kwargs)

    @property
    def statements(self) -> int:
        """How many SQL statements were executed so far, transaction control included."""
        return sum(self._executed.copy().values())

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def checkpoint(self) -> None:
        """Bring the SQLite file up to date and empty its WAL; on PostgreSQL nothing is to be done."""
        if self.is_sqlite:
            self._writer.run(_outside_transactions, "PRAGMA wal_checkpoint(TRUNCATE)")

    def optimize(self) -> None:
        """Refresh SQLite's planner statistics: some milliseconds, worth it at start and every hour.

        Without them pages over a million rows read the wrong index. PostgreSQL does so by itself. Of the log a sample
        has to do; of the inventory it is no use, for it says that a provider has four hundred keys where it has most.
        """
        if self.is_sqlite:
            sampled = "PRAGMA analysis_limit=400", "ANALYZE"
            for statement in (*sampled, "PRAGMA analysis_limit=0", "ANALYZE keys", "ANALYZE memberships"):
                self._writer.run(_outside_transactions, statement)
            self._reader.reopen()

    def close(self) -> None:
        """Wait for what is under way, then close every connection."""
        self._reader.close()
        self._writer.close()

    def count_statements(self, engine: Engine) -> None:
        """Count what another engine (Flask-SQLAlchemy's) executes too."""
        event.listen(engine, "before_cursor_execute", self._count)

    def _count(self, *_: object) -> None:
        # One entry a thread: `+= 1` on a shared number would lose some.
        self._executed[_native_ident()] += 1

    def _sqlite(self, pragmas: tuple[str, ...]) -> Engine:
        engine = sqlite_engine(self.url.database or "", pragmas)
        self.count_statements(engine)
        return engine

    def _postgresql(self) -> Engine:
        engine = create_engine(
            self.url,
            pool_pre_ping=True,
            hide_parameters=True,
            pool_size=POSTGRESQL_CONNECTIONS // 2,
            max_overflow=POSTGRESQL_CONNECTIONS - POSTGRESQL_CONNECTIONS // 2,
            json_serializer=_json,
            json_deserializer=_unjson,
            connect_args={
                "connect_timeout": 5,
                "options": "-c statement_timeout=5s -c idle_in_transaction_session_timeout=10s -c timezone=UTC",
            },
        )
        self.count_statements(engine)
        return engine


def sqlite_engine(path: str, pragmas: tuple[str, ...] = SQLITE_WRITER_PRAGMAS) -> Engine:
    """An engine whose connections run `pragmas` and begin no transaction of their own accord."""

    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver's own BEGIN is deferred, and a deferred writer fails at once when busy.
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        for pragma in pragmas:
            connection.execute(pragma)
        return connection

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=NullPool,
        hide_parameters=True,
        json_serializer=_json,
        json_deserializer=_unjson,
    )
    engine.dialect.statement_compiler = Hinted
    return engine


def next_revision(session: Session) -> int:
    """Move the catalogue's revision on by one, within the caller's transaction.

    The row stays locked until the caller commits, so revisions become visible in their own order.
    """
    return session.execute(
        text(
            "INSERT INTO meta (name, value, number) VALUES ('revision', '', 1)"
            " ON CONFLICT (name) DO UPDATE SET number = meta.number + 1 RETURNING number"
        )
    ).scalar_one()


class InstanceLock:
    """Held until `release`, or until the last process that inherited it ends, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


def server_locks(instance: Path, url: str) -> list[Path]:
    """What one server holds at a time: its instance folder, and its SQLite file."""
    file = url.removeprefix("sqlite:///")
    return [instance / "lock", *([Path(f"{file}.lock")] if file != url else [])]


def acquire_instance_lock(path: str | os.PathLike[str]) -> InstanceLock:
    """Lock `path` (`instance/lock`) for this server, or raise `AlreadyRunning`.

    To be taken before gunicorn forks: workers inherit it, so that a reload's old and new worker
    do not meet as strangers.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise AlreadyRunning(f"{path} is locked by process {pid}: one SQLite file serves one server") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return InstanceLock(descriptor)


class _Lane:
    """Runs `work(connection, *args)` on a connection of its own, away from the hub."""

    def run(self, work: Callable[..., Any], *args: Any) -> Any:
        raise NotImplementedError

    def reopen(self) -> None:
        """Let nothing that starts from now on use a connection opened before."""

    def close(self) -> None:
        raise NotImplementedError


class _Threads(_Lane):
    """SQLite: a C library that blocks its thread, so it has threads of its own, each with one open connection."""

    def __init__(self, engine: Engine, size: int, begin: str) -> None:
        self._engine = engine
        self._size = size
        self._begin = begin
        self._idle: deque[Connection] = deque()
        self._home = _native_ident()
        self._threads: ThreadPool | None = None

    def run(self, work: Callable[..., Any], *args: Any) -> Any:
        if _native_ident() != self._home:
            raise RuntimeError(NOT_HERE)
        if self._threads is None:
            self._threads = ThreadPool(self._size)
        return _result(self._threads.apply(_outcome, (self._work, work, *args)))

    def _work(self, work: Callable[..., Any], *args: Any) -> Any:
        idle = self._idle
        try:
            connection = idle.pop()
        except IndexError:
            connection = self._engine.connect()
        try:
            return work(connection, self._begin, *args)
        finally:
            if idle is self._idle:
                idle.append(connection)
            else:
                connection.close()

    def reopen(self) -> None:
        # Statistics are read when a connection is opened, never again.
        idle, self._idle = self._idle, deque()
        while idle:
            idle.pop().close()

    def close(self) -> None:
        if self._threads is not None:
            self._threads.join()
            self._threads.kill()
            self._threads = None
        self.reopen()
        self._engine.dispose()


class _Greenlets(_Lane):
    """PostgreSQL: psycopg waits as gevent wants it. A greenlet of its own shields the work from its caller's end."""

    def __init__(self, engine: Engine, under_way: Pool) -> None:
        self._engine = engine
        self._under_way = under_way

    def run(self, work: Callable[..., Any], *args: Any) -> Any:
        if gevent.getcurrent() in self._under_way:
            raise RuntimeError(NOT_HERE)
        return _result(self._under_way.spawn(_outcome, self._work, work, *args).get())

    def _work(self, work: Callable[..., Any], *args: Any) -> Any:
        for left in reversed(range(TRIES)):
            try:
                with self._engine.connect() as connection:
                    return work(connection, None, *args)
            except DBAPIError as error:
                if not left or getattr(error.orig, "sqlstate", None) not in RETRIED:
                    raise
                gevent.sleep(random.uniform(0.005, 0.05))
        raise AssertionError("unreachable")

    def close(self) -> None:
        self._under_way.join()
        self._engine.dispose()


def _read(connection: Connection, begin: str | None, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
    with connection.begin() as transaction:
        if begin:
            connection.exec_driver_sql(begin)
        with Session(connection, autoflush=False) as session:
            result = fn(session, *args, **kwargs)
        transaction.rollback()
    return result


def _write(connection: Connection, begin: str | None, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
    try:
        with connection.begin():
            if begin:
                connection.exec_driver_sql(begin)
            with Session(connection, expire_on_commit=False) as session:
                result = fn(session, *args, **kwargs)
                session.flush()
    except IntegrityError as error:
        name = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
        if name in OVERTAKEN:
            # A fault of our own would look the same: its name, without any value, is for whoever looks for one.
            log.warning("a write was overtaken: %s", name)
            raise Overtaken from error
        raise
    return result


def _outside_transactions(connection: Connection, _begin: str | None, statement: str) -> None:
    driver: Any = connection.connection.driver_connection
    driver.execute(statement).close()


def _outcome(fn: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    # Returned, not raised: the hub would print a traceback of what its caller is about to handle.
    try:
        return fn(*args), None
    except BaseException as error:  # noqa: BLE001 — it is raised again, in the caller's greenlet
        return None, error


def _result(outcome: tuple[Any, BaseException | None]) -> Any:
    value, error = outcome
    if error is not None:
        raise error
    return value


def _unjson(value: Any) -> Any:
    # SQLite's JSON columns have numeric affinity: a bare number comes back as one.
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
