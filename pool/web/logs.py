"""Logging that lets no secret through: the server's logger and the application's, filtered at the handlers."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger

from pool.web.redacting import Redacting

QUIET = ("urllib3", "requests", "sqlalchemy", "alembic")
"""Libraries that would log URLs and parameters."""


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
