"""Looks for secrets in everything the suite logs, at DEBUG; a plugin of pytest, so that no test goes without it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from pool.web.logs import QUIET
from pool.web.redacting import Redacting

SECRETS = re.compile(
    r"AIzaSy[0-9A-Za-z_-]{20,}|(?<![0-9A-Za-z])sk-[0-9A-Za-z_-]{20,}|sk-proxy-for-the-tests|correct horse battery"
)
"""How the keys begin that tests use, what auth keys and user keys look like, and the password."""

OURS = ("pool", "keypool")


def told(text: str) -> list[str]:
    """The lines of a log that a secret is in."""
    return [line for line in text.splitlines() if SECRETS.search(line)]


class Listener(logging.Handler):
    """Keeps the lines no log may have: as they are written, redacted; our own even before they are."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(OURS):
            self.found += told(record.getMessage())
        copy = logging.makeLogRecord(record.__dict__)
        Redacting().filter(copy)
        self.found += told(self.format(copy))


listener = Listener()


def pytest_configure() -> None:
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger().addHandler(listener)


@pytest.fixture(autouse=True)
def no_secret_in_a_log() -> Iterator[None]:
    yield
    found, listener.found = listener.found, []
    assert found == []
