"""Tells one address what happened: JSON by POST, in a form that chats and scripts both read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

log = logging.getLogger(__name__)

TIMEOUT_S = (5.0, 10.0)
"""To connect, and between two pieces of the answer."""


class Webhook:
    """The address is a secret: those of chats hold the right to write there. Only its host is ever told."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __repr__(self) -> str:
        return f"Webhook({urlsplit(self._url).hostname})"

    def tell(self, message: Mapping[str, Any]) -> bool:
        """Whether it was taken: a 2xx within the time. A redirect is not followed, it could lead anywhere."""
        host = urlsplit(self._url).hostname
        try:
            answer = requests.post(self._url, json=dict(message), timeout=TIMEOUT_S, allow_redirects=False)
        except requests.RequestException as error:
            # Their texts quote the address.
            log.warning("the alert for %s was not delivered: %s", host, type(error).__name__)
            return False
        if not answer.ok or answer.is_redirect:
            log.warning("the alert for %s was not delivered: %d", host, answer.status_code)
            return False
        return True
