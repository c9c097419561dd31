"""Beginning anew: `POST /admin/reset`, and a predecessor's `/admin/proxy-config`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response
from pydantic import AfterValidator, Field

from pool.core import addresses
from pool.core.faults import Fault
from pool.resetting import reset
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told, operation
from pool.web.api.providers import Row, proxy_or_mask, unmasked
from pool.web.here import audit, keypool

RESET = "Usage reset successfully"
CONFIGURED = "Proxy config updated successfully"


class Reset(Asked):
    provider: str | None = Field(None, max_length=60, description="The slug of one; else every key is meant.")
    scope: Literal["counters", "cooldowns", "errors", "stats", "all"] | None = Field(
        None,
        description="`counters` (what nothing said means): what was asked so far counts for no limit of a key. "
        "`cooldowns`: keys that rest are used again. `errors`: what was counted is forgotten. `stats`: totals of keys.",
    )


class ResetTold(Told):
    success: bool
    message: str
    scope: str
    keys: int = Field(description="How many keys began anew.")


class ProxyConfig(Asked):
    """What is left out stays as it is."""

    enabled: bool | None = None
    baseUrl: Annotated[str, AfterValidator(proxy_or_mask)] | None = Field(
        None, description="An outbound proxy: http, https or socks5."
    )
    fallbackToDirect: bool | None = None


class ProxyTold(Told):
    enabled: bool
    baseUrl: str = Field(description="With its password masked.")
    fallbackToDirect: bool


class ProxyConfigTold(Told):
    config: ProxyTold


class ProxyChangeTold(ProxyConfigTold):
    success: bool
    message: str


@operation(
    "POST", "/admin/reset", tag="status", summary="Let keys begin anew", body=Reset, answers={200: ResetTold},
    example={"provider": "gemini"},
)  # fmt: skip
def reset_keys(body: Reset) -> Response:
    """Without a body: what every key was asked so far counts for no limit any more. Nothing else changes by that. A
    provider there is not has no keys, as in the predecessor."""
    scope = body.scope or "counters"
    count = reset(keypool(), scope, body.provider)
    whose = f"provider {body.provider}" if body.provider else "keys"
    audit("keys.reset", whose, after={"scope": scope, "keys": count})
    return answer({"success": True, "message": RESET, "scope": scope, "keys": count})


@operation(
    "GET", "/admin/proxy-config", tag="compatible", summary="The outbound proxy", answers={200: ProxyConfigTold}
)  # fmt: skip
def show_proxy() -> Response:
    """What the built-in providers share. `/admin/providers` has each provider's own."""
    return answer({"config": _told(keypool().inventory.provider_rows()[0])})


@operation(
    "POST", "/admin/proxy-config", tag="compatible", summary="Change the outbound proxy",
    body=ProxyConfig, answers={200: ProxyChangeTold},
    example={"enabled": True, "baseUrl": "http://proxy.example:3128", "fallbackToDirect": True},
)  # fmt: skip
def change_proxy(body: ProxyConfig) -> Response:
    """For every provider that has no other one. A real proxy, and never somebody else's relay: keys are seen by nobody
    but their provider."""
    rows = keypool().inventory.provider_rows()
    shared = rows[0].proxy_url
    url = unmasked(body.baseUrl, rows, "baseUrl") if body.baseUrl else shared
    enabled = body.enabled if body.enabled is not None else bool(url)
    if enabled and not url:
        raise Fault(400, "missing_required_parameter", "`baseUrl` is missing: name a proxy.", param="baseUrl")
    fields: dict[str, Any] = {"proxy_url": url if enabled else None}
    if body.fallbackToDirect is not None:
        fields["fallback_to_direct"] = body.fallbackToDirect
    for row in rows:
        if row.proxy_url in (None, shared) and any(getattr(row, name) != value for name, value in fields.items()):
            keypool().inventory.update_provider(row.slug, **fields)
    before, after = _told(rows[0]), _told(keypool().inventory.provider_rows()[0])
    if before != after:
        audit("provider.proxy", "providers", before=before, after=after)
    return answer({"success": True, "message": CONFIGURED, "config": after})


def _told(row: Row) -> dict[str, Any]:
    return {
        "enabled": bool(row.proxy_url),
        "baseUrl": addresses.masked_proxy(row.proxy_url) if row.proxy_url else "",
        "fallbackToDirect": row.fallback_to_direct,
    }
