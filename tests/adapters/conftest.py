"""Real databases for the tests of the adapters: SQLite in a temporary folder, PostgreSQL where there is one."""

import os
import secrets
import shutil
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import make_url, text

from faults.services import Postgres, answers, free_ports
from pool.adapters.database import Database
from pool.adapters.tables import db
from tests.adapters.redis_kit import CALM, Workers
from tests.redis_server import RedisServer, found


def create_tables(url):
    database = Database(url)
    database.write(lambda session: db.metadata.create_all(session.connection()))
    database.close()


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path}/pool.sqlite"


@pytest.fixture(scope="session")
def sqlite_with_tables(tmp_path_factory):
    file = tmp_path_factory.mktemp("template") / "pool.sqlite"
    create_tables(f"sqlite:///{file}")
    return file


@pytest.fixture
def database(sqlite_url, sqlite_with_tables, tmp_path):
    """A `Database` over a fresh SQLite file that has every table."""
    shutil.copy(sqlite_with_tables, tmp_path / "pool.sqlite")
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def postgres_server():
    """The URL of a server: TEST_DATABASE_URL, the one on port 5432, or one started from a `postgres` on PATH."""
    if configured := os.environ.get("TEST_DATABASE_URL"):
        yield make_url(configured).set(drivername="postgresql")
    elif answers(5432):
        yield make_url("postgresql://root@127.0.0.1:5432/postgres")
    elif shutil.which("postgres") and shutil.which("initdb"):
        with Postgres(free_ports(1)[0], ("fsync=off",)) as started:
            yield make_url(started.url).set(drivername="postgresql")
    elif os.environ.get("CI") == "true":
        pytest.fail("no PostgreSQL: set TEST_DATABASE_URL or put `postgres` and `initdb` on PATH")
    else:
        pytest.skip("no PostgreSQL: TEST_DATABASE_URL unset, port 5432 silent, no `postgres` on PATH")


@pytest.fixture
def postgres_url(postgres_server):
    """An empty scratch database, dropped afterwards."""
    with scratch_postgres(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_with_tables(postgres_server):
    with scratch_postgres(postgres_server) as url:
        create_tables(url)
        yield url


@contextmanager
def scratch_postgres(server):
    name = f"keypool_{secrets.token_hex(6)}"
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield server.set(drivername="postgresql+psycopg", database=name).render_as_string(False)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def either_url(request):
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request):
    """A `Database` with every table, all of them empty, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield request.getfixturevalue("database")
        return
    database = Database(request.getfixturevalue("postgres_with_tables"))
    yield database
    everything = ", ".join(db.metadata.tables)
    database.write(lambda session: session.execute(text(f"TRUNCATE {everything} RESTART IDENTITY")) and None)
    database.close()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    """A Redis to share with other tests, each under a prefix of its own."""
    if url := found():
        yield url
        return
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def redis_server(tmp_path):
    """A Redis of this test alone, to be stopped and emptied."""
    found(url_will_do=False)
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def workers(redis_url):
    """Makes workers on a Redis nothing happens to."""
    workers = Workers(redis_url, f"keypool-test-{secrets.token_hex(6)}:", CALM)
    yield workers
    workers.close()


@pytest.fixture
def suffering(redis_server):
    """Makes workers on a Redis to which something will happen."""
    workers = Workers(redis_server.url)
    yield workers
    workers.close()
