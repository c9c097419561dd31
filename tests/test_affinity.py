"""What is remembered of upstream objects, and what is not."""

from __future__ import annotations

import orjson
import pytest

from pool.affinity import FOREVER, Affinity, Made
from pool.core.records import parse_line
from pool.core.state import MADE, Word


class World:
    """Two workers that hear each other, a journal and a clock."""

    def __init__(self, most: int = 100) -> None:
        self.now = 1000.0
        self.lines: list[bytes] = []
        self.words: list[Word] = []
        self.one = Affinity(self.tell, self.lines.append, lambda: self.now, most)
        self.other = Affinity(self.tell, self.lines.append, lambda: self.now, most)

    def tell(self, word: Word) -> None:
        self.words.append(word)
        self.one.hear(word)
        self.other.hear(word)


@pytest.fixture
def world() -> World:
    return World()


FILE = Made("gemini", "files/a b c", 7, 5, 2000.0)


def test_every_worker_knows_what_one_of_them_made(world: World) -> None:
    world.one.note(FILE)
    assert world.other.find("files/a b c", ["openai", "gemini"]) == FILE
    assert world.other.find("files/a b c", ["openai"]) is None
    assert parse_line(world.lines[0]) == ["made", "gemini", "files/a b c", 7, 5, 1000.0, 2000.0]
    world.one.note(FILE)
    assert len(world.lines) == 1


def test_what_is_over_is_not_known_any_more(world: World) -> None:
    world.one.note(FILE)
    world.now = 2000.0
    assert world.one.find(FILE.name, ["gemini"]) is None
    assert list(world.other.held(5, "files", {"gemini"})) == []
    assert len(world.other) == 1
    world.other.prune()
    assert not world.other


def test_what_was_deleted_is_forgotten_everywhere(world: World) -> None:
    world.one.note(Made("openai", "files/f", 1, -3))
    world.other.forget("openai", "files/f")
    assert world.one.find("files/f", ["openai"]) is None
    assert orjson.loads(world.lines[-1]) == ["forget", "openai", "files/f", 1000.0]
    assert world.words[-1].until == 0
    world.other.forget("openai", "files/f")
    assert len(world.lines) == 2


def test_the_longest_unused_is_given_up_first() -> None:
    world = World(most=3)
    for name in "abc":
        world.one.note(Made("p", f"files/{name}", 1, 1))
    assert world.one.find("files/a", ["p"])
    world.one.note(Made("p", "files/d", 1, 1))
    assert world.one.find("files/b", ["p"]) is None
    assert world.one.find("files/a", ["p"])
    assert {made.name for made in world.one.held(1, "files", {"p"})} == {"files/a", "files/c", "files/d"}


def test_a_holders_objects_are_told_apart_by_collection_provider_and_holder(world: World) -> None:
    for provider, name, holder in (
        ("p", "files/1", 1),
        ("q", "files/2", 1),
        ("p", "batches/3", 1),
        ("p", "files/4", -1),
    ):
        world.one.note(Made(provider, name, 9, holder))
    assert [made.name for made in world.one.held(1, "files", {"p"})] == ["files/1"]
    assert [made.name for made in world.one.held(1, "files", {"p", "q"})] == ["files/1", "files/2"]
    assert [made.name for made in world.one.held(-1, "files", {"p"})] == ["files/4"]
    assert list(world.one.held(2, "files", {"p"})) == []


def test_uploads_stick_for_an_hour_after_the_last_one(world: World) -> None:
    world.one.stick(5, "gemini", 7)
    assert world.other.sticky(5, "gemini") == 7
    assert world.other.sticky(6, "gemini") is None
    world.now += 3000
    world.one.stick(5, "gemini", 7)
    world.now += 3000
    assert world.other.sticky(5, "gemini") == 7
    world.now += 601
    assert world.other.sticky(5, "gemini") is None
    world.one.stick(0, "gemini", 7)
    assert world.one.sticky(0, "gemini") is None


def test_what_earlier_runs_left_is_known_and_not_told_again(world: World) -> None:
    world.one.load([FILE, Made("openai", "files/x", 2, 4, FOREVER)])
    assert world.one.find("files/x", ["openai"]).expires_at == FOREVER
    assert world.lines == world.words == []


def test_words_about_keys_are_nothing_to_it(world: World) -> None:
    world.one.hear(Word(7, "quota_day", 5000.0, "gemini-2.5-pro"))
    world.one.hear(Word(7, MADE, 5000.0, None))
    assert not world.one
