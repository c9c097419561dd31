"""Programs of the system that some tests cannot do without."""

from __future__ import annotations

import os
import shutil

import pytest


def needed(name: str) -> str:
    """Where a program is; skips the test where it is not, but in CI, where nothing is skipped."""
    # Debian keeps those of servers off the PATH of all but root.
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        missing = f"no `{name}`: neither on PATH nor in /usr/sbin"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found
