"""Why a request that only one key can serve is not served by it: said precisely, and never by another key."""

from __future__ import annotations

from collections.abc import Mapping

from .core.calls import Pin
from .core.catalogue import LIMITED
from .core.faults import Fault, NotYet
from .core.keys import FOREVER, Key
from .core.rotation import Bench

AGAIN = "Make it again; until then nothing that uses it can be served."
MOST_WAIT_S = 86_400.0


def gone(pin: Pin) -> Fault:
    message = f"The key that made {pin.name!r} is not in this pool any more. {AGAIN}"
    return Fault(404, "key_gone", message, type="invalid_request_error", retryable=False)


def elsewhere(pin: Pin, provider: str, model: str) -> Fault:
    message = f"{pin.name!r} belongs to a key of {provider!r}, which does not serve {model!r} here."
    return Fault(400, "wrong_provider", message, param="model", retryable=False)


def full(pin: Pin, frees_at: float, now: float) -> Fault:
    wait_s = frees_at - now
    if wait_s > MOST_WAIT_S:
        return Fault(429, "key_limited", _only(pin, "has no room left under its own limits"), retryable=False)
    fault = Fault(429, "key_limited", _only(pin, "is at its limit"), retry_after_s=max(1.0, wait_s))
    return NotYet(fault, wait_s)


def stopped(pin: Pin, key: Key, benches: Mapping[str, Bench], model: str, now: float) -> Fault | None:
    """Why the key may not be asked now; None where it may.

    What costs no model's quota is also asked of a key that rests: there is nobody else to ask.
    """
    if key.dead is not None:
        message = _only(pin, "was refused by its upstream for good") + f" {AGAIN}"
        return Fault(503, "key_dead", message, retryable=False)
    if not key.available(now):
        fault = Fault(503, "key_disabled", _only(pin, "is switched off"), retryable=False)
        if key.disabled_until is not None and key.disabled_until != FOREVER:
            fault.retry_after_s, fault.retryable = max(1.0, key.disabled_until - now), None
        return fault
    if not model:
        return None
    until = max((benches[view].until for view in ("", model) if view in benches), default=0.0)
    reason = next((benches[view].reason for view in (model, "") if view in benches), "")
    if until <= now:
        return None
    if reason == "not_entitled":
        return Fault(404, "model_not_found", _only(pin, f"may not use {model!r}"), param="model", retryable=False)
    said = "is at its limit" if reason == LIMITED else f"is cooling down for {model!r}"
    fault = Fault(429, "key_cooling", _only(pin, said), retry_after_s=max(1.0, until - now))
    return NotYet(fault, until - now)


def final(pin: Pin, key: Key, benches: Mapping[str, Bench], now: float, last_fault: Fault | None) -> Fault:
    """It was asked, and another one would be asked now."""
    if last_fault is not None and last_fault.status not in (400, 401, 403):
        return last_fault
    # The upstream's word is about a key that is not the client's.
    fault = stopped(pin, key, benches, "", now)
    if fault is None:
        wait_s = min(max((bench.until - now for bench in benches.values()), default=0.0), MOST_WAIT_S)
        fault = Fault(503, "key_refused", _only(pin, "is refused by its upstream"), retry_after_s=max(1.0, wait_s))
    return fault


def _only(pin: Pin, what: str) -> str:
    return f"Only the key that made {pin.name!r} can serve this, and it {what}."
