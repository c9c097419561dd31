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
    value, error = gevent.get_hub().threadpool.apply(_outcome, (work, args))
    if error is not None:
        raise error
    return value


def _outcome(work: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    # Returned, not raised: the hub would print a traceback of what its caller is about to handle.
    try:
        return work(*args), None
    except BaseException as error:  # noqa: BLE001 — it is raised again, in the caller's greenlet
        return None, error


def now() -> float:
    return time.time()


def browsing() -> bool:
    """Does a person's browser ask, for a page to look at? A program names no kind of answer, or JSON."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def caller_ip() -> str:
    return request.remote_addr or ""


def audit(
    action: str,
    thing: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> int:
    """Remember that the admin did `action` to `thing` ("key 7"); the id of that entry. No secret belongs here."""
    return auditor()(action, thing, before, after)


def auditor() -> Callable[..., int]:
    """`audit` for a job to call when no request is there any more: who asks now is who did it."""
    who = {"who": "admin", "via": g.get("via", "session"), "ip": caller_ip()}
    remember = keypool().database.write

    def audit_later(
        action: str, thing: str, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None
    ) -> int:
        return remember(
            queries.add_to_trail, at=now(), **who, action=action, object=thing, before=before, after=after
        )  # fmt: skip

    return audit_later
