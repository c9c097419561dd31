"""Writes answers: the head, and a body that is whole, or tells that it is not."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from pool.core.calls import GEMINI
from pool.core.dialects import render_stream_fault
from pool.core.faults import Fault
from pool.relay import Answer

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_INLINE = ("application/json", "text/event-stream", "image/", "audio/", "video/")
_EVENTS = ("text/event-stream", "application/json")


class CutShort(OSError):
    """Ends a response in the middle, and its connection with it: to the server it looks as if the client had left."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the answer broke off")


def send(
    answer: Answer,
    dialect: str,
    headers: list[tuple[str, str]],
    environ: Mapping[str, Any],
    start_response: Callable[..., Any],
) -> Iterable[bytes]:
    """Begin the response, and hand its body on. `headers` are those of every answer."""
    headers += answer.headers
    if not _inline(answer.headers):
        headers.append(("Content-Disposition", "attachment"))
    if not isinstance(answer.body, bytes):
        start_response(_status_line(answer.status), headers)
        answer.body.write = environ.get("keypool.write_now")
        return _Body(answer, dialect)
    if answer.status not in (204, 304):
        headers.append(("Content-Length", str(len(answer.body))))
    start_response(_status_line(answer.status), headers)
    return () if environ["REQUEST_METHOD"] == "HEAD" else (answer.body,)


def _status_line(status: int) -> str:
    return _STATUS_LINES.get(status) or f"{status} Upstream Status"


def _inline(headers: list[tuple[str, str]]) -> bool:
    return _kind(headers).startswith(_INLINE)


def _kind(headers: list[tuple[str, str]]) -> str:
    return next((value.lower() for name, value in headers if name == "Content-Type"), "")


class _Body:
    """A streamed body. A failure after the commit point ends it with an error event, never with a clean end.

    Bytes that are no events have no place for one: there the connection is cut, so that nobody takes them for whole.
    """

    def __init__(self, answer: Answer, dialect: str) -> None:
        assert not isinstance(answer.body, bytes)
        self._answer = answer
        self._flow = answer.body
        self._dialect = dialect

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._flow
        except Fault as fault:
            kind = _kind(self._answer.headers)
            if not kind.startswith(_EVENTS):
                raise CutShort from None
            array = self._dialect == GEMINI and kind.startswith("application/json")
            began, number = self._flow.began, self._flow.number
            last = render_stream_fault(self._dialect, fault, array=array, first=not began, number=number)
            fault.told()
            yield last

    def close(self) -> None:
        self._answer.close()
