"""What no line of a log may hold, and the filter that sees to it at every handler."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pool.core.masking import redact

SHORTEST = 8
"""Shorter secrets are words, too: to hide them would make the log unreadable."""

_hidden: set[str] = set()


def hide(secrets: Iterable[str]) -> None:
    """Let nothing be logged from now on that holds one of these, which look like no key."""
    _hidden.update(secret for secret in secrets if len(secret) >= SHORTEST)


class Redacting(logging.Filter):
    """Rewrites a record's text, its traceback included, without what looks like a key or is hidden."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(_message(record), *_hidden), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text, *_hidden)
        if record.stack_info:
            record.stack_info = redact(record.stack_info, *_hidden)
        return True


def _message(record: logging.LogRecord) -> str:
    """A line that somebody wrote wrongly must not fail the request it tells of: a filter's errors go to who logs."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} (without its values, which do not fit)"
