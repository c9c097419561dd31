"""The one error of conversion: a 400 that names the field, before any key is used."""

from __future__ import annotations

from typing import Any

from pool.core.faults import Fault


def shown(value: Any) -> str:
    """A value for a message: anything but a string may be as deep as a client likes."""
    return repr(value) if isinstance(value, str) else f"({type(value).__name__})"


def refuse(message: str, param: str, code: str = "invalid_value") -> Fault:
    """For content, tools and schemas that would have to be dropped; unknown settings are just ignored."""
    return Fault(400, code, message, type="invalid_request_error", param=param, retryable=False)
