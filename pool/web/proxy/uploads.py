"""Resumable uploads: their addresses become our own on the way to a client, and the upstream's on the way back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from pool.core.providers import encode_query
from pool.web.access import without_credentials

SESSIONS = "uploads/"
LIFE_S = 7 * 86_400.0
"""Google ends an upload that nobody goes on with after a week."""

_ADDRESSES = ("x-goog-upload-url", "x-goog-upload-control-url", "location")


def session_name(path: str, query: str) -> str:
    """What an upload is remembered as. Its address is the right to go on with it, and is kept by its hash alone."""
    pairs = without_credentials(query)
    told = dict(pairs).get("upload_id") or f"{path}?{encode_query(sorted(pairs))}"
    return SESSIONS + hashlib.sha256(told.encode()).hexdigest()[:40]


def name_of(address: str) -> str:
    """The same from an upload's address at the upstream."""
    parts = urlsplit(address)
    path = parts.path
    return session_name(path[max(0, path.find("/upload/")) :], parts.query)


def address_in(headers: Mapping[str, str]) -> str:
    """Where an answer says an upload goes on; "" where it says nothing of the kind."""
    return headers.get("x-goog-upload-url", "")


def is_over(headers: Mapping[str, str]) -> bool:
    return headers.get("x-goog-upload-status", "") in ("final", "cancelled")


def with_own_addresses(
    headers: list[tuple[str, str]], environ: Mapping[str, Any], roots: Iterable[str]
) -> list[tuple[str, str]]:
    """Headers whose addresses lead back here, and hold no key."""
    if not any(name.lower() in _ADDRESSES for name, _ in headers):
        return headers
    return [
        (name, own_address(value, environ, roots) if name.lower() in _ADDRESSES else value) for name, value in headers
    ]


def own_address(address: str, environ: Mapping[str, Any], roots: Iterable[str]) -> str:
    """An upstream's address as a client of ours reaches it."""
    parts = urlsplit(address)
    path = parts.path
    for root in roots:
        below = urlsplit(root).path
        if below and path.startswith(below + "/"):
            path = path[len(below) :]
            break
    query = encode_query(without_credentials(parts.query))
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return f"{environ['wsgi.url_scheme']}://{host}{path}" + (f"?{query}" if query else "")
