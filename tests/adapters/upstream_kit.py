"""What the tests of the HTTP engine share: a target in one line, and both ends of a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pool.adapters.upstream import Upstream
from pool.core.calls import Target, Timeouts
from tests.upstream import Action, Behaviour, ScriptedUpstream

QUICK = Timeouts(connect_s=1.0, first_byte_s=1.0, idle_s=1.0)


def target(server: ScriptedUpstream | str, path: str = "/v1/x", **changes: Any) -> Target:
    url = server if isinstance(server, str) else server.url + path
    fields: dict[str, Any] = {
        "method": "POST",
        "url": url,
        "headers": (("Content-Type", "application/json"), ("x-goog-api-key", "AIzaSecret")),
        "body": b"{}",
        "timeouts": QUICK,
    }
    return Target(**(fields | changes))


@contextmanager
def both(script: Action | Behaviour | None = None, **options: Any) -> Iterator[tuple[ScriptedUpstream, Upstream]]:
    """A scripted server and an engine."""
    engine = Upstream(**options)
    try:
        with ScriptedUpstream(script) as server:
            yield server, engine
    finally:
        engine.close()
