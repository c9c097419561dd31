"""How each upstream itself is doing: its retry budget, and whether a storm goes over its keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from .retrying import RetryBudget
from .storms import Storm


@dataclass(slots=True)
class Standing:
    """What is known of one upstream."""

    budget: RetryBudget = field(default_factory=RetryBudget)
    storm: Storm = field(default_factory=Storm)


class Outages:
    """One standing a provider, by its slug."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}

    def of(self, slug: str) -> Standing:
        standing = self._standings.get(slug)
        if standing is None:
            standing = self._standings[slug] = Standing()
        return standing

    def storms(self) -> dict[str, Storm]:
        """The upstreams a storm goes over now, or went over since the start."""
        return {
            slug: standing.storm
            for slug, standing in self._standings.items()
            if standing.storm.kind or standing.storm.past
        }
