"""Points in time as a URL names them: Unix seconds, or the date and time a form sends, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_SECONDS = re.compile(r"\d{1,10}(\.\d{1,6})?")


def parse_moment(given: str) -> float | None:
    """None without one. Raises ValueError for what is no moment."""
    if not given:
        return None
    if _SECONDS.fullmatch(given):
        return float(given)
    at = datetime.fromisoformat(given)
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if not 0 <= seconds < 1e11:
        raise ValueError("no moment")
    return seconds


def for_field(at: float | None) -> str:
    """As `<input type="datetime-local">` shows it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M") if at is not None else ""
