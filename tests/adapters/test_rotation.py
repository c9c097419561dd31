"""Everything sealed anew by another key while processes are killed at it, and starts with a key that is not the one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import insert, select, text

from app import commands, create_app
from pool.adapters.database import Database
from pool.adapters.queries import answer, draft
from pool.adapters.tables import Job, Key, Meta, Pool, Provider, db
from pool.adapters.vault import SEALED, WrongKey, open_vault, slices
from pool.environment import BadStart
from tests.adapters import first_release
from tests.adapters.test_vault import store_keys
from tests.house import GEMINI_KEYS, open_house
from tests.stores import on_sqlite

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
BOTH = f"{NEW},{OLD}"
KEYS, AT_ONCE = 5, 2
MANY, SLICES = 1_100, 9
"""Keys in three slices of five hundred; one of pools; an end of each of four kinds of rows; and the fingerprint key."""


KILLED_AT_EVERY_POINT = """
import os, signal, sys
from pathlib import Path
from sqlalchemy.orm import configure_mappers
from pool.adapters.database import Database
from pool.adapters.vault import open_vault, rewrap_some

configure_mappers()
url, folder, ring, at_once = sys.argv[1:]

def rotate(most, within):
    database = Database(url)
    vault = open_vault(database, Path(folder), ring)
    place = (0, 0)
    for number in range(most):
        place = database.write(rewrap_some, vault, place, int(at_once))
        if place is None:
            os._exit(0)
    if within:
        database.write(die_before_the_commit, vault, place)
    os.kill(os.getpid(), signal.SIGKILL)

def die_before_the_commit(session, vault, place):
    rewrap_some(session, vault, place, int(at_once))
    session.flush()
    os.kill(os.getpid(), signal.SIGKILL)

point = 0
while True:
    child = os.fork()
    if not child:
        rotate(point // 2, point % 2)
    ended = os.waitpid(child, 0)[1]
    if os.WIFEXITED(ended):
        sys.exit(os.WEXITSTATUS(ended))
    point += 1
    print(point, flush=True)
    sys.stdin.readline()
"""
"""A child a point, each killed a little later than the one before, half of them in a transaction; each says so, and is
answered once the database has been looked at."""


def everything(database, ring, folder):
    """Every sealed value there is, opened; the database is not changed by looking."""
    vault = open_vault(database, folder, ring)

    def read(session):
        opened = [
            vault.decrypt(value)
            for _, column in SEALED
            for value in session.scalars(select(column).where(column.is_not(None)))
        ]
        return sorted([*opened, vault.decrypt(draft(session, "pasted", 0)), vault.decrypt(answer(session, "form", 0))])

    return [*database.read(read), vault.fingerprint("gemini", "x"), vault.digest("y")]


def furnish(session, vault):
    store_keys(session, vault, KEYS)
    session.execute(insert(Provider).values(id=2, slug="openai", dialect="openai", proxy_url=vault.encrypt("proxy")))
    session.execute(Key.__table__.update().where(Key.id == 3).values(proxy_url=vault.encrypt("another proxy")))
    session.add(Pool(public_id="pool-1", name="p", auth_digest=vault.digest("a"), auth_sealed=vault.encrypt("auth")))
    for name in ("draft:pasted", "answer:form"):
        session.add(Meta(name=name, value=vault.encrypt(name).decode(), number=1))


@pytest.mark.slow
def test_whoever_is_killed_while_everything_is_sealed_anew_leaves_it_readable(either, tmp_path):
    either.write(furnish, open_vault(either, tmp_path, OLD))
    before = everything(either, OLD, tmp_path)
    url = either.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", KILLED_AT_EVERY_POINT, url, str(tmp_path), BOTH, str(AT_ONCE)]
    points = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        while program.stdout.readline():
            points += 1
            assert everything(either, BOTH, tmp_path) == before
            if points == 4:  # some of it is sealed by either: one of them alone will not do
                for alone in (OLD, NEW):
                    with pytest.raises(WrongKey):
                        open_vault(either, tmp_path, alone)
            program.stdin.write(b"\n")
            program.stdin.flush()
    assert program.returncode == 0
    # Between any two slices and within each; after the last one there is nothing to be killed at.
    assert points == 2 * either.read(slices, AT_ONCE)
    assert everything(either, NEW, tmp_path) == before
    with pytest.raises(WrongKey):
        open_vault(either, tmp_path, OLD)


def test_the_shell_seals_everything_anew_says_how_far_it_is_and_the_old_key_may_go(
    instance_template, postgres_url, tmp_path, monkeypatch
):
    folder = tmp_path / "instance"
    variables = {"DATABASE_URL": postgres_url, "SECRET_KEY": "s" * 40, "KEYPOOL_INSTANCE": str(folder)}
    many = [f"AIzaSy{number:08d}" + "r" * 25 for number in range(MANY)]
    with open_house(instance_template, folder, **variables, KEY_ENCRYPTION_SECRET=OLD) as house:
        house.add_keys(*many)
    for name, value in {**variables, "KEY_ENCRYPTION_SECRET": BOTH}.items():
        monkeypatch.setenv(name, value)
    done = commands().test_cli_runner().invoke(args=["keys", "rotate-encryption"])
    assert (done.exit_code, done.stdout) == (0, "Everything is encrypted with the newest key.\n")
    assert done.stderr == "Encrypting\n"  # and a bar, where somebody looks
    with open_house(instance_template, folder, **variables, KEY_ENCRYPTION_SECRET=NEW) as house:
        keypool = house.keypool
        (job,) = keypool.database.read(lambda session: session.execute(select(Job.state, Job.done, Job.total)).all())
        assert tuple(job) == ("done", SLICES, SLICES)
        assert sorted(keypool.inventory.unseal(key) for key in keypool.catalogue.keys.values()) == many
        assert house.generate().status_code == 200
        with pytest.raises(WrongKey):
            open_vault(keypool.database, folder, OLD)


def dump(url):
    database = Database(url)
    names = {"alembic_version", *db.metadata.tables}
    try:
        there = database.read(
            lambda session: set(session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table'")))
        )
        return database.read(
            lambda session: {name: session.execute(text(f"SELECT * FROM {name}")).all() for name in names & there}
        )
    finally:
        database.close()


def kept_in(folder: Path):
    return {path.name for path in folder.iterdir()} - {"pool.sqlite-wal", "pool.sqlite-shm"}


@on_sqlite  # with PostgreSQL the key is in the environment
@pytest.mark.parametrize("key", ["wrong", "missing"])
@pytest.mark.parametrize("release", ["this", "first"])
def test_a_start_with_a_wrong_or_missing_key_says_so_and_changes_nothing(instance_template, tmp_path, key, release):
    folder = tmp_path / "instance"
    if release == "first":
        first_release.leave(folder)
    else:
        with open_house(instance_template, folder) as house:
            house.add_keys(*GEMINI_KEYS[:2])
    url, number = f"sqlite:///{folder}/pool.sqlite", {"this": 2, "first": first_release.KEYS}[release]
    environment = {"KEYPOOL_INSTANCE": str(folder), "API_KEYS": GEMINI_KEYS[5], "ADMIN_PASSWORD": "one more password"}
    if key == "wrong":
        environment["KEY_ENCRYPTION_SECRET"] = "not the words"
        said = "KEY_ENCRYPTION_SECRET .* is not the one"
    else:
        shutil.move(folder / "encryption_key", tmp_path / "kept")
        said = "its key is missing"
    before, files = dump(url), kept_in(folder)
    with pytest.raises(BadStart, match=said):
        create_app(environment=environment)
    assert dump(url) == before
    assert kept_in(folder) == files
    if key == "missing":
        shutil.move(tmp_path / "kept", folder / "encryption_key")
    with open_house(instance_template, folder) as house:
        assert len(house.keypool.catalogue.keys) == number
        assert house.generate().status_code == 200
