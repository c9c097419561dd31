"""What the table of effects is made of: how to fill a form in, and what a press did to everything that is kept."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

from sqlalchemy import text

from tests.house import PASSWORD, House
from tests.web.document import Form
from tests.web.visitor import Page, Visitor

EVERY_PAGE = "every page"
"""Stands for the name of any page, for what is on each and does the same there."""

Fill = Mapping[str, Any] | Callable[[Form, House], Mapping[str, Any]]

KEPT = {
    "keys": ("id",),
    "memberships": ("pool_id", "key_id"),
    "pools": ("id",),
    "client_keys": ("id",),
    "settings": ("name",),
    "sessions": ("id",),
    "key_health": ("key_id", "model"),
    "meta": ("name",),
    "providers": ("slug",),
}
"""Tables a press may change, and what names a row of each."""

_COME_AND_GO = {"revision", "updated_at", "position", "import_id", "last_seen_at", "elevated_until", "checked_at"}
"""Columns that a press may change beside what it is for."""

TYPED = {"password": PASSWORD}

Memory = dict[tuple[Any, ...], dict[str, Any]]


def memory_of(house: House) -> tuple[Memory, list[tuple[str, str]]]:
    """Everything that is kept: rows by (table, what names them), and (action, object) of each line of the trail.

    Seats that were given up are none.
    """
    return house.keypool.database.read(_remember)


def _remember(session: Any) -> tuple[Memory, list[tuple[str, str]]]:
    memory: Memory = {}
    for table, names in KEPT.items():
        for row in session.execute(text(f"SELECT * FROM {table}")).mappings():
            if row.get("removed_at") is not None or str(row.get("name")).startswith(("revision", "answer:")):
                continue
            told = {name: value for name, value in row.items() if name not in _COME_AND_GO}
            memory[table, *(row[name] for name in names)] = told
    trail = session.execute(text("SELECT action, object FROM audit ORDER BY id"))
    return memory, [(action, thing) for action, thing in trail]


@dataclass
class Entry:
    """What a control is for.

    `fill`: what is typed and ticked before it is pressed. `mistake`: what is typed first, to be told what is wrong
    with it. `status`: 403 where the answer asks for the password. `last`: takes away pages that others are on.
    """

    effect: Callable[[Pressed], None]
    fill: Fill = field(default_factory=dict)
    mistake: Fill | None = None
    status: int = 200
    last: bool = False


@dataclass
class Pressed:
    """A press: what there was before and after, and what it answered."""

    house: House
    control: str
    args: Mapping[str, Any]
    filled: Mapping[str, Any]
    before: Memory
    after: Memory
    audit: list[tuple[str, str]]
    answer: Any
    visitor: Visitor
    address: str | None
    led_here: Pressed | None
    page: Page

    @property
    def path(self) -> str:
        """Where it led to, with its query."""
        return str(self.answer.request.full_path.rstrip("?"))

    @cached_property
    def changed(self) -> set[tuple[Any, ...]]:
        """The rows that are not what they were."""
        return {place for place in {*self.before, *self.after} if self.before.get(place) != self.after.get(place)}

    def changes(self, *places: tuple[Any, ...]) -> None:
        """It changed these rows, and no others."""
        assert self.changed == set(places), f"changed {sorted(self.changed, key=str)}, not {sorted(places, key=str)}"

    def the_one_in(self, table: str) -> Any:
        """What names the one row it changed, made or took away: it is in this table."""
        assert [place[0] for place in self.changed] == [table], f"changed {sorted(self.changed, key=str)}"
        ((_, name),) = self.changed
        return name

    def changes_nothing(self) -> None:
        self.changes()
        assert self.audit == []

    def says(self, *texts: str) -> None:
        for each in texts:
            assert each in self.page.text, f"does not say {each!r}"

    def tells_the_trail(self, action: str, thing: str) -> None:
        assert self.audit == [(action, thing)], f"tells the audit trail {self.audit}"


Entries = dict[str, Entry]
Effect = Callable[[Pressed], None]

_number = count(1)


def secrets_on(p: Pressed) -> list[str]:
    """What a page shows in full."""
    return [html.unescape("".join(node.words())) for node in p.page.nodes if "data-secret" in node.attrs]


def asks_for_the_password(p: Pressed) -> None:
    p.changes_nothing()
    assert any(node.get("name") == "password" for node in p.page.all("input"))
    assert secrets_on(p) == []


def brings_back(action: str, text: str) -> Effect:
    """Undo: everything is as it was before the deed."""

    def effect(p: Pressed) -> None:
        assert p.led_here is not None
        assert p.changed
        assert p.after == p.led_here.before
        assert [done for done, _ in p.audit] == [action]
        p.says(text)

    return effect


def fresh(word: str) -> str:
    """A name nothing has yet."""
    return f"{word} {next(_number)}"


def on(pages: str, control: str, entry: Entry) -> Entries:
    """A control that does the same on several pages: their names, one after the other."""
    return {f"{page}: {control}": entry for page in pages.split(", ")}
