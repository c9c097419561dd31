"""Sums of roll-ups over a span of time: of whole days where they are added up already, of hours for the rest.

What lies before the last hour that was added up changes no more, or says so, and is summed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Engine, Select
from sqlalchemy.orm import Session

from pool.adapters.days import Added, added
from pool.adapters.tables import DAY_S, OutcomeDay, OutcomeHour, TrafficDay, TrafficHour

_DAYS: dict[Any, Any] = {TrafficHour: TrafficDay, OutcomeHour: OutcomeDay}

Build = Callable[[Any], Select[Any]]
Sums = dict[tuple[Any, ...], list[int]]

MOST_KEPT = 100
_kept: WeakKeyDictionary[Engine, tuple[Added, dict[str, Sums]]] = WeakKeyDictionary()


def summed(
    session: Session, hours: Any, since: int, build: Build, figures: int, until: int | None = None, days: bool = True
) -> Sums:
    """What `build` makes of each part of a span, added up: it selects what rows go by, and then so many figures.

    Both moments are beginnings of hours; `until` is left out itself, None stands for the present. `build` is handed
    `hours` or the table of its days. Without `days` it wants hours only.
    """
    known = added(session)
    found: Sums = {}
    for table, within, settled in _parts(hours, since, until, known.until, days):
        query = build(table).where(*within)
        sums = _once(session, query, figures, known) if settled else _sums(session, query, figures)
        for place, told in sums.items():
            so_far = found.get(place)
            found[place] = told if so_far is None else [one + other for one, other in zip(so_far, told, strict=True)]
    return found


def busiest(found: Sums, size: int) -> list[tuple[tuple[Any, ...], list[int]]]:
    """Those with most of the first figure first, alike ones by what they are."""
    return sorted(found.items(), key=lambda each: (-each[1][0], each[0]))[:size]


def _parts(
    hours: Any, since: int, until: int | None, end: int, days: bool
) -> Iterator[tuple[Any, list[ColumnElement[bool]], bool]]:
    """(table, its condition of time, whether it is settled) of each part. Up to `end` days are added up."""
    first = -(-since // DAY_S) * DAY_S
    last = end // DAY_S * DAY_S if until is None else min(end, until) // DAY_S * DAY_S
    if days and first < last:
        if since < first:
            yield hours, _between(hours, since, first), True
        yield _DAYS[hours], _between(_DAYS[hours], first, last), True
        since = last
    split = end if until is None else min(end, until)
    if since < split:
        yield hours, _between(hours, since, split), True
    if until is None or max(since, split) < until:
        yield hours, _between(hours, max(since, split), until), False


def _between(table: Any, since: int, until: int | None) -> list[ColumnElement[bool]]:
    return [table.hour >= since, *([] if until is None else [table.hour < until])]


def _once(session: Session, query: Select[Any], figures: int, known: Added) -> Sums:
    engine: Engine = session.connection().engine
    edition, kept = _kept.get(engine, (None, {}))
    if edition != known:
        kept = {}
        _kept[engine] = known, kept
    name = str(query.compile(engine, compile_kwargs={"literal_binds": True}))
    if name not in kept:
        while len(kept) >= MOST_KEPT:
            kept.pop(next(iter(kept)), None)
        kept[name] = _sums(session, query, figures)
    return kept[name]


def _sums(session: Session, query: Select[Any], figures: int) -> Sums:
    return {
        tuple(row[: len(row) - figures]): [int(each or 0) for each in row[len(row) - figures :]]
        for row in session.execute(query)
    }
