"""Requests as nearly everybody sends them, read in one go; whatever is the least unusual is gunicorn's to read.

Nothing is decided here that gunicorn would decide otherwise: `plain` takes a subset of what it takes, and reads that
as it does. A quarter of what a proxied request cost went into heads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

import gevent
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader
from gunicorn.http.wsgi import base_environ

MOST_BYTES = 8_000
MOST_FIELDS = 90
"""Below every limit of the configuration, so that none has to be looked at here."""

UNREAD_S = 10.0
"""How long the rest of a body may take that nobody wanted, before its connection ends."""

_FIRST = re.compile(r"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (/(?!/)[\x21\x22\x24-\x7e]*) HTTP/1\.1")
_NAME = re.compile(r"[!#$%&'*+\-.^`|~0-9A-Za-z]+")
"""A token without `_`, which would be the same as `-` where it comes to an environment's names."""

_LENGTH, _CONNECTION = "CONTENT_LENGTH", "HTTP_CONNECTION"
_BARE = {"CONTENT-LENGTH": _LENGTH, "CONTENT-TYPE": "CONTENT_TYPE"}
_UNUSUAL = frozenset(
    {"TRANSFER-ENCODING", "TRAILER", "EXPECT", "UPGRADE", "X-FORWARDED-PROTO", "X-FORWARDED-PROTOCOL",
     "X-FORWARDED-SSL"}
)  # fmt: skip
"""Fields that say how the rest is framed, or what a proxy may say of the scheme."""


class PlainRequest:
    """What a server needs of a request. `fields` are its headers by their names in an environment."""

    __slots__ = ("body", "closes", "fields", "method", "path", "query", "uri")

    version = (1, 1)
    scheme = "http"

    def __init__(self, method: str, uri: str, fields: dict[str, str], body: Any) -> None:
        self.method = method
        self.uri = uri
        self.path, _, self.query = uri.partition("?")
        self.fields = fields
        self.body = body
        self.closes = fields.get(_CONNECTION, "").lower() == "close"

    def should_close(self) -> bool:
        return self.closes

    def force_close(self) -> None:
        self.closes = True

    def environ(self, base: Mapping[str, Any], client: Any, peer: tuple[str, int]) -> dict[str, Any]:
        """Its WSGI environment; `base` has what is the same for every request."""
        path = self.path
        return {
            **base,
            **self.fields,
            "wsgi.input": self.body,
            "gunicorn.socket": client,
            "REQUEST_METHOD": self.method,
            "QUERY_STRING": self.query,
            "RAW_URI": self.uri,
            "REMOTE_ADDR": peer[0],
            "REMOTE_PORT": str(peer[1]),
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1") if "%" in path else path,
        }


def environ_base(cfg: Any, listener_name: tuple[str, int]) -> dict[str, Any]:
    """What the environments of all requests to a listener share."""
    return {
        **base_environ(cfg),
        "wsgi.multithread": True,
        "wsgi.url_scheme": "http",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": listener_name[0],
        "SERVER_PORT": str(listener_name[1]),
        "SCRIPT_NAME": "",
    }


class Parser(RequestParser):
    """gunicorn's, but for plain requests."""

    mesg: Any

    def rest_read(self) -> bool:
        """Is the last request's body at its end? Who lets the rest of it drip in is not waited for."""
        if self.mesg is None or isinstance(self.mesg.body, BytesIO):
            return True
        # gunicorn's own deadline is one of each kilobyte. Of a body that is broken nobody is told: the answer is out.
        with gevent.Timeout(UNREAD_S, False), suppress(ParseException, NoMoreData):
            return bool(self.finish_body())
        return False

    def plain(self) -> PlainRequest | None:
        """The request whose first bytes are here, if it is a plain one; None leaves them to `next`.

        Raises StopIteration where the connection ended instead.
        """
        if self.mesg is not None:
            if self.mesg.should_close() or not self.rest_read():
                raise StopIteration
            self.mesg = None
        data = self.unreader.read()
        if not data:
            raise StopIteration
        request = plain(data, self.unreader)
        if request is None:
            self.unreader.unread(data)
        else:
            self.req_count += 1
            self.mesg = request
        return request


def plain(data: bytes, unreader: Unreader) -> PlainRequest | None:
    """The request that begins with `data`; what follows it is unread. None where it takes gunicorn to read it."""
    end = data.find(b"\r\n\r\n", 0, MOST_BYTES)
    if end < 0:
        return None
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    begun = _FIRST.fullmatch(first)
    if begun is None or len(lines) > MOST_FIELDS:
        return None
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = _key(name)
        value = value.strip(" \t")
        if not key or not colon or key in fields or not (value.isascii() and value.isprintable()):
            return None
        fields[key] = value
    if fields.get(_CONNECTION, "close").lower() not in ("close", "keep-alive"):
        return None
    length = fields.get(_LENGTH, "0")
    if not length.isdigit() or len(length) > 15:
        return None
    return PlainRequest(begun[1], begun[2], fields, _body(int(length), data[end + 4 :], unreader))


@lru_cache(maxsize=1024)
def _key(name: str) -> str:
    """A header's name in an environment; empty for one that is not plain."""
    upper = name.upper()
    if not _NAME.fullmatch(name) or upper in _UNUSUAL:
        return ""
    return _BARE.get(upper) or "HTTP_" + upper.replace("-", "_")


def _body(length: int, rest: bytes, unreader: Unreader) -> Any:
    """The body: in memory where all of it came with the head."""
    if len(rest) > length:
        unreader.unread(rest[length:])
        rest = rest[:length]
    if len(rest) == length:
        return BytesIO(rest)
    unreader.unread(rest)
    return Body(LengthReader(unreader, length))
