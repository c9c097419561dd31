"""Logging that lets no secret through: the server's logger and the application's, filtered at the handlers."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from gunicorn.glogging import Logger

from pool.web.redacting import Redacting
from pool.web.request_ids import serving

QUIET = ("urllib3", "requests", "sqlalchemy", "alembic")
"""Libraries that would log URLs and parameters."""


class Naming(logging.Filter):
    """Gives a record the id of the request that is served."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = serving()
        return True


class TextLine(logging.Formatter):
    """As gunicorn writes them, with the request's id where there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s [%(process)d] [%(levelname)s]%(request)s %(message)s", "[%Y-%m-%d %H:%M:%S %z]")

    def formatMessage(self, record: logging.LogRecord) -> str:
        request_id = getattr(record, "request_id", "")
        record.request = f" [{request_id}]" if request_id else ""
        return super().formatMessage(record)


class JsonLine(logging.Formatter):
    """One object a line, stacks within it. What libraries attach besides is left out, because nothing redacts it."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "request_id": getattr(record, "request_id", "") or None,
            "message": record.getMessage(),
            "exception": record.exc_text or (self.formatException(record.exc_info) if record.exc_info else None),
            "stack": record.stack_info,
        }
        # In ASCII: a name with half a surrogate in it must not cost the line, whatever the terminal speaks.
        return json.dumps({name: value for name, value in line.items() if value is not None})


class TextLogger(Logger):
    """For LOG_FORMAT=text: gunicorn's logger, whose handlers also serve the application's own and Python's warnings."""

    formatter: type[logging.Formatter] = TextLine

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(self.formatter())
            handler.addFilter(Naming())
            handler.addFilter(Redacting())
        logging.captureWarnings(True)
        root = logging.getLogger()
        root.handlers = list(self.error_log.handlers)
        root.setLevel(self.error_log.level)
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)


class JsonLogger(TextLogger):
    """For LOG_FORMAT=json."""

    formatter = JsonLine
