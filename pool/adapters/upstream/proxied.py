"""Exchanges through an outbound proxy: the stock `requests` adapter, one connection each, never kept."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import gevent
import requests
from gevent.queue import Empty, Queue
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, MaxRetryError

from pool.adapters.upstream.gunzip import Gunzip, decoder_for
from pool.adapters.upstream.heads import head_of, sendable
from pool.adapters.upstream.resolver import Resolver
from pool.core.calls import Target, Upload
from pool.core.faults import Broken, CannotConnect, TimedOut, UpstreamError

PIECE_BYTES = 64 * 1024
PIECES_AHEAD = 2


class ProxiedExchange:
    """As `Exchange`, but `wait()` may raise `CannotConnect` too: proxy, TLS and request are one step here.

    A greenlet of its own does the blocking calls, so that the caller can be patient for a while.
    """

    def __init__(self, target: Target, tls: ssl.SSLContext, resolver: Resolver, unpacked_limit_bytes: int) -> None:
        head_of(target.method, target.url, target.headers)  # the same checks as without a proxy
        self._timeouts = target.timeouts
        self._unpacked_limit_bytes = unpacked_limit_bytes
        self._gunzip: Gunzip | None = None
        self._bodiless = target.method == "HEAD"
        self._closed = False
        self._ended = False
        self._heard_at = monotonic()
        self.status = 0
        self.headers: dict[str, str] = {}
        self._came: Queue[Any] = Queue(PIECES_AHEAD)
        # It must not know this object: dropping the last handle has to end it.
        self._carrier = gevent.spawn(_carry, target, tls, resolver, self._came)

    def __repr__(self) -> str:
        return f"ProxiedExchange({self.status or 'waiting'})"

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    def wait(self, patience_s: float | None = None) -> bool:
        if self.status:
            return True
        silence_s = self._timeouts.connect_s + self._timeouts.first_byte_s
        try:
            head = self._next("first_byte", silence_s, patience_s)
            if head is None:
                return False
            status, headers = head
            self._gunzip = decoder_for(headers, self._unpacked_limit_bytes)
        except BaseException:
            self.close()
            raise
        self.status, self.headers = status, headers
        return True

    def read1(self, patience_s: float | None = None, passing: object = None) -> bytes | None:
        try:
            if not self.wait(patience_s):
                return None
            while True:
                if self._gunzip is not None and (unpacked := self._gunzip.next()):
                    return unpacked
                if self._ended:
                    return self._clean_end()
                piece = self._next("idle", self._timeouts.idle_s, patience_s)
                if piece is None:
                    return None
                self._ended = not piece
                if self._gunzip is None and piece:
                    return piece
                if self._gunzip is not None:
                    self._gunzip.feed(piece)
        except BaseException:
            self.close()
            raise

    def read(self, limit_bytes: int) -> bytes:
        body = bytearray()
        while piece := self.read1():
            body += piece
            if len(body) > limit_bytes:
                self.close()
                raise Broken("the answer's body is too large")
        return bytes(body)

    def close(self) -> None:
        self._closed = True
        if not self._ended:
            self._carrier.kill(block=False)
            # Whoever waits learns of it; whatever was ahead is dropped.
            while not self._came.empty():
                self._came.get_nowait()
            self._came.put_nowait(Broken("the exchange is closed"))

    def _next(self, phase: str, silence_s: float, patience_s: float | None) -> Any:
        """What the carrier brings next; None when patience ended first."""
        if self._closed:
            raise Broken("the exchange is closed")
        silence_ends = self._heard_at + silence_s
        patience_ends = inf if patience_s is None else monotonic() + patience_s
        try:
            came = self._came.get(timeout=max(min(silence_ends, patience_ends) - monotonic(), 0.001))
        except Empty:
            if monotonic() < silence_ends:
                return None
            raise TimedOut(phase) from None
        self._heard_at = monotonic()
        if isinstance(came, UpstreamError):
            raise came
        return came

    def _clean_end(self) -> bytes:
        empty = self._bodiless or self.status in (204, 304)
        if self._gunzip is not None and not self._gunzip.finished and not empty:
            raise Broken("the answer's gzip body was cut")
        return b""


class _StockAdapter(HTTPAdapter):
    """Trusts what the fast engine trusts, on the way to the proxy too."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._tls, "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"  # `ssl_context` holds the certificates

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if proxy.lower().startswith("https"):
            options["proxy_ssl_context"] = self._tls
        return super().proxy_manager_for(proxy, **options)


def _carry(target: Target, tls: ssl.SSLContext, resolver: Resolver, came: Queue[Any]) -> None:
    """Put the head, each piece of the body and b"" on the queue; an error ends it early."""
    adapter = _StockAdapter(tls)
    response = None
    try:
        response = _send(adapter, target, _resolved(target, resolver))
        headers = {name.lower(): value for name, value in response.headers.items()}
        # http.client takes 102 to 199 for the final answer.
        if not 200 <= response.status_code <= 599:
            raise Broken("the answer was not a final one")
        came.put((response.status_code, headers))
        while piece := response.raw.read1(PIECE_BYTES, decode_content=False):
            came.put(piece)
        came.put(b"")
    except UpstreamError as e:
        came.put(e)
    except (HTTPError, OSError, ValueError):
        came.put(Broken("the answer was cut"))
    finally:
        if response is not None:
            response.close()
        adapter.close()


def _resolved(target: Target, resolver: Resolver) -> str:
    """The proxy's URL with its address for its name: the stock look-up would wait in the hub's own threads.

    Only for plain proxies; TLS needs the name.
    """
    url = target.proxy_url or ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise CannotConnect("the proxy URL is not valid") from None
    if parts.scheme.lower() != "http" or not host:
        return url
    family, address = resolver.addresses(host, port, monotonic() + target.timeouts.connect_s)[0]
    literal = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
    credentials, at, _ = parts.netloc.rpartition("@")
    return f"http://{credentials}{at}{literal}:{port}"


def _send(adapter: HTTPAdapter, target: Target, proxy_url: str) -> requests.Response:
    """`from None` throughout: the texts of requests and urllib3 quote the URL, with its key."""
    timeouts = target.timeouts
    try:
        prepared = requests.PreparedRequest()
        prepared.prepare(target.method, target.url, dict(sendable(target.headers)), data=_data(target.body))
        prepared.headers["Connection"] = "close"
        proxies = {"http": proxy_url, "https": proxy_url}
        limits = (timeouts.connect_s, timeouts.first_byte_s)
        return adapter.send(prepared, stream=True, timeout=limits, proxies=proxies)
    except requests.ReadTimeout:
        raise TimedOut("first_byte") from None
    except requests.exceptions.InvalidSchema:
        raise CannotConnect("this kind of proxy is not supported") from None
    except requests.exceptions.ProxyError:
        raise CannotConnect("the proxy refused or could not be reached") from None
    except requests.exceptions.SSLError:
        raise CannotConnect("TLS was refused") from None
    except requests.ConnectionError as e:
        if e.args and isinstance(e.args[0], MaxRetryError):
            raise CannotConnect("no connection through the proxy") from None
        raise Broken("the connection broke") from None
    except (requests.RequestException, HTTPError, ValueError):
        raise CannotConnect("the request or its proxy URL is not valid") from None


class _Body:
    """An upload as `requests` takes one whose length it can tell."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def __len__(self) -> int:
        return len(self._upload)

    def __iter__(self) -> Iterator[bytes]:
        return self._upload.pieces()


def _data(body: bytes | Upload) -> Any:
    return body if isinstance(body, bytes) else _Body(body)
