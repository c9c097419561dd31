"""Logging that lets no secret through: the server's logger and the application's, filtered at the handlers."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger

from pool.core.masking import redact

QUIET = ("urllib3", "requests", "sqlalchemy", "alembic")
"""Libraries that would log URLs and parameters."""


class Redacting(logging.Filter):
    """Rewrites a record's text, its traceback included, without what looks like a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


class RedactingLogger(Logger):
    """gunicorn's logger, whose handlers also serve the application's own."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.addFilter(Redacting())
        root = logging.getLogger()
        root.handlers = list(self.error_log.handlers)
        root.setLevel(self.error_log.level)
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)
