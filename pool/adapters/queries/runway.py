"""How far the day's quotas reach, model by model, by the limits that upstreams named in their refusals.

A limit belongs to a project where one is known, else to a key: both are called a holder here. One that was never told
its limit is taken to have the usual one of the model. Nobody looks key by key: of 100,000 keys, only those that are
out for the day and those with a limit of their own are looked at.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from pool.adapters.tables import Key, KeyHealth, LearnedLimit, TrafficHour, UsageHour

HOUR_S = 3600
MOST_MODELS = 50
MOST_OUT = 2_000
"""Keys out for the day whose use is added up; of more, each is taken to have used what its model usually allows."""


@dataclass(frozen=True, slots=True)
class Runway:
    """What is left of a model's day. `live` holders may be asked; `out` ones are spent, or refused it, until the
    quotas return. `limit`: the usual one a holder. `per_s`: attempts a second, of the last hour or two."""

    model: str
    limit: int
    live: int
    out: int
    used: int
    left: int
    per_s: float

    def dry_at(self, now: float, resets_at: float) -> float | None:
        """When nothing is left at this pace; None where the quotas return before."""
        if not self.left:
            return now
        at = now + self.left / self.per_s if self.per_s else resets_at
        return at if at < resets_at else None


@dataclass(slots=True)
class _Holders:
    live: int
    out: int


def runways(session: Session, now: float, day_began: int, resets_at: float) -> list[Runway]:
    """Of every model with a learned limit on the requests of a day, the one that runs dry first before the others.
    `day_began` is the beginning of an hour."""
    usual = _usual_limits(session)
    models = sorted({model for _, model in usual}, key=lambda model: model)[:MOST_MODELS]
    found = [
        _runway(session, model, {provider: limit for (provider, its), limit in usual.items() if its == model},
                now, day_began, resets_at)
        for model in models
    ]  # fmt: skip
    return sorted(found, key=lambda each: (each.dry_at(now, resets_at) or resets_at, each.left, each.model))


def _runway(
    session: Session, model: str, usual: dict[int, int], now: float, day_began: int, resets_at: float
) -> Runway:
    allowed, live, out = 0, 0, 0
    for provider_id, limit in usual.items():
        stops = _out(model, now, resets_at)
        holders = _holders(session, provider_id, model, now, stops)
        allowed += limit * holders.live + _beyond(session, provider_id, model, limit, now, stops)
        live, out = live + holders.live, out + holders.out
    used, lately = _used(session, model, day_began, now)
    usually = max(usual.values())
    by_out = _used_by_those_out(session, model, out, day_began, now, resets_at, usually)
    elapsed_s = HOUR_S + now % HOUR_S
    return Runway(model, usually, live, out, used, max(0, allowed - max(0, used - by_out)), lately / elapsed_s)


def _usual_limits(session: Session) -> dict[tuple[int, str], int]:
    """By provider and model, the limit that most holders were told; of two, the smaller."""
    told: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
    learned = LearnedLimit
    owners = select(Key.project, func.min(Key.provider_id).label("provider_id")).where(Key.project != "")
    projects = owners.where(Key.deleted_at.is_(None)).group_by(Key.project).subquery()
    of_keys = select(Key.provider_id, learned.model, learned.limit_value, func.count()).join_from(
        learned, Key, Key.id == learned.key_id
    )
    of_projects = select(projects.c.provider_id, learned.model, learned.limit_value, func.count()).join_from(
        learned, projects, projects.c.project == learned.project
    )
    for query, provider in ((of_keys, Key.provider_id), (of_projects, projects.c.provider_id)):
        query = query.where(*_of_a_day()).group_by(provider, learned.model, learned.limit_value)
        for provider_id, model, limit, times in session.execute(query):
            told[provider_id, model].append((times, -limit))
    return {place: -max(limits)[1] for place, limits in told.items()}


def _of_a_day() -> tuple[ColumnElement[bool], ...]:
    return LearnedLimit.window == "day", LearnedLimit.unit == "requests"


def _usable(now: float) -> tuple[ColumnElement[bool], ...]:
    allowed = or_(Key.disabled_at.is_(None), Key.disabled_until <= now)
    return Key.deleted_at.is_(None), Key.dead_at.is_(None), allowed


def _out(model: str, now: float, resets_at: float) -> ColumnElement[bool]:
    """Is it known of a key that it rests until the day's quotas return, at least?"""
    until_then = or_(KeyHealth.until.is_(None), KeyHealth.until >= resets_at - 60)
    return and_(KeyHealth.model.in_((model, "")), until_then)


def _holders(session: Session, provider_id: int, model: str, now: float, out: ColumnElement[bool]) -> _Holders:
    of_it = (Key.provider_id == provider_id, *_usable(now))
    keys = select(func.count()).select_from(Key).where(Key.project == "", *of_it)
    single = session.scalar(keys) or 0
    resting = select(func.count(KeyHealth.key_id.distinct())).join(Key, Key.id == KeyHealth.key_id)
    single_out = session.scalar(resting.where(out, Key.project == "", *of_it)) or 0
    projects = select(func.count(Key.project.distinct())).where(Key.project != "", *of_it)
    all_projects = session.scalar(projects) or 0
    live = session.scalar(projects.where(~exists().where(KeyHealth.key_id == Key.id, out))) or 0
    return _Holders(single - single_out + live, single_out + all_projects - live)


def _beyond(
    session: Session, provider_id: int, model: str, usual: int, now: float, out: ColumnElement[bool]
) -> int:
    """What live holders with a limit of their own may do more than usual, or less."""
    learned = LearnedLimit
    rests = exists().where(KeyHealth.key_id == Key.id, out)
    live = (Key.provider_id == provider_id, *_usable(now), ~rests)
    own = (*_of_a_day(), learned.model == model, learned.limit_value != usual)
    of_keys = select(func.sum(learned.limit_value - usual)).join_from(learned, Key, Key.id == learned.key_id)
    theirs = session.scalar(of_keys.where(*own, Key.project == "", *live)) or 0
    of_projects = select(func.sum(learned.limit_value - usual)).where(
        *own, learned.project != "", exists().where(Key.project == learned.project, *live)
    )
    return int(theirs) + int(session.scalar(of_projects) or 0)


def _used(session: Session, model: str, day_began: int, now: float) -> tuple[int, int]:
    """Attempts of the day, and of this hour and the one before."""
    hour, before = TrafficHour, int(now // HOUR_S) * HOUR_S - HOUR_S
    query = select(func.coalesce(func.sum(hour.attempts), 0)).where(hour.model == model)
    day = session.scalar(query.where(hour.hour >= day_began)) or 0
    return int(day), int(session.scalar(query.where(hour.hour >= before)) or 0)


def _used_by_those_out(
    session: Session, model: str, out: int, day_began: int, now: float, resets_at: float, usual: int
) -> int:
    if out > MOST_OUT:
        return out * usual
    stopped = or_(Key.dead_at.is_not(None), Key.disabled_at.is_not(None))
    resting = select(KeyHealth.key_id).where(_out(model, now, resets_at))
    hour: Any = UsageHour
    query = select(func.coalesce(func.sum(hour.attempts), 0)).where(hour.hour >= day_began, hour.model == model)
    rested = session.scalar(query.where(hour.key_id.in_(resting))) or 0
    gone = select(Key.id).where(stopped, ~exists().where(KeyHealth.key_id == Key.id, _out(model, now, resets_at)))
    if (session.scalar(select(func.count()).select_from(gone.limit(MOST_OUT + 1).subquery())) or 0) > MOST_OUT:
        return int(rested)
    return int(rested) + int(session.scalar(query.where(hour.key_id.in_(gone))) or 0)
