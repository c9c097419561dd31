"""Adds the figures of hours that are over up to days, so that a page of 90 days reads days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from . import tables
from .database import Database
from .upserts import insert_into, insert_rows

HOUR_S = 3600
SETTLED_S = 900
"""An hour is added up once it is over for so long; what comes later still is added by `note_late`."""

USAGE_KEPT_S = 100 * tables.DAY_S

PAIRS: tuple[tuple[Any, Any, tuple[str, ...], tuple[str, ...]], ...] = (
    (tables.TrafficHour, tables.TrafficDay, ("pool_id", "client_key_id", "model"), tables.TALLY),
    (
        tables.OutcomeHour, tables.OutcomeDay, ("side", "pool_id", "model", "operation", "status", "word"), ("times",),
    ),
)  # fmt: skip
"""Hours, days, what rows go by beside the hour, and what is added up."""


def add_up_days(database: Database, now: float) -> None:
    """Add up every hour that is settled, one in each transaction."""
    until = int((now - SETTLED_S) // HOUR_S) * HOUR_S
    while database.write(_add_up_some, until):
        pass


def forget_old_usage(database: Database, now: float) -> None:
    """Forget what each key did in hours that no page and no limit looks back to: with many keys it is a row a request.

    What pools, models and client keys did stays.
    """
    before = int((now - USAGE_KEPT_S) // HOUR_S) * HOUR_S
    while database.write(_forget_hour, before):
        pass


@dataclass(frozen=True, slots=True)
class Added:
    """Up to which hour days are added up. `edition` is another one each time something of before that changed."""

    until: int = 0
    edition: str = "0"


def added(session: Session, writing: bool = False) -> Added:
    """`writing`: nobody moves it until this transaction ends."""
    query = select(tables.Meta.number, tables.Meta.value).where(tables.Meta.name == tables.DAYS_UNTIL)
    row = session.execute(query.with_for_update(read=True) if writing else query).one_or_none()
    return Added(*row) if row is not None else Added()


def note_late(session: Session, table: Any, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """Add rows of hours that were added up before they came. The first column is the hour."""
    known = added(session, writing=True)
    late = [row for row in rows if row[0] < known.until]
    if not late:
        return
    _new_edition(session, known)
    _, days, keys, figures = next(pair for pair in PAIRS if pair[0] is table)
    by_day = [(row[0] // tables.DAY_S * tables.DAY_S, *row[1:]) for row in late]
    insert_rows(session, days, columns, by_day, ("hour", *keys), figures)


def _add_up_some(session: Session, until: int) -> bool:
    """Add up the next hour with traffic; False where there is none left."""
    fact = tables.Meta
    insert = insert_into(session, fact).values(name=tables.DAYS_UNTIL, value="0", number=0)
    session.execute(insert.on_conflict_do_nothing())
    # The lock of the row first: who writes an hour's figures meanwhile is waited for, and seen.
    session.execute(update(fact).where(fact.name == tables.DAYS_UNTIL).values(number=fact.number))
    begun = added(session).until
    firsts = (session.scalar(select(func.min(hours.hour)).where(hours.hour >= begun)) for hours, *_ in PAIRS)
    first = min((hour for hour in firsts if hour is not None), default=until)
    if first >= until:
        return False
    for hours, days, keys, figures in PAIRS:
        _add_hour(session, hours, days, keys, figures, first)
    session.execute(update(fact).where(fact.name == tables.DAYS_UNTIL).values(number=first + HOUR_S))
    return True


def _add_hour(
    session: Session, hours: Any, days: Any, keys: tuple[str, ...], figures: tuple[str, ...], hour: int
) -> None:
    names = ("hour", *keys, *figures)
    day = hours.hour - hours.hour % tables.DAY_S
    rows = select(day, *(getattr(hours, name) for name in names[1:])).where(hours.hour == hour)
    statement = insert_into(session, days).from_select(list(names), rows)
    added = {name: getattr(days, name) + statement.excluded[name] for name in figures}
    session.execute(statement.on_conflict_do_update(index_elements=["hour", *keys], set_=added))


def _forget_hour(session: Session, before: int) -> bool:
    """Forget the oldest hour; False where none is old enough."""
    usage = tables.UsageHour
    oldest = session.scalar(select(func.min(usage.hour)))
    if oldest is None or oldest >= before:
        return False
    session.execute(delete(usage).where(usage.hour == oldest))
    return True


def begin_days_anew(session: Session) -> None:
    """Other hours took the place of those there were."""
    for _, days, *_ in PAIRS:
        session.execute(delete(days))
    known = added(session)
    session.execute(update(tables.Meta).where(tables.Meta.name == tables.DAYS_UNTIL).values(number=0))
    _new_edition(session, known)


def _new_edition(session: Session, known: Added) -> None:
    fact, edition = tables.Meta, str(int(known.edition) + 1)
    session.execute(update(fact).where(fact.name == tables.DAYS_UNTIL).values(value=edition))
