"""What a client key and its pool allow: asked before their limits are, and before any upstream key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .core.calls import GEMINI
from .core.catalogue import Catalogue, Client, Pool, allows
from .core.dialects.gemini.names import bare_model
from .core.faults import Fault
from .core.providers import Provider, route_model
from .core.rotation import POLICIES, canonical_policy
from .relay import Caller
from .settings import Settings


def check_standing(pool: Pool | None, client: Client | None, now: float, dialect: str) -> Pool:
    """The pool a credential stands for.

    Raises `Fault` 401 where the client key was revoked or is over, 403 where the pool is switched off.
    """
    over = client is not None and (
        client.revoked_at is not None or (client.expires_at is not None and client.expires_at <= now)
    )
    if over or pool is None:
        raise unauthenticated(dialect, True)
    if not pool.enabled:
        raise Fault(403, "pool_disabled", "This pool is switched off.", type="permission_error")
    return pool


def unauthenticated(dialect: str, presented_one: bool) -> Fault:
    """401 in the route's own dialect (Gemini: UNAUTHENTICATED, reason API_KEY_INVALID)."""
    message = (
        "The client key is not known here, or no longer valid."
        if presented_one
        else "No client key. Send one as `Authorization: Bearer …`, `x-goog-api-key` or `?key=`."
    )
    code = "api_key_invalid" if dialect == GEMINI else "invalid_api_key"
    return Fault(401, code, message, type="invalid_request_error", retryable=False)


def check_model(model: str, caller: Caller, catalogue: Catalogue) -> None:
    """Allow-lists of the pool and of the client key. Raises `Fault` 403."""
    patterns = caller.client.allowed_models if caller.client else ()
    if not caller.pool.allowed_models and not patterns:
        return
    names = _names(model, catalogue.candidates(caller.pool.id), caller.pool.aliases)
    if not any(caller.pool.allows(name) for name in names):
        raise _not_allowed(model, "pool")
    if not any(allows(patterns, name) for name in names):
        raise _not_allowed(model, "client key")


def _names(model: str, candidates: Mapping[str, Provider], aliases: Mapping[str, str]) -> set[str]:
    """What a model may be listed as: before and after the pool's aliases, without its provider, without ":search"."""
    route = route_model(model, candidates, aliases)
    names = {model, aliases.get(model, model), route.model}
    if all(candidates[slug].dialect == GEMINI for slug in route.providers):
        # Elsewhere such an ending is part of a model's own name.
        names.add(bare_model(route.model))
    return names


def _not_allowed(model: str, whose: str) -> Fault:
    message = f"The model {model!r} is not among those this {whose} may use."
    return Fault(403, "model_not_allowed", message, type="permission_error", param="model", retryable=False)


def named_model(payload: Mapping[str, Any], settings: Settings) -> str:
    """The model a body asks for. Raises `Fault` 400 where it names none and settings give none."""
    model = payload.get("model")
    if model is None and settings.unknown_model_policy == "default":
        return settings.default_model_name
    if model is None or model == "":
        raise Fault(400, "missing_required_parameter", "You must provide a model parameter.", param="model")
    if not isinstance(model, str):
        raise Fault(400, "invalid_type", "`model` must be a string.", param="model")
    return model


def named_policy(name: str) -> str:
    """The policy a request names for itself. Raises `Fault` 400 with the list for an unknown one."""
    policy = canonical_policy(name)
    if policy is None:
        message = f"Unknown strategy. Use one of {', '.join(POLICIES)}."
        raise Fault(400, "unknown_strategy", message, param="strategy", details={"strategies": list(POLICIES)})
    return policy
