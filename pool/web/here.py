"""What every view reaches for: the app's own things, the time, and the audit trail."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import gevent
from flask import current_app, g, request

from pool.adapters import queries

T = TypeVar("T")


def keypool() -> Any:
    """The `Keypool` of this app: database, inventory, catalogue, state…"""
    return current_app.extensions["keypool"]


def read(query: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Ask the database."""
    return keypool().database.read(query, *args, **kwargs)


def write(change: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Change the database, in one transaction."""
    return keypool().database.write(change, *args, **kwargs)


def aside(work: Callable[..., T], *args: Any) -> T:
    """Run pure but long work in a thread, so that streams go on meanwhile."""
    return gevent.get_hub().threadpool.apply(work, args)


def now() -> float:
    return time.time()


def caller_ip() -> str:
    return request.remote_addr or ""


def audit(
    action: str,
    thing: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> int:
    """Remember that the admin did `action` to `thing` ("key 7"); the id of that entry. No secret belongs here."""
    return write(
        queries.add_to_trail,
        at=now(),
        who="admin",
        via=g.get("via", "session"),
        ip=caller_ip(),
        action=action,
        object=thing,
        before=before,
        after=after,
    )
