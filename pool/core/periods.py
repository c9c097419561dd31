"""When the periods began that budgets are reckoned in."""

from __future__ import annotations

from datetime import datetime

from .quota import PACIFIC


def month_began(now: float) -> float:
    """The beginning of the month in force at `now` (Unix seconds), in Los Angeles, where quota days begin too."""
    local = datetime.fromtimestamp(now, PACIFIC)
    return datetime(local.year, local.month, 1, tzinfo=PACIFIC).timestamp()
