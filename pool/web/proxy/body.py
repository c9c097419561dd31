"""Reads a request's body: under a limit, under a deadline, and only after its sender was recognised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from time import monotonic
from typing import Any, TypeVar

import gevent
import orjson
from gunicorn.http.errors import NoMoreData, ParseException
from werkzeug.exceptions import BadRequest, RequestTimeout

from pool.core.faults import Fault

Whole = TypeVar("Whole")

_STEP = 256 * 1024
BASE_S = 30.0
S_A_MEGABYTE = 1.0
_MOST_BYTES = 10**12  # whatever a header announces


def take_in(environ: Mapping[str, Any], limit_bytes: int, take: Callable[[bytes], object]) -> None:
    """Hand the body on piece by piece, under the same limits as `read_body`."""
    length = _length(environ)
    if length is not None and length > limit_bytes:
        raise too_large(limit_bytes)
    stream = environ["wsgi.input"]
    _within(_time_for(limit_bytes), lambda: _hand_on(stream, length, limit_bytes, take))


def read_body(environ: Mapping[str, Any], limit_bytes: int) -> bytes:
    """The whole body. Raises `Fault` 413 past the limit (chunked bodies too), 408 where it trickles in, 400 where
    it ends early. The deadline is 30 s and one more a megabyte."""
    length = _length(environ)
    if length is not None and length > limit_bytes:
        raise too_large(limit_bytes)
    stream = environ["wsgi.input"]
    if isinstance(stream, BytesIO) and length is not None:
        return _exactly(stream, length)  # all of it came with the head: nothing to wait for
    if length is not None and length <= _STEP:
        return _within(BASE_S, lambda: _exactly(stream, length))
    return _within(_time_for(limit_bytes), lambda: _up_to(stream, length, limit_bytes))


class InTime:
    """A body that its reader takes as it comes, as Flask does forms. It is under the same deadline."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = stream
        self._until = monotonic() + _time_for(length)

    def read(self, size: int = -1) -> bytes:
        """Raises werkzeug's 408 where it does not come in time, and its 400 where it is not framed as HTTP wants it."""
        try:
            with gevent.Timeout(max(0.001, self._until - monotonic())):
                piece: bytes = self._stream.read(None if size < 0 else size)
                return piece
        except (ParseException, NoMoreData):
            raise BadRequest from None
        except gevent.Timeout:
            raise RequestTimeout from None


def _time_for(most_bytes: int) -> float:
    return BASE_S + min(most_bytes, _MOST_BYTES) / 1e6 * S_A_MEGABYTE


def _length(environ: Mapping[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    if text.isdigit():
        return int(text)
    return None if environ.get("wsgi.input_terminated") else 0


def _within(seconds: float, read: Callable[[], Whole]) -> Whole:
    try:
        with gevent.Timeout(seconds):
            return read()
    except (ParseException, NoMoreData):
        raise Fault(400, "invalid_body", "The request body is not framed as HTTP wants it, or ended early.") from None
    except gevent.Timeout:
        raise Fault(408, "request_body_timeout", "The request body did not arrive in time.") from None


def _exactly(stream: Any, length: int) -> bytes:
    body = stream.read(length) if length else b""
    if len(body) < length:
        raise Fault(400, "incomplete_body", "The request body ended before its Content-Length.")
    return body


def _up_to(stream: Any, length: int | None, limit_bytes: int) -> bytes:
    pieces: list[bytes] = []
    _hand_on(stream, length, limit_bytes, pieces.append)
    return b"".join(pieces)


def _hand_on(stream: Any, length: int | None, limit_bytes: int, take: Callable[[bytes], object]) -> None:
    size, left = 0, _STEP if length is None else length
    while left and (piece := stream.read(min(_STEP, left))):
        size += len(piece)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        take(piece)
        left = _STEP if length is None else length - size
    if length is not None and size < length:
        raise Fault(400, "incomplete_body", "The request body ended before its Content-Length.")


def too_large(limit_bytes: int) -> Fault:
    return Fault(413, "request_too_large", f"The request body is larger than {limit_bytes // 1_000_000} MB.")


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises `Fault` 400 for anything else."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Fault(400, "invalid_json", f"The request body is not valid JSON: {error}") from None
    if not isinstance(payload, dict):
        raise Fault(400, "invalid_json", "The request body must be a JSON object.")
    return payload
