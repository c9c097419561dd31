"""What is done to keys, few or many, for a page, a program or a job: slice by slice, with a way back.

Nothing here asks about a request: `app` is the `Keypool`, and whoever did it is in the `audit` that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson

from pool.adapters.queries import KeyRow
from pool.core.keys import FOREVER
from pool.resetting import forget_counts

SLICE = 500
"""Keys of one transaction: nobody waits long behind it."""

TESTED_AT_ONCE = 50

Audit = Callable[..., int]
Before = dict[str, dict[int, Any]]
"""What there was before, by kind and key: what `put_back` takes."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be done. Those fields count that the action is about."""

    action: str
    until: float = FOREVER
    pool_id: int = 0
    tags: tuple[str, ...] = ()
    project: str = ""
    places: Mapping[str, int] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """As the audit trail has it."""
        said = {"until": None if self.until == FOREVER else self.until, "pool": self.pool_id, "tags": list(self.tags)}
        return {name: value for name, value in {**said, "project": self.project, **self.places}.items() if value}


@dataclass(frozen=True, slots=True)
class Act:
    """One action: what is said of a key it was done to, what the trail calls it, and how it is done."""

    fate: str
    trail: str
    change: Callable[[Any, Deed, Sequence[KeyRow]], Before]
    binned: bool = False


@dataclass(slots=True)
class Done:
    """What became of keys, each by its word, and what there was before."""

    fates: dict[int, str] = field(default_factory=dict)
    before: Before = field(default_factory=dict)

    def add(self, fates: Mapping[int, str], before: Before) -> None:
        self.fates.update(fates)
        for kind, by_key in before.items():
            self.before.setdefault(kind, {}).update(by_key)


def do(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Done:
    """Do it to a slice of keys."""
    act, done = ACTS[deed.action], Done()
    if rows:
        done.add(dict.fromkeys(_ids(rows), act.fate), act.change(app, deed, rows))
    return done


def check(app: Any, key_ids: Sequence[int]) -> dict[int, str]:
    """Test keys: what was found of each."""
    return {each.key_id: each.word for each in app.checker.check(key_ids)}


def _ids(rows: Sequence[KeyRow]) -> list[int]:
    return [row.id for row in rows]


def _disabled(rows: Sequence[KeyRow]) -> Before:
    return {"disabled": {row.id: [row.disabled_at, row.disabled_until] for row in rows}}


def _disable(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    app.inventory.set_disabled(_ids(rows), deed.until)
    return _disabled(rows)


def _enable(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    app.inventory.set_disabled(_ids(rows), None)
    return _disabled(rows)


def _clear(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    app.inventory.revive(_ids(rows))
    return {}


def _reset(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    app.inventory.reset_counters(_ids(rows))
    forget_counts(app, _ids(rows))
    return {}


def _arrange(app: Any, rows: Sequence[KeyRow], wanted: Callable[[list[int]], list[int]]) -> Before:
    before = {row.id: [seat.pool_id for seat in row.places] for row in rows}
    app.inventory.arrange({key_id: wanted(pools) for key_id, pools in before.items()})
    return {"seats": before}


def _link(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    return _arrange(app, rows, lambda pools: [*pools, deed.pool_id])


def _move(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    return _arrange(app, rows, lambda pools: [deed.pool_id])


def _unlink(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    """A key that is in no pool any more goes to `default`."""
    default = app.catalogue.default_pool_id
    return _arrange(app, rows, lambda pools: [pool for pool in pools if pool != deed.pool_id] or [default])


def _tag(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    return _tagged(app, rows, lambda tags: list(dict.fromkeys((*tags, *deed.tags))))


def _untag(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    return _tagged(app, rows, lambda tags: [tag for tag in tags if tag not in deed.tags])


def _tagged(app: Any, rows: Sequence[KeyRow], wanted: Callable[[Sequence[str]], list[str]]) -> Before:
    app.inventory.put_tags({row.id: wanted(row.tags) for row in rows})
    return {"tags": {row.id: list(row.tags) for row in rows}}


def _project(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    app.inventory.edit_keys(_ids(rows), project=deed.project)
    return {"projects": {row.id: row.project for row in rows}}


def _weigh(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    app.inventory.put_weight(_ids(rows), deed.pool_id or None, **deed.places)
    return {"places": {row.id: [[seat.pool_id, seat.weight, seat.tier] for seat in row.places] for row in rows}}


def _bin(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    app.inventory.bin_keys(_ids(rows))
    return {"binned": dict.fromkeys(_ids(rows))}


def _restore(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    app.inventory.restore_keys(_ids(rows))
    return {"restored": dict.fromkeys(_ids(rows))}


def _purge(app: Any, deed: Deed, rows: Sequence[KeyRow]) -> Before:
    app.inventory.purge_keys(_ids(rows))
    return {}


ACTS: dict[str, Act] = {
    "enable": Act("enabled", "key.enable", _enable),
    "disable": Act("disabled", "key.disable", _disable),
    "clear": Act("cleared", "key.clear", _clear),
    "reset_counters": Act("reset", "key.reset", _reset),
    "link": Act("linked", "key.link", _link),
    "move": Act("moved", "key.move", _move),
    "unlink": Act("unlinked", "key.unlink", _unlink),
    "tag": Act("tagged", "key.tag", _tag),
    "untag": Act("untagged", "key.untag", _untag),
    "project": Act("changed", "key.project", _project),
    "weight": Act("weighed", "key.weight", _weigh),
    "delete": Act("deleted", "key.delete", _bin),
    "restore": Act("restored", "key.restore", _restore, binned=True),
    "purge": Act("purged", "key.purge", _purge, binned=True),
}


# -- the way back -----------------------------------------------------------------------------------------------------


def _put_projects(app: Any, projects: Mapping[int, str]) -> None:
    for project in set(projects.values()):
        app.inventory.edit_keys([key_id for key_id, each in projects.items() if each == project], project=project)


_BACK: dict[str, Callable[[Any, Mapping[int, Any]], object]] = {
    "disabled": lambda app, states: app.inventory.put_disabled(states),
    "seats": lambda app, seats: app.inventory.arrange(seats),
    "tags": lambda app, tags: app.inventory.put_tags(tags),
    "projects": _put_projects,
    "places": lambda app, places: app.inventory.put_places(places),
    "binned": lambda app, keys: app.inventory.restore_keys(list(keys)),
    "restored": lambda app, keys: app.inventory.bin_keys(list(keys)),
}


def can_be_put_back(action: str, before: Mapping[str, Any]) -> bool:
    """Does an entry of the trail say how things were, so that they can be so again?"""
    ours = any(act.trail == action for act in ACTS.values())
    return ours and any(kind in _BACK and isinstance(before[kind], list | dict) for kind in before)


def ways_back(before: Mapping[str, Any]) -> Iterator[tuple[str, dict[int, Any]]]:
    """What an entry of the trail says was there before: slice by slice, each with its kind."""
    for kind, stored in before.items():
        if kind in _BACK and isinstance(stored, list | dict):
            by_key = list(unpacked(stored))
            for at in range(0, len(by_key), SLICE):
                yield kind, dict(by_key[at : at + SLICE])


def put_back(app: Any, kind: str, by_key: Mapping[int, Any]) -> None:
    _BACK[kind](app, by_key)


def packed(by_key: Mapping[int, Any]) -> list[list[Any]]:
    """Values by key, as the trail keeps them: `[value, [[first id, last id], …]]`. A hundred thousand that were alike
    take a line."""
    alike: dict[bytes, list[int]] = {}
    for key_id, value in by_key.items():
        alike.setdefault(orjson.dumps(value), []).append(key_id)
    return [[orjson.loads(value), list(_spans(sorted(key_ids)))] for value, key_ids in alike.items()]


def unpacked(stored: Any) -> Iterator[tuple[int, Any]]:
    """The same by key again. Older entries have a list of ids, or a value by id."""
    if isinstance(stored, dict):
        yield from ((int(key_id), value) for key_id, value in stored.items())
        return
    for each in stored:
        if isinstance(each, int):
            yield each, None
        else:
            value, spans = each
            yield from ((key_id, value) for first, last in spans for key_id in range(first, last + 1))


def _spans(key_ids: Iterable[int]) -> Iterator[list[int]]:
    for _, run in groupby(enumerate(key_ids), lambda pair: pair[1] - pair[0]):
        together = list(map(itemgetter(1), run))
        yield [together[0], together[-1]]
