"""Many keys at once, for a page or a program: at once where they are few, else as a job; and the way back of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import g

from pool.adapters import queries
from pool.core.heap import uncollected
from pool.jobs import Progress
from pool.web.acts import ACTS, SLICE, TESTED_AT_ONCE, Audit, Deed, Done, check, do, packed, put_back, ways_back
from pool.web.here import aside, audit, auditor, keypool, read

TEST = "test"

Slices = Callable[[], Iterator[Sequence[int]]]
"""The ids of keys, piece by piece, as they are then."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Keys that are named, or all that a query finds."""

    ids: Sequence[int] = ()
    wanted: queries.Wanted | None = None

    def count(self, action: str) -> int:
        """How many of them there are for an action to be done to."""
        if self.wanted is None:
            return len(read(queries.some_keys, self.ids, _binned(action)))
        return read(queries.key_count, replace(self.wanted, binned=_binned(action)))

    def first(self, action: str, size: int) -> Sequence[int]:
        """Some of them, the oldest first."""
        return next(_slices(keypool(), self, action, size), [])


def _binned(action: str) -> bool:
    return action in ACTS and ACTS[action].binned


def few(selection: Selection, action: str) -> bool:
    """Are they so few that somebody may wait for it?"""
    most = TESTED_AT_ONCE if action == TEST else SLICE
    if selection.wanted is None:
        return len(selection.ids) <= most
    return len(selection.first(action, most + 1)) <= most


def act_at_once(deed: Deed, key_ids: Sequence[int], **said: Any) -> tuple[dict[int, str], int | None]:
    """Do it now: what became of each key, and the entry of the trail that leads back, where there is a way."""
    app = keypool()
    rows = read(queries.some_keys, key_ids, _binned(deed.action))
    if not rows:
        return {}, None
    if deed.action == TEST:
        found = check(app, [row.id for row in rows])
        audit("key.test", named(rows), after={"keys": hints(rows), "found": _sums(found.values())})
        return found, None
    done = do(app, deed, rows)
    after = {**deed.told(), **said, "keys": hints(rows)}
    entry = audit(ACTS[deed.action].trail, named(rows), _before(done), after)
    return done.fates, entry if done.before else None


def act_as_job(deed: Deed, selection: Selection, total: int) -> int:
    """Have it done slice by slice; the job's id. Its result says which entry of the trail leads back."""
    if deed.action == TEST:
        return tester()(selection, total)
    app, note = keypool(), auditor()
    work = _changes(app, deed, selection, note)
    job_id: int = app.jobs.begin(f"keys.{deed.action}", "admin", g.get("via", "session"), work, total)
    note(ACTS[deed.action].trail, f"{total} keys", after={**deed.told(), "job": job_id})
    return job_id


def tester() -> Callable[[Selection, int], int]:
    """What begins a job that tests keys, also later, when no request is there any more; the job's id."""
    app, note, via = keypool(), auditor(), g.get("via", "session")

    def begin(selection: Selection, total: int) -> int:
        job_id: int = app.jobs.begin(f"keys.{TEST}", "admin", via, _tests(app, selection, note), total)
        note("key.test", f"{total} keys", after={"job": job_id})
        return job_id

    return begin


def _changes(app: Any, deed: Deed, selection: Selection, note: Audit) -> Callable[[Progress], Mapping[str, Any]]:
    @uncollected()
    def work(progress: Progress) -> Mapping[str, Any]:
        done, told = Done(), dict[str, Any]()
        try:
            for key_ids in _slices(app, selection, deed.action, SLICE):
                rows = app.database.read(queries.some_keys, key_ids, _binned(deed.action))
                slice_ = do(app, deed, rows)
                done.add(slice_.fates, slice_.before)
                progress.note("gone", len(key_ids) - len(rows))
                progress.step(len(rows), ACTS[deed.action].fate, [row.id for row in rows])
        finally:
            # However it ends: what was done can be taken back.
            if done.fates:
                after = {**deed.told(), "job": progress.job_id, "keys": len(done.fates)}
                entry = note(ACTS[deed.action].trail, f"job {progress.job_id}", aside(_before, done), after)
                progress.undo = {"audit": entry} if done.before else None
                told = {"changed": len(done.fates), "undo": entry if done.before else None}
        return told

    return work


def _tests(app: Any, selection: Selection, note: Audit) -> Callable[[Progress], Mapping[str, Any]]:
    def work(progress: Progress) -> Mapping[str, Any]:
        for key_ids in _slices(app, selection, TEST, TESTED_AT_ONCE):
            found = check(app, key_ids)
            for word in sorted(set(found.values())):
                of_word = [key_id for key_id, each in found.items() if each == word]
                progress.note(word, len(of_word), of_word)
            progress.step(len(key_ids))
        sums = dict(progress.fates)
        note("key.test", f"job {progress.job_id}", after={"found": sums})
        return {"found": sums}

    return work


def _slices(app: Any, selection: Selection, action: str, size: int) -> Iterator[Sequence[int]]:
    if selection.wanted is None:
        for at in range(0, len(selection.ids), size):
            yield selection.ids[at : at + size]
        return
    wanted, after = replace(selection.wanted, binned=_binned(action)), 0
    while key_ids := app.database.read(queries.key_ids, wanted, after, size):
        yield key_ids
        after = key_ids[-1]


def undo(entry_id: int, action: str, before: Mapping[str, Any]) -> int | None:
    """Bring back what an entry of the trail says was there before; the job that does so, where there are many."""
    app, note = keypool(), auditor()
    slices = aside(lambda: list(ways_back(before)))
    total = sum(len(by_key) for _, by_key in slices)

    @uncollected()
    def work(progress: Progress) -> Mapping[str, Any]:
        for kind, by_key in slices:
            put_back(app, kind, by_key)
            progress.step(len(by_key), "put back", by_key)
        note("key.undo", f"audit {entry_id}", after={"action": action})
        return {"put_back": total}

    if len(slices) <= 1:
        work(Progress(total))
        return None
    job_id: int = app.jobs.begin("keys.undo", "admin", g.get("via", "session"), work, total)
    return job_id


def named(rows: Sequence[queries.KeyRow]) -> str:
    """A selection as the audit trail calls it."""
    return f"key {rows[0].id}" if len(rows) == 1 else f"{len(rows)} keys"


def hints(rows: Sequence[queries.KeyRow]) -> dict[str, str]:
    """Which keys those were: their masks by id."""
    return {str(row.id): row.hint for row in rows}


def _before(done: Done) -> dict[str, Any]:
    return {kind: packed(by_key) for kind, by_key in done.before.items()}


def _sums(words: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found
