"""How secrets are shown: `prefix8...suffix4`, and nothing of them in foreign text."""

from __future__ import annotations

import re

_KEY_SHAPES = re.compile(
    r"AIza[0-9A-Za-z_\-]{10,}|GOCSPX-[0-9A-Za-z_\-]{8,}"
    r"|(?<![0-9A-Za-z])(?:(?:AQ|ya29)\.[0-9A-Za-z_\-.]{10,}|sk-[0-9A-Za-z_\-]{12,})"
    r"|(?<=Bearer )[^\s\"'<>]{8,}|(?<=[?&]key=)[^\s&\"'<>]+|(?<=[?&]apikey=)[^\s&\"'<>]+"
)
_SURE_SHAPES = re.compile(
    rb"(?<![0-9A-Za-z])(?:AIza[0-9A-Za-z_\-]{16,}|GOCSPX-[0-9A-Za-z_\-]{16,}|(?:AQ|ya29)\.[0-9A-Za-z_\-.]{16,}"
    rb"|sk-[0-9A-Za-z_\-]{16,})|(?<=[?&]key=)[0-9A-Za-z_\-.]{16,}|(?<=Bearer )[0-9A-Za-z_\-.]{20,}"
)
"""What is a key and nothing else, as it stands in JSON; none of them matches a mask."""
_ESCAPES = re.compile(rb"\\(?:u00([0-9a-fA-F]{2})|(.))", re.DOTALL)
"""Escapes of JSON, each whole, so that what follows an escaped backslash is none."""

_PLAIN = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-.+/=~:")
"""What keys are made of, and no text of JSON need escape."""

_MASKED = re.compile(r".{8}\.{3}.{4}")
_HIDDEN = re.compile(r"\.{3}|…|\*")
_PROJECT = re.compile(r"(?<=projects/)\d+|(?<=project_number:)\d+|(?<=project[ =])\d{6,}")


def mask(secret: str) -> str:
    """First eight and last four characters; `***` where that would show most of it."""
    return f"{secret[:8]}...{secret[-4:]}" if len(secret) >= 16 else "***"


def is_masked(text: str) -> bool:
    """Does a part of it stand for characters left out? Said of anybody's masks; no key holds such a part itself."""
    return bool(_HIDDEN.search(text))


def redact(text: str, *secrets: str) -> str:
    """`text` without anything that looks like a key, without `secrets`, without project numbers.

    Upstreams echo keys: a suspended Gemini key comes back whole in the message and in its metadata.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, mask(secret))
    text = _KEY_SHAPES.sub(lambda found: found[0] if _MASKED.fullmatch(found[0]) else mask(found[0]), text)
    return _PROJECT.sub("…", text)


def redact_bytes(body: bytes, secret: str) -> bytes:
    """The same for an error that goes to a client: touched only where it holds the key itself, or looks like one.

    Some servers write a `/` or a `+` of JSON as `\\/` and `\\u002B`, which its reader turns back.
    """
    plain = _ESCAPES.sub(_unescaped, body) if b"\\" in body else body
    told = plain
    needle = secret.encode()
    if needle and needle in told:
        told = told.replace(needle, mask(secret).encode())
    told = _SURE_SHAPES.sub(lambda found: mask(found[0].decode()).encode(), told)
    return body if told == plain else told


def _unescaped(found: re.Match[bytes]) -> bytes:
    char = bytes.fromhex(found[1].decode()) if found[1] else found[2]
    return char if (found[1] or char == b"/") and char[0] in _PLAIN else found[0]
