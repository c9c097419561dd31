"""Looks for secrets in everything the suite logs, at DEBUG; a plugin of pytest, so that no test goes without it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from pool.web.logs import QUIET
from pool.web.redacting import Redacting

_TOKEN = r"(?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{43}(?![\w-])"
"""32 random bytes, as sessions have them and, with a `=` behind, encryption keys; no name of a test, which has no
capitals."""

SECRETS = re.compile(
    "|".join(
        (
            *(r"AIzaSy[0-9A-Za-z_-]{20,}", r"(?<![0-9A-Za-z])sk-[0-9A-Za-z_-]{20,}", "sk-proxy-for-the-tests"),
            *(r"(?<![0-9A-Za-z])(?:AQ|ya29)\.[0-9A-Za-z_.-]{20,}", r"(?:Zq8){12}", r"keypool-[0-9a-f]{32}"),
            *(
                "correct horse battery",
                "another horse entirely",
                "a (?:quite|very) long passphrase",
                "a new passphrase",
            ),
            *(r"(?<!\w)[sek]{32,40}(?!\w)", "T000-secret-of-a-chat", _TOKEN),
        )
    )
)
"""How the keys begin that tests use, and what auth keys, user keys, sessions' tokens and made-up passphrases look like;
passwords, passphrases, boot secrets and a webhook's address, as tests have them."""

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
