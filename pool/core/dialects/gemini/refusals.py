"""The one error of conversion: a 400 that names the field, before any key is used."""

from __future__ import annotations

from pool.core.faults import Fault


def refuse(message: str, param: str, code: str = "invalid_value") -> Fault:
    """For content, tools and schemas that would have to be dropped; unknown settings are just ignored."""
    return Fault(400, code, message, type="invalid_request_error", param=param, retryable=False)
