"""The id of the request that is served: made when it begins, named in its answer and in what is logged meanwhile."""

from __future__ import annotations

import time
from contextvars import ContextVar
from random import Random
from secrets import token_hex

_ids = Random(token_hex(16))
# A greenlet has a context of its own, and a connection is one greenlet: each of its requests begins anew.
_serving: ContextVar[str] = ContextVar("serving", default="")


def new_request_id() -> str:
    """Its time first, so that the index over all of them grows at its end."""
    return f"req_{int(time.time() * 1000):011x}{_ids.getrandbits(52):013x}"


def begin_request() -> str:
    """A new id, which is that of all this greenlet logs from now on."""
    request_id = new_request_id()
    _serving.set(request_id)
    return request_id


def end_request() -> None:
    """What this greenlet logs from now on belongs to no request."""
    _serving.set("")


def serving() -> str:
    """The id of the request that this greenlet serves, or an empty text."""
    return _serving.get()
