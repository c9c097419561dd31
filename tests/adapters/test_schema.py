import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import Migrate
from sqlalchemy import inspect, text

from pool.adapters.database import Database
from pool.adapters.schema import MIGRATIONS, NewerDatabase, locked, migrate, revisions, upgrade
from pool.adapters.tables import db


def app_on(url):
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    return app


def test_an_upgraded_database_agrees_with_the_models(either_url):
    upgrade(app_on(either_url))

    with locked(either_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, db.metadata) == []


def test_sqlite_tables_are_what_the_models_would_create(tmp_path, database):
    """AUTOINCREMENT, WITHOUT ROWID and index conditions too, which Alembic does not compare."""
    migrated = Database(f"sqlite:///{tmp_path}/migrated.sqlite")
    upgrade(app_on(str(migrated.url)))

    assert migrated.read(marks) == database.read(marks)
    migrated.close()


def marks(session):
    rows = session.execute(
        text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'")
    )
    return {(name, "AUTOINCREMENT" in sql, "WITHOUT ROWID" in sql, sql.partition(" WHERE ")[2]) for name, sql in rows}


@pytest.mark.alone
def test_upgrading_again_changes_nothing_and_is_fast(sqlite_url):
    upgrade(app_on(sqlite_url))
    started_at = time.perf_counter()
    upgrade(app_on(sqlite_url))
    assert time.perf_counter() - started_at < 0.15


def test_a_database_of_a_later_version_is_refused_in_one_sentence(either_url):
    upgrade(app_on(either_url))
    with locked(either_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(NewerDatabase, match="at revision 9999, this version of Keypool knows none after"):
        upgrade(app_on(either_url))


def test_an_upgrade_cut_short_leaves_nothing_behind(either_url):
    with pytest.raises(ZeroDivisionError), locked(either_url) as connection:
        migrate(connection)
        assert inspect(connection).has_table("keys")
        raise ZeroDivisionError

    with locked(either_url) as connection:
        assert inspect(connection).get_table_names() == []


def test_two_servers_starting_at_once_upgrade_once(either_url):
    script = "import sys; from flask import Flask; from pool.adapters.schema import upgrade; app = Flask('x');"
    script += "app.config['SQLALCHEMY_DATABASE_URI'] = sys.argv[1]; upgrade(app)"
    servers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script, either_url], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [server.communicate()[1] for server in servers] == [b"", b""]

    with locked(either_url) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [(revisions()[-1],)]


def test_revisions_are_numbered_in_one_line():
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert [script.revision for script in scripts.walk_revisions()] == revisions()[::-1]


def test_flask_db_works_too(sqlite_url):
    app = app_on(sqlite_url)
    db.init_app(app)
    Migrate(app, db, directory=str(MIGRATIONS))

    assert app.test_cli_runner().invoke(args=["db", "upgrade"]).exit_code == 0
    assert app.test_cli_runner().invoke(args=["db", "check"]).exit_code == 0
    assert app.test_cli_runner().invoke(args=["db", "downgrade", "base"]).exit_code == 0
    with locked(sqlite_url) as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]


def test_the_migrations_are_where_flask_migrate_looks_for_them():
    assert Path("migrations").resolve() == MIGRATIONS
