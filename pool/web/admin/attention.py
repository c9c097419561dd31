"""What needs the operator's attention, each with the list it is about: from memory and two counts, no key looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from pool.adapters import queries
from pool.core.catalogue import Catalogue, Pool
from pool.web.here import keypool, read
from pool.web.names import isolated
from pool.web.storm_words import past_storm_text, storm_text

RECENT_S = 3600.0
"""How long a storm that is over is spoken of."""

MOST_POOLS = 5
"""Pools with the same trouble that are named one by one."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to look at. `name` tells it from the others, so that focus stays where it was."""

    name: str
    text: str
    url: str
    link: str


def attention(at: float, day_began: float, hour_began: int) -> list[Item]:
    """The most urgent first. A day of roll-ups begins with an hour, `hour_began`."""
    catalogue = keypool().catalogue
    return [
        *_storms_now(),
        *_degraded(),
        *_pools_without_a_key(catalogue, at),
        *_died(read(queries.deaths_since, day_began)),
        *_suspected(catalogue, at),
        *_refused_for_location(read(queries.attempts_ended, hour_began, "location")),
        *_storms_lately(at),
    ]


def _storms_now() -> Iterator[Item]:
    for slug, storm in keypool().relay.judge.outages.storms().items():
        if storm.kind:
            yield _storm(f"storm-{slug}", storm_text(slug, storm))


def _storms_lately(at: float) -> Iterator[Item]:
    for slug, storm in keypool().relay.judge.outages.storms().items():
        for past in reversed(storm.past):
            if past.until > at - RECENT_S:
                yield _storm(f"storm-{slug}-{past.since:.0f}", past_storm_text(slug, past))


def _storm(name: str, text: str) -> Item:
    return Item(name, text, url_for(".requests", ended="failed", window="1h"), _("Failed requests of the last hour"))


def _degraded() -> Iterator[Item]:
    if keypool().state.degraded:
        text = _("Redis cannot be reached: this server goes on by its own counts, and holds limits for itself alone.")
        yield Item("degraded", text, url_for("ops.health"), _("Health"))


def _pools_without_a_key(catalogue: Catalogue, at: float) -> Iterator[Item]:
    spent = [pool for pool in catalogue.pools.values() if pool.enabled and _is_spent(catalogue, pool, at)]
    for pool in spent[:MOST_POOLS]:
        text = _("The pool %(name)s has no key that could serve now.", name=isolated(pool.name))
        yield Item(f"pool-{pool.id}", text, url_for(".keys", pool=pool.id), _("Its keys"))
    if len(spent) > MOST_POOLS:
        left = len(spent) - MOST_POOLS
        text = ngettext(
            "%(num)d more pool has no key that could serve now.",
            "%(num)d more pools have no key that could serve now.",
            left,
        )
        yield Item("pools", text, url_for(".pools"), _("Pools"))


def _is_spent(catalogue: Catalogue, pool: Pool, at: float) -> bool:
    """Has it keys, and none of them ready for any model? A pool without keys waits for its first ones."""
    rotations = catalogue.rotations.get(pool.id, {}).values()
    return any(len(rotation) for rotation in rotations) and not any(rotation.ready("", at) for rotation in rotations)


def _died(number: int) -> Iterator[Item]:
    if number:
        text = ngettext("%(num)d key died today.", "%(num)d keys died today.", number)
        yield Item("died", text, url_for(".keys", state="dead"), _("Dead keys"))


def _suspected(catalogue: Catalogue, at: float) -> Iterator[Item]:
    """By pool: a key may be in several, and nobody looks which."""
    for pool in catalogue.pools.values():
        rotations = catalogue.rotations.get(pool.id, {}).values()
        number = sum(rotation.census("", at).get("suspected", 0) for rotation in rotations)
        if number:
            text = ngettext(
                "%(num)d key of the pool %(name)s was refused without a known reason; a second refusal is its end.",
                "%(num)d keys of the pool %(name)s were refused without a known reason; a second refusal is their end.",
                number,
                name=isolated(pool.name),
            )
            yield Item(f"suspected-{pool.id}", text, url_for(".keys", state="cooling", pool=pool.id), _("Cooling keys"))


def _refused_for_location(number: int) -> Iterator[Item]:
    if number:
        text = ngettext(
            "An upstream refused %(num)d attempt today for the country this server is in. A proxy may help.",
            "An upstream refused %(num)d attempts today for the country this server is in. A proxy may help.",
            number,
        )
        yield Item("location", text, url_for("stats.stat"), _("Errors of today"))
