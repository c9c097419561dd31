"""`PoolState` of several workers: counts in Redis, words in a stream, and a worker's own share while Redis is away."""

from .membership import Patience
from .state import RedisState

__all__ = ["Patience", "RedisState"]
