"""The way in for whoever may read the instance's folder: a Unix socket in it, which only its owner can open."""

from __future__ import annotations

import os
from pathlib import Path

BY_SOCKET = "keypool.by_admin_socket"
"""Set in the environment of a request that came this way. No header can: those begin with `HTTP_`."""

LONGEST = 100
"""Bytes of a path that every system takes for a Unix socket's."""


def socket_path(instance: Path | str) -> Path:
    return Path(instance) / "admin.sock"


def can_be_bound(instance: Path | str) -> bool:
    return len(os.fsencode(socket_path(instance))) <= LONGEST
