"""The names of the ways to choose the next key, and what others call them."""

from __future__ import annotations

ROUND_ROBIN, WEIGHTED, LEAST_USED, RANDOM, LRU, ADAPTIVE = POLICIES = (
    "round_robin",
    "weighted",
    "least_used",
    "random",
    "lru",
    "adaptive",
)
POLICY_ALIASES = {
    "roundRobin": ROUND_ROBIN,
    "rr": ROUND_ROBIN,
    "leastUsed": LEAST_USED,
    "weighted_random": WEIGHTED,
    "weightedRandom": WEIGHTED,
    "smart": ADAPTIVE,
}


def canonical_policy(name: str) -> str | None:
    """The policy a client or a setting means; None where there is none of that name."""
    name = POLICY_ALIASES.get(name, name)
    return name if name in POLICIES else None
