"""Upstream objects in the database: out of the journal, into memory at a start, and gone when they are over."""

from __future__ import annotations

import pytest

from pool.adapters import tables
from pool.adapters.objects import forget_objects, objects
from pool.adapters.recorder import Recorder
from pool.adapters.spool import Spool
from pool.core.records import forget_line, made_line

AT = 1_789_999_200.0


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "spool")
    yield spool
    spool.close()


@pytest.fixture
def recorder(database, spool):
    database.write(furnish)
    return Recorder(database, spool.folder)


def furnish(session):
    session.add(tables.Provider(id=1, slug="gemini", dialect="gemini"))
    session.add(tables.Provider(id=2, slug="openai", dialect="openai"))
    session.flush()
    session.add_all(
        tables.Key(id=n, public_id=f"key_{n}", provider_id=1, fingerprint=bytes([n]) * 32) for n in (1, 2, 3)
    )


def test_what_was_made_comes_back_at_the_next_start(database, spool, recorder) -> None:
    spool.write(made_line("gemini", "files/a", 1, 5, AT, AT + 100))
    spool.write(made_line("openai", "files/a", 2, -3, AT + 1, None))
    spool.write(made_line("nobodys", "files/a", 2, 5, AT, None))
    spool.write(made_line("gemini", "files/old", 1, 5, AT, AT - 1))
    recorder.drain()
    recorder.drain()
    assert list(database.read(objects, AT, 10)) == [
        ("gemini", "files/a", 1, 5, AT + 100),
        ("openai", "files/a", 2, -3, None),
    ]
    assert list(database.read(objects, AT, 1)) == [("openai", "files/a", 2, -3, None)]


def test_the_last_word_about_an_object_counts(database, spool, recorder) -> None:
    for line in (
        made_line("gemini", "files/a", 1, 5, AT, AT + 100),
        made_line("gemini", "files/a", 2, 5, AT + 1, AT + 900),
        made_line("gemini", "files/b", 1, 5, AT, None),
        forget_line("gemini", "files/b", AT + 2),
        forget_line("gemini", "files/unknown", AT + 2),
        b'["made","gemini","files/c","one",5,1,null]\n',
        b'["forget","gemini"]\n',
    ):
        spool.write(line)
    recorder.drain()
    assert list(database.read(objects, AT, 10)) == [("gemini", "files/a", 2, 5, AT + 900)]


def test_what_is_over_or_has_lost_its_key_is_removed(database, spool, recorder) -> None:
    spool.write(made_line("gemini", "files/kept", 1, 5, AT, AT + 100))
    spool.write(made_line("gemini", "files/over", 1, 5, AT, AT + 10))
    spool.write(made_line("gemini", "files/orphan", 77, 5, AT, None))
    recorder.drain()
    assert database.write(forget_objects, AT + 50) == 2
    assert database.write(forget_objects, AT + 50) == 0
    assert [row[1] for row in database.read(objects, AT, 10)] == ["files/kept"]
