"""What can go wrong, as exceptions that carry the decision their catcher needs.

`Fault` is what a client is told; each dialect renders it in its own shape (`dialects.render_fault`).
`UpstreamError` and its children are what the HTTP engine raises: nothing arrived that could be judged.
"""

from __future__ import annotations

from typing import Any


class Fault(Exception):
    """An answer that is an error, before it has a dialect.

    status: HTTP status. code: a stable snake_case string ("model_not_found"). message: says what to do next.
    type: OpenAI's error type, derived from the status where None. param: the field at fault.
    retry_after_s: seconds, sent as Retry-After. retryable False sends `x-should-retry: false`.
    details: extra members for the body (counts of keys by state, the list of strategies…).
    headers: sent beside those that follow from the rest.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        type: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        retryable: bool | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.type = type
        self.param = param
        self.retry_after_s = retry_after_s
        self.retryable = retryable
        self.details = details or {}
        self.headers: list[tuple[str, str]] = []

    def told(self) -> None:
        """Its answer is written: let go of the frames it came through.

        They hold the request and its body, which may hold it: all of it would stay in memory until the collector comes.
        """
        self.__traceback__ = self.__context__ = self.__cause__ = None


class NotYet(Fault):
    """Nothing can be tried now, but soon: in `wait_s` seconds. What a client is told who will not wait for it.

    `storm`: the upstream fails every key alike, and somebody else is trying whether that is over.
    """

    def __init__(self, fault: Fault, wait_s: float, storm: bool = False) -> None:
        super().__init__(
            fault.status, fault.code, fault.message, type=fault.type, param=fault.param,
            retry_after_s=fault.retry_after_s, retryable=fault.retryable, details=fault.details,
        )  # fmt: skip
        self.wait_s = wait_s
        self.storm = storm


class UpstreamError(Exception):
    """The upstream could not be reached or did not answer. The text never contains a URL, header or key."""


class CannotConnect(UpstreamError):
    """Refused, unresolvable, TLS refused, or not connected in time: nothing was sent, any retry is safe."""


class TimedOut(UpstreamError):
    """Sent, but silent for too long. `phase` is "first_byte" or "idle"."""

    def __init__(self, phase: str) -> None:
        super().__init__(f"upstream was silent for too long ({phase})")
        self.phase = phase


class Broken(UpstreamError):
    """The connection ended, or what came was not HTTP, after (a part of) the request was sent."""


class Draining(BaseException):
    """Thrown into a request that outlasted the server's patience at its stop."""
