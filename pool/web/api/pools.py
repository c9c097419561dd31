"""Pools as programs manage them: `/admin/pools`, and the rules that a predecessor's addresses share."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, make_response, redirect, url_for
from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from pool.adapters import queries
from pool.adapters.queries import KeyRow, Wanted
from pool.core import lengths
from pool.core.catalogue import Pool
from pool.core.faults import Fault
from pool.core.limits import LIMIT_NAMES
from pool.core.masking import mask
from pool.core.rotation import POLICIES, canonical_policy
from pool.core.twice import NameTaken
from pool.explaining import find_pool
from pool.web.api.answers import answer
from pool.web.api.clients import (
    MOST_OVERLAP_S,
    Gone,
    HolderLimits,
    LimitsTold,
    Model,
    Models,
    PageAsked,
    Reference,
    page_of,
    pool_named,
)
from pool.web.api.operations import Asked, Told, operation
from pool.web.here import audit, browsing, keypool, now, read


def _policy(name: str) -> str:
    policy = canonical_policy(name)
    if policy is None:
        raise ValueError(f"must be one of {', '.join(POLICIES)}")
    return policy


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=lengths.POOL_NAME)]
Policy = Annotated[
    str, AfterValidator(_policy), WithJsonSchema({"type": "string", "enum": list(POLICIES)})
]  # fmt: skip
"""Understood by its aliases as well."""


class PoolFields(Asked):
    """What may be said of a pool. null takes a restriction away, and so does an empty list."""

    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=lengths.DESCRIPTION)] = ""
    enabled: bool = True
    policy: Policy | None = Field(None, description="How the next key is chosen; null: as the settings say.")
    allowed_models: Models | None = Field(None, description="Names, or patterns such as `gemini-*`.")
    aliases: Annotated[dict[Model, Model], Field(max_length=lengths.MODELS)] | None = Field(
        None, description="What a client calls a model, and what it is."
    )
    limits: HolderLimits | None = Field(None, description="Those named are changed; null takes all of them away.")
    fallback_pool: Reference | None = Field(None, description="Asked where nothing is left here: its id or name.")


class PoolAsked(PoolFields):
    name: Name


class PoolChanges(PoolFields):
    """Only what is named is changed."""

    name: Name = ""


class PoolsAsked(PageAsked):
    q: str = Field("", max_length=lengths.LINE, description="A part of the name.")


class Grace(Asked):
    grace_s: float = Field(0.0, ge=0, le=MOST_OVERLAP_S, description="How long the old auth key goes on working.")


class PoolTold(Told):
    id: int
    public_id: str
    name: str
    description: str
    enabled: bool
    is_default: bool
    policy: str | None
    allowed_models: list[str]
    aliases: dict[str, str]
    limits: LimitsTold
    fallback_pool_id: int | None
    auth_key: str = Field(description="Masked in a list.")
    previous_auth_keys_until: list[float] = Field(description="Until when auth keys before this one work.")
    keys: int = Field(description="How many keys are in it.")
    created_at: float
    updated_at: float


class PoolsTold(Told):
    pools: list[PoolTold]
    next: str | None


class MemberTold(Told):
    id: int
    public_id: str
    provider: str
    key: str = Field(description="Masked.")
    name: str
    weight: int
    tier: int
    enabled: bool = Field(description="In this pool; see `disabled` as well.")
    disabled: bool = Field(description="Disabled by a person, in every pool.")
    dead: bool


class MembersTold(Told):
    keys: list[MemberTold]
    next: str | None


@operation("GET", "/admin/pools", tag="pools", summary="Pools", query=PoolsAsked, answers={200: PoolsTold})
def list_pools(query: PoolsAsked) -> Response:
    """In the order they were made; their auth keys are masked."""
    rows = read(queries.pool_page, after=query.after, size=query.limit + 1, search=query.q)
    page, next_ = page_of(rows, query.limit)
    return answer({"pools": [told(row) for row in page], "next": next_})


@operation(
    "POST", "/admin/pools", tag="pools", summary="Make a pool", body=PoolAsked, answers={201: PoolTold},
    example={"name": "research", "allowed_models": ["gemini-*"]},
)  # fmt: skip
def create_pool(body: PoolAsked) -> Response:
    """The answer holds its auth key in full."""
    pool_id = made(columns_of(body, None))
    return answer(whole(found(str(pool_id))), 201)


@operation("GET", "/admin/pools/<pool_id>", tag="pools", summary="One pool", answers={200: PoolTold})
def show_pool(pool_id: str) -> Response:
    """By its id or its public id, with its auth key in full. A browser is led to the pool's page."""
    row = found(pool_id)
    if browsing():
        return make_response(redirect(url_for("admin.pool", pool_id=row.id)))
    return answer(whole(row))


_CHANGE: dict[str, Any] = {
    "tag": "pools",
    "body": PoolChanges,
    "answers": {200: PoolTold},
    "example": {"policy": "least_used", "enabled": True},
}


@operation("PUT", "/admin/pools/<pool_id>", summary="Change a pool, like PATCH", **_CHANGE)
@operation("PATCH", "/admin/pools/<pool_id>", summary="Change a pool", **_CHANGE)
def update_pool(pool_id: str, body: PoolChanges) -> Response:
    """Whatever is left out stays as it is."""
    row = found(pool_id)
    changed(row, columns_of(body, row))
    return answer(whole(found(pool_id)))


@operation("DELETE", "/admin/pools/<pool_id>", tag="pools", summary="Delete a pool", answers={200: Gone})
def delete_pool(pool_id: str) -> Response:
    """Its keys stay: those that are in no other pool are in `default` then. `default` itself cannot be deleted."""
    deleted(found(pool_id))
    return answer({"success": True, "message": "The pool was deleted."})


@operation(
    "POST",
    "/admin/pools/<pool_id>/regenerate-auth",
    tag="pools",
    summary="Give a pool a new auth key",
    body=Grace,
    answers={200: PoolTold},
)
def regenerate_auth(pool_id: str, body: Grace) -> Response:
    """Without a grace every auth key before it ends at once."""
    regenerated(found(pool_id), body.grace_s)
    return answer(whole(found(pool_id)))


@operation(
    "GET",
    "/admin/pools/<pool_id>/keys",
    tag="pools",
    summary="The keys of a pool",
    query=PageAsked,
    answers={200: MembersTold},
)
def list_members(pool_id: str, query: PageAsked) -> Response:
    """By their ids, each with its place in this pool."""
    row = found(pool_id)
    rows = members(row.id, query.after, query.limit + 1)
    page, next_ = page_of(rows, query.limit)
    return answer({"keys": [_member(key, row.id) for key in page], "next": next_})


# -- what the predecessor's addresses do as well ----------------------------------------------------------------------


def found(reference: str, missing: str = "There is no such pool.") -> queries.PoolRow:
    """A pool by its id or its public id. Raises `Fault` 404 that says what is `missing`."""
    pool = find_pool(keypool().catalogue, reference)
    row = read(queries.pool_row, pool.id) if pool is not None and _named_by(pool, reference) else None
    if row is None:
        raise Fault(404, "pool_not_found", missing, retryable=False)
    return row


def _named_by(pool: Pool, reference: str) -> bool:
    """Its name is no address: it may look like another one's id."""
    return reference in (str(pool.id), pool.public_id)


def made(columns: dict[str, Any]) -> int:
    """The id of a new pool. Raises `Fault` 409 where there is one of that name."""
    try:
        pool_id, _token = keypool().inventory.create_pool(**columns)
    except NameTaken:
        raise taken() from None
    audit("pool.create", f"pool {pool_id}", after=columns)
    return int(pool_id)


def changed(row: queries.PoolRow, columns: dict[str, Any]) -> None:
    """Change what differs. Raises `Fault` 409 where another pool has the name."""
    before = _before(row)
    changes = {name: value for name, value in columns.items() if value != before[name]}
    if not changes:
        return
    if row.is_default and "name" in changes:
        message = "The default pool keeps its name."
        raise Fault(409, "default_pool", message, param="name", retryable=False)
    try:
        keypool().inventory.update_pool(row.id, **changes)
    except NameTaken:
        raise taken() from None
    audit("pool.update", f"pool {row.id}", before={name: before[name] for name in changes}, after=changes)


def deleted(row: queries.PoolRow) -> None:
    """Raises `Fault` 409 for the default pool."""
    if row.is_default:
        raise Fault(409, "default_pool", "默认池不能删除 (the default pool cannot be deleted)", retryable=False)
    keypool().inventory.delete_pool(row.id)
    audit("pool.delete", f"pool {row.id}", before=_before(row))


def regenerated(row: queries.PoolRow, grace_s: float) -> None:
    token = keypool().inventory.regenerate_auth(row.id, grace_s)
    after = {"key": mask(token), "grace_s": grace_s}
    audit("pool.regenerate", f"pool {row.id}", before={"key": row.auth_hint}, after=after)


def members(pool_id: int, after: int, size: int) -> list[KeyRow]:
    """Keys of a pool by id after `after`."""
    return read(queries.key_page, Wanted(pool_id=pool_id), after=(after, after) if after else None, size=size)


def told(row: queries.PoolRow) -> dict[str, Any]:
    at = now()
    return {
        "id": row.id, "public_id": row.public_id, "name": row.name, "description": row.description,
        "enabled": row.enabled, "is_default": row.is_default, "policy": row.policy or None,
        "allowed_models": list(row.allowed_models), "aliases": dict(row.aliases),
        "limits": {name: row.limits.get(name) for name in LIMIT_NAMES}, "fallback_pool_id": row.fallback_id,
        "auth_key": row.auth_hint, "previous_auth_keys_until": sorted(each for each in row.graces if each > at),
        "keys": row.keys, "created_at": row.created_at, "updated_at": row.updated_at,
    }  # fmt: skip


def whole(row: queries.PoolRow) -> dict[str, Any]:
    """The same with the auth key in full."""
    return {**told(row), "auth_key": keypool().inventory.auth_key(row.id)}


def taken() -> Fault:
    message = "池名称已存在 (there is a pool of this name)"
    return Fault(409, "name_taken", message, param="name", retryable=False)


def columns_of(body: PoolFields, row: queries.PoolRow | None) -> dict[str, Any]:
    """The columns of what a body names, and of nothing else. Raises `Fault`: 404 for a fallback there is not."""
    given = body.model_dump(include=body.model_fields_set - {"limits", "fallback_pool"})
    columns = {name: value or None if isinstance(value, list | dict) else value for name, value in given.items()}
    if "limits" in body.model_fields_set:
        columns["limits"] = _limits(body.limits, row)
    if "fallback_pool" in body.model_fields_set:
        columns["fallback_pool_id"] = _fallback(body.fallback_pool, row)
    return columns


def _limits(wanted: HolderLimits | None, row: queries.PoolRow | None) -> dict[str, Any] | None:
    """All of a pool's limits after those that are named were changed."""
    if wanted is None:
        return None
    known = dict(row.limits) if row else {}
    known.update(wanted.model_dump(include=wanted.model_fields_set))
    return {name: value for name, value in known.items() if value is not None} or None


def _fallback(reference: str | int | None, row: queries.PoolRow | None) -> int | None:
    if reference is None:
        return None
    pool = pool_named(reference)
    if row is not None and pool.id == row.id:
        message = "A pool is not its own fallback."
        raise Fault(400, "invalid_value", message, param="fallback_pool", retryable=False)
    return pool.id


def _before(row: queries.PoolRow) -> dict[str, Any]:
    """The columns of a pool as they are."""
    return {
        "name": row.name, "description": row.description, "enabled": row.enabled, "policy": row.policy or None,
        "allowed_models": list(row.allowed_models) or None, "aliases": dict(row.aliases) or None,
        "limits": dict(row.limits) or None, "fallback_pool_id": row.fallback_id,
    }  # fmt: skip


def _member(key: KeyRow, pool_id: int) -> dict[str, Any]:
    seat = next(seat for seat in key.places if seat.pool_id == pool_id)
    return {
        "id": key.id, "public_id": key.public_id, "provider": key.provider, "key": key.hint, "name": key.name,
        "weight": seat.weight, "tier": seat.tier, "enabled": seat.enabled, "disabled": is_disabled(key),
        "dead": key.dead_at is not None,
    }  # fmt: skip


def is_disabled(key: KeyRow) -> bool:
    """By a person, and now."""
    return key.disabled_at is not None and (key.disabled_until is None or key.disabled_until > now())
