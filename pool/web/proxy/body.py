"""Reads a request's body: under a limit, under a deadline, and only after its sender was recognised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gevent
import orjson
from gunicorn.http.errors import NoMoreData, ParseException

from pool.core.faults import Fault

_STEP = 256 * 1024
_BASE_S = 30.0
_S_A_MEGABYTE = 1.0


def read_body(environ: Mapping[str, Any], limit_bytes: int) -> bytes:
    """The whole body. Raises `Fault` 413 past the limit (chunked bodies too), 408 where it trickles in, 400 where
    it ends early. The deadline is 30 s and one more a megabyte."""
    length = _length(environ)
    if length is not None and length > limit_bytes:
        raise too_large(limit_bytes)
    stream = environ["wsgi.input"]
    if length is not None and length <= _STEP:
        return _within(_BASE_S, lambda: _exactly(stream, length))
    return _within(_BASE_S + limit_bytes / 1e6 * _S_A_MEGABYTE, lambda: _up_to(stream, length, limit_bytes))


def _length(environ: Mapping[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    if text.isdigit():
        return int(text)
    return None if environ.get("wsgi.input_terminated") else 0


def _within(seconds: float, read: Any) -> bytes:
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
    pieces, size = [], 0
    while piece := stream.read(_STEP):
        pieces.append(piece)
        size += len(piece)
        if size > limit_bytes:
            raise too_large(limit_bytes)
    if length is not None and size < length:
        raise Fault(400, "incomplete_body", "The request body ended before its Content-Length.")
    return b"".join(pieces)


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
