"""Whom Keypool can call: `/admin/providers`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import AfterValidator, Field

from pool.core import addresses
from pool.core.faults import Fault
from pool.core.providers import RESERVED_SLUGS
from pool.core.twice import NameTaken
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told, operation
from pool.web.here import audit, keypool

_SLUG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,59}")

_VARIABLES = {"gemini": "GEMINI_UPSTREAM_URL", "openai": "OPENAI_UPSTREAM_URL"}

_MAY_BE_NONE = frozenset(("proxy_url", "key_header", "timeouts"))

Row = Any


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise ValueError("a slug is made of small letters, digits, `-`, `_` and `.`, and begins with a letter or digit")
    if text in RESERVED_SLUGS:
        raise ValueError(f"{text!r} is a route below /api/, so no provider can be called so")
    return text


def proxy_or_mask(text: str) -> str:
    """A mask stays one: it stands for what is stored."""
    return text if not text or is_mask(text) else addresses.proxy_url(text)


def is_mask(text: str) -> bool:
    return ":***@" in text


Seconds = Annotated[float, Field(ge=0.1, le=3600, allow_inf_nan=False)]


class ProviderTimeouts(Asked):
    """Its own timeouts, in seconds; what is left out is as the settings have it."""

    connect_s: Annotated[float, Field(ge=0.1, le=120, allow_inf_nan=False)] | None = None
    first_byte_s: Seconds | None = Field(None, description="Of streamed answers; plain ones have five times as long.")
    idle_s: Seconds | None = None


class ProviderChange(Asked):
    """What is left out stays as it is; null takes a proxy, a header or timeouts away."""

    dialect: Literal["openai", "gemini"] | None = None
    base_url: Annotated[str, AfterValidator(addresses.base_url)] | None = Field(
        None, description="All before `/chat/completions` or `/models`.", examples=["https://api.groq.com/openai/v1"]
    )
    proxy_url: Annotated[str, AfterValidator(proxy_or_mask)] | None = Field(
        None, description="An outbound proxy: http, https or socks5. A mask written back changes nothing."
    )
    key_header: Annotated[str, AfterValidator(addresses.key_header)] | None = Field(
        None, description="The header that takes the key, where it is not the dialect's own.", examples=["api-key"]
    )
    fallback_to_direct: bool | None = Field(None, description="Call without the proxy where that cannot be reached.")
    timeouts: ProviderTimeouts | None = None
    enabled: bool | None = None


class NewProvider(ProviderChange):
    slug: Annotated[str, AfterValidator(_slug)] = Field(examples=["groq"])
    dialect: Literal["openai", "gemini"] = "openai"
    base_url: Annotated[str, AfterValidator(addresses.base_url)] = Field(examples=["https://api.groq.com/openai/v1"])


class Deletion(Asked):
    force: bool = Field(False, description="Delete its keys, too, for good.")


class ProviderTold(Told):
    slug: str
    dialect: str
    base_url: str
    base_url_from: Literal["environment", "stored"] = Field(description="The environment wins at every start.")
    key_header: str | None
    proxy_url: str | None = Field(description="With its password masked.")
    fallback_to_direct: bool
    timeouts: dict[str, float]
    builtin: bool
    enabled: bool
    keys: int
    binned_keys: int
    created_at: float
    updated_at: float


class ProvidersTold(Told):
    providers: list[ProviderTold]
    next: None = Field(description="There are never so many that they would need pages.")


class ProviderChangeTold(Told):
    success: bool
    message: str
    provider: ProviderTold


class ProviderDeletionTold(Told):
    success: bool
    message: str
    deleted_keys: int


@operation("GET", "/admin/providers", tag="providers", summary="All providers", answers={200: ProvidersTold})
def list_providers() -> Response:
    return answer({"providers": [told(row) for row in keypool().inventory.provider_rows()], "next": None})


@operation(
    "POST", "/admin/providers", tag="providers", summary="Add a provider", body=NewProvider,
    answers={201: ProviderChangeTold}, example={"slug": "groq", "base_url": "https://api.groq.com/openai/v1"},
)  # fmt: skip
def add_provider(body: NewProvider) -> Response:
    """Whoever speaks OpenAI's dialect or Gemini's, at a base URL of its own."""
    made = added(body)
    return answer({"success": True, "message": f"Provider {body.slug!r} was added.", "provider": made}, 201)


@operation("GET", "/admin/providers/<slug>", tag="providers", summary="One provider", answers={200: ProviderTold})
def show_provider(slug: str) -> Response:
    return answer(told(one(slug)))


def change_provider(slug: str, body: ProviderChange) -> Response:
    """Change what is named, and nothing else. The slug stays: keys are told apart by it."""
    message = f"Provider {slug!r} was changed." if changed(one(slug), body) else "Nothing was changed."
    return answer({"success": True, "message": message, "provider": told(one(slug))})


for _method in ("PUT", "PATCH"):
    operation(
        _method, "/admin/providers/<slug>", tag="providers", summary="Change a provider", body=ProviderChange,
        answers={200: ProviderChangeTold}, example={"timeouts": {"first_byte_s": 300}},
    )(change_provider)  # fmt: skip


@operation(
    "DELETE", "/admin/providers/<slug>", tag="providers", summary="Delete a provider", query=Deletion,
    answers={200: ProviderDeletionTold},
)  # fmt: skip
def delete_provider(slug: str, query: Deletion) -> Response:
    """One that has keys is 409, unless `force` deletes them, too. The built-in ones can only be switched off."""
    row = one(slug)
    deleted(row, query.force)
    message = f"Provider {slug!r} was deleted."
    return answer({"success": True, "message": message, "deleted_keys": row.keys + row.binned})


# -- what the pages do as well ----------------------------------------------------------------------------------------


def added(body: NewProvider) -> dict[str, Any]:
    """A new provider, as it is told. Raises `Fault`."""
    fields = _given(body)
    slug = fields.pop("slug")
    if is_mask(fields.get("proxy_url") or ""):
        raise Fault(400, "invalid_value", "`proxy_url`: that is a mask, and stands for nothing yet.", param="proxy_url")
    fields["dialect"] = body.dialect
    try:
        keypool().inventory.create_provider(slug, **fields)
    except NameTaken:
        message = f"There is a provider {slug!r} already."
        raise Fault(409, "slug_taken", message, param="slug", retryable=False) from None
    made = told(one(slug))
    audit("provider.add", f"provider {slug}", after=made)
    return made


def changed(before: Row, body: ProviderChange) -> bool:
    """Change what a body makes different; was that anything? Raises `Fault` for what cannot be changed."""
    slug, fields = before.slug, _changed(before, body)
    if fields:
        keypool().inventory.update_provider(slug, **fields)
        was, now = told(before), told(one(slug))
        names = [name for name in was if was[name] != now[name] and name != "updated_at"] + ["slug"]
        audit(
            "provider.change", f"provider {slug}",
            before={name: was[name] for name in names}, after={name: now[name] for name in names},
        )  # fmt: skip
    return bool(fields)


def deleted(row: Row, force: bool) -> None:
    """Delete a provider; with `force` its keys, too. Raises `Fault`."""
    slug = row.slug
    if row.builtin:
        message = f"{slug!r} is built in; switch it off with `enabled`."
        raise Fault(409, "provider_builtin", message, param="slug", retryable=False)
    if (row.keys or row.binned) and not force:
        message = (
            f"It has {row.keys} keys, and {row.binned} in the bin. Delete them first, or with it by `force=1`; "
            "then no bin keeps them."
        )
        counts = {"keys": row.keys, "binned_keys": row.binned}
        raise Fault(409, "provider_has_keys", message, param="slug", retryable=False, details=counts)
    keypool().inventory.delete_provider(slug)
    audit("provider.delete", f"provider {slug}", before=told(row))


def one(slug: str) -> Row:
    """Raises `Fault` 404."""
    rows = keypool().inventory.provider_rows(slug)
    if not rows:
        raise Fault(404, "provider_not_found", f"There is no provider {slug!r}.", param="slug", retryable=False)
    return rows[0]


def unmasked(text: str, rows: list[Row], param: str) -> str:
    """A proxy's URL as it is meant: the one of `rows` that a mask stands for. Raises `Fault` 409."""
    if not is_mask(text):
        return text
    for row in rows:
        if row.proxy_url and addresses.masked_proxy(row.proxy_url) == text:
            return str(row.proxy_url)
    raise Fault(409, "masked_value", f"`{param}`: that is a mask of another one.", param=param, retryable=False)


def told(row: Row) -> dict[str, Any]:
    return {
        "slug": row.slug,
        "dialect": row.dialect,
        "base_url": row.base_url,
        "base_url_from": "environment" if _variable(row.slug) else "stored",
        "key_header": row.key_header,
        "proxy_url": addresses.masked_proxy(row.proxy_url) if row.proxy_url else None,
        "fallback_to_direct": row.fallback_to_direct,
        "timeouts": dict(row.timeouts),
        "builtin": row.builtin,
        "enabled": row.enabled,
        "keys": row.keys,
        "binned_keys": row.binned,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _given(body: ProviderChange) -> dict[str, Any]:
    """The columns a body names. Null takes away what there may be none of, and says nothing of the others."""
    named = body.model_dump(exclude_unset=True)
    fields = {name: value for name, value in named.items() if value is not None or name in _MAY_BE_NONE}
    if "proxy_url" in fields:
        fields["proxy_url"] = fields["proxy_url"] or None
    if "timeouts" in fields:
        fields["timeouts"] = {name: value for name, value in (fields["timeouts"] or {}).items() if value is not None}
    return fields


def _changed(row: Row, body: ProviderChange) -> dict[str, Any]:
    """What a body would make different. Raises `Fault` for what cannot be changed."""
    fields = _given(body)
    if body.timeouts is not None:
        named = body.timeouts.model_dump(exclude_unset=True)
        fields["timeouts"] = {name: value for name, value in {**row.timeouts, **named}.items() if value is not None}
    if fields.get("proxy_url"):
        fields["proxy_url"] = unmasked(fields["proxy_url"], [row], "proxy_url")
    different = {name: value for name, value in fields.items() if value != getattr(row, name)}
    if row.builtin and "dialect" in different:
        message = f"{row.slug!r} is built in, and speaks its own dialect."
        raise Fault(409, "provider_builtin", message, param="dialect", retryable=False)
    variable = _variable(row.slug)
    if variable and "base_url" in different:
        message = f"The environment says where {row.slug!r} is: change {variable}."
        raise Fault(409, "set_by_environment", message, param="base_url", retryable=False)
    return different


def _variable(slug: str) -> str | None:
    """The variable that says where a built-in provider is, if it is set."""
    environment = keypool().environment
    said = {"gemini": environment.gemini_url, "openai": environment.openai_url}.get(slug)
    return _VARIABLES[slug] if said else None
