"""What alerts ask of the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from pool.adapters import queries
from pool.adapters.database import Database
from pool.adapters.queries.key_filters import HEALTHY
from pool.adapters.queries.runway import HOUR_S, runways
from pool.core.catalogue import Catalogue
from pool.core.quota import last_reset, next_reset


class DatabaseEyes:
    """`alerting.Eyes` by the roll-ups and the keys' rows: nothing is counted for it on the request path."""

    def __init__(
        self, database: Database, catalogue: Catalogue, quota_reset: Callable[[], str], clock: Callable[[], float]
    ) -> None:
        self._database, self._catalogue, self._quota_reset, self._clock = database, catalogue, quota_reset, clock

    def keys(self) -> Mapping[str, int]:
        standings = self._database.read(queries.standing_by_pool, self._clock())
        enabled = {pool.name for pool in self._catalogue.pools.values() if pool.enabled}
        return {pool: standings.get((pool, HEALTHY), 0) for pool, _ in standings if pool in enabled}

    def endings(self, since: int, until: int) -> Counter[str]:
        traffic = self._database.read(queries.traffic_between, since, until)
        return Counter(ok=traffic.successes, failed=traffic.errors)

    def hours_left(self) -> Mapping[str, float]:
        now, reset = self._clock(), self._quota_reset()
        day_began, resets_at = int(last_reset(now, reset) // HOUR_S) * HOUR_S, next_reset(now, reset)
        found = self._database.read(runways, now, day_began, resets_at)
        ends = ((each.model, each.dry_at(now, resets_at)) for each in found)
        return {model: (at - now) / HOUR_S for model, at in ends if at is not None}
