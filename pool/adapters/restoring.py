"""What limits had counted before a start, added up from what was recorded: a restart forgives nothing."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from pool.core.limits import COST, TOKENS
from pool.core.periods import month_began
from pool.core.quota import cap_window, last_reset
from pool.core.state import Count

from .queries import spent
from .queries.facts import cap_counts

MINUTE_S = 61.0
"""Sliding windows count whole seconds, so a minute is one more."""


def counts(session: Session, now: float, quota_reset: str) -> list[Count]:
    """Every counter that a limit may look at, as far as the log and the roll-ups know. Reads only."""
    day, month = last_reset(now, quota_reset), month_began(now)
    return [
        *_of_holders(session, now, quota_reset, day, month),
        *_of_keys(session, now, quota_reset, day, month),
        *_of_the_last_minute(session, now - MINUTE_S),
    ]


def _of_holders(session: Session, now: float, quota_reset: str, day: float, month: float) -> Iterator[Count]:
    today, today_ends = cap_window("day", now, quota_reset)
    this_month, month_ends = cap_window("month", now, quota_reset)
    for letter, spending in (
        ("c", spent.client_spend(session, day, month)),
        ("p", spent.pool_spend(session, day, month)),
    ):
        for owner_id, each in spending.items():
            owner = f"{letter}{owner_id}"
            yield Count(f"{owner}/rpd", each.day.requests, period=today, ends_at=today_ends)
            yield Count(f"{owner}/{COST}/day", each.day.cost_nano, period=today, ends_at=today_ends)
            yield Count(f"{owner}/{COST}/month", each.month.cost_nano, period=this_month, ends_at=month_ends)


def _of_keys(session: Session, now: float, quota_reset: str, day: float, month: float) -> Iterator[Count]:
    for key_id, _, attempts in cap_counts(session):
        yield Count(f"k{key_id}/cap", attempts)
    for key_id, window, attempts in spent.capped_attempts(session, day, month):
        period, ends_at = cap_window(window, now, quota_reset)
        yield Count(f"k{key_id}/cap", attempts, period=period, ends_at=ends_at)
    limited = set(session.scalars(spent.limited_keys()))
    if limited:
        today, ends_at = cap_window("day", now, quota_reset)
        for (key_id, model), attempts in spent.attempts_since(session, day).items():
            if key_id in limited:
                yield Count(f"k{key_id}/rpd/{model}", attempts, period=today, ends_at=ends_at)


def _of_the_last_minute(session: Session, since: float) -> Iterator[Count]:
    for asked in spent.asked_since(session, since):
        owners = [f"p{asked.pool_id}"] + ([f"c{asked.client_key_id}"] if asked.client_key_id else [])
        for owner in owners:
            yield Count(f"{owner}/rpm", asked.requests, "sliding", asked.at)
            yield Count(f"{owner}/{TOKENS}", asked.tokens, "sliding", asked.at)
    limited = set(session.scalars(spent.limited_keys()))
    for tried in spent.tried_since(session, since) if limited else ():
        if tried.key_id in limited:
            yield Count(f"k{tried.key_id}/rpm/{tried.model}", tried.attempts, "sliding", tried.at)
            yield Count(f"k{tried.key_id}/{TOKENS}/{tried.model}", tried.tokens, "sliding", tried.at)
