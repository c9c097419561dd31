"""The models that a pool, or the holder of a client key, can call, for a page that cannot wait for them."""

from __future__ import annotations

import gevent
import gevent.event

from pool.core.catalogue import Client
from pool.core.faults import Fault
from pool.relay import Caller
from pool.web.here import caller_ip, keypool

PATIENCE_S = 0.15
"""How long a page waits for a list that is not here yet; the next look has it."""


def model_names(pool_id: int, client: Client | None = None) -> list[str]:
    """By the live list, which is asked for beside the page where it is not here; empty until it is."""
    pool = keypool().catalogue.pools.get(pool_id)
    if pool is None:
        return []
    models, caller = keypool().models, Caller(pool, client, caller_ip())
    found: gevent.event.AsyncResult[list[str]] = gevent.event.AsyncResult()

    def find() -> None:
        try:
            found.set(sorted(model.id for model in models.of(caller)))
        except Fault:
            found.set([])

    gevent.spawn(find)
    try:
        return found.get(timeout=PATIENCE_S)
    except gevent.Timeout:
        return []
