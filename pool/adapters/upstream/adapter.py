"""The engine as a `requests` adapter, for code that speaks `requests`."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from pool.adapters.upstream.exchange import Exchange
from pool.adapters.upstream.proxied import ProxiedExchange
from pool.core.calls import Target, Timeouts
from pool.core.faults import Broken, CannotConnect, TimedOut, UpstreamError

_NO_COOKIES: Any = requests.cookies.cookiejar_from_dict({})


class Body:
    """The decoded body of an exchange, as the file-like `raw` of a response."""

    def __init__(self, exchange: Exchange | ProxiedExchange) -> None:
        self._exchange = exchange
        self._rest = b""

    def read1(self, size: int = -1, decode_content: bool = True) -> bytes:
        """What is here, or as soon as something is; b"" at the clean end."""
        piece = self._rest or self._next()
        if size < 0:
            size = len(piece)
        self._rest = piece[size:]
        return piece[:size]

    def read(self, size: int | None = -1, decode_content: bool = True) -> bytes:
        left = None if size is None or size < 0 else size
        pieces = []
        while left != 0 and (piece := self.read1(-1 if left is None else left)):
            pieces.append(piece)
            left = None if left is None else left - len(piece)
        return b"".join(pieces)

    def stream(self, size: int = 65536, decode_content: bool = True) -> Iterator[bytes]:
        while piece := self.read1(size):
            yield piece

    def close(self) -> None:
        self._exchange.close()

    release_conn = close

    def _next(self) -> bytes:
        try:
            return self._exchange.read1() or b""
        except TimedOut as e:
            raise requests.ReadTimeout(str(e)) from e
        except UpstreamError as e:
            raise requests.exceptions.ChunkedEncodingError(str(e)) from e


class Response(requests.Response):
    """A response without a cookie jar of its own: nobody here keeps cookies, and making one costs."""

    def __init__(self, exchange: Exchange | ProxiedExchange, request: requests.PreparedRequest) -> None:
        self._content = False  # type: ignore[assignment]
        self._content_consumed = False
        self._next = None
        self.exchange = exchange
        self.status_code = exchange.status
        self.headers = CaseInsensitiveDict(exchange.headers)
        self.raw = Body(exchange)
        self.url = request.url or ""
        self.encoding = requests.utils.get_encoding_from_headers(self.headers)
        self.history = []
        self.reason = ""
        self.cookies = _NO_COOKIES
        self.elapsed = datetime.timedelta(0)
        self.request = request


class FastAdapter(BaseAdapter):
    """Mount it on a session, or call `send()`. Certificates are always verified; redirects are the caller's."""

    def __init__(self, upstream: Any) -> None:
        super().__init__()
        self._upstream = upstream

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Raises what `requests` raises: ConnectionError, ConnectTimeout's parent, or ReadTimeout."""
        if not verify or cert:
            raise ValueError("unverified TLS and client certificates are not supported")
        try:
            exchange = self._upstream.start(_target(request, timeout, proxies or {}))
            exchange.wait()
        except TimedOut as e:
            raise requests.ReadTimeout(str(e)) from e
        except (CannotConnect, Broken) as e:
            raise requests.ConnectionError(str(e)) from e
        response = Response(exchange, request)
        if not stream:
            _ = response.content
        return response

    def close(self) -> None:
        """Nothing: the upstream is shared, and closed by whoever made it."""


def _target(request: requests.PreparedRequest, timeout: Any, proxies: Mapping[str, str]) -> Target:
    url, body = request.url or "", request.body or b""
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes):
        raise ValueError("only whole bodies can be sent")
    headers = tuple((str(name), str(value)) for name, value in request.headers.items())
    proxy_url = proxies.get(url.partition(":")[0])
    return Target(request.method or "GET", url, headers, body, _timeouts(timeout), proxy_url)


def _timeouts(timeout: Any) -> Timeouts:
    """`requests` knows one number, or a pair for connecting and reading; None means our defaults."""
    connect_s, read_s = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    default = Timeouts()
    return Timeouts(connect_s or default.connect_s, read_s or default.first_byte_s, read_s or default.idle_s)
