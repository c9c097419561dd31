"""Pools and their keys in the shape of a predecessor: camelCase, milliseconds, and its words where something fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from pool.adapters import queries
from pool.adapters.queries import KeyRow, PoolFigures, PoolRow
from pool.core import lengths
from pool.core.faults import Fault
from pool.core.periods import month_began
from pool.core.quota import last_reset
from pool.web.api.answers import answer
from pool.web.api.clients import MOST_OVERLAP_S
from pool.web.api.operations import Asked, Told
from pool.web.api.pools import is_disabled, members
from pool.web.here import aside, keypool, now, read

SHOWN = 2_000
"""As many keys of a pool are shown in one piece, and can be replaced by an array."""


class Lenient(Asked):
    """Members nobody knows are passed over, as that predecessor did; what is wrong is told in its words."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class GeminiKeyAsked(BaseModel):
    id: str = Field("", description="Of a key that is in the pool.")
    key: str = Field("", description="In full, or the mask of a key that is in the pool.")
    name: str = ""
    enabled: bool = True
    weight: int = Field(1, ge=0, le=100, description="0 is standby.")
    provider: str = Field("", description="Left out, it is guessed by the key's shape.")


class PoolBody(Lenient):
    name: Annotated[str, SkipValidation] = ""
    description: Annotated[str, SkipValidation] = ""
    geminiKeys: Annotated[list[GeminiKeyAsked], SkipValidation] = []  # noqa: RUF012
    allowedModels: Annotated[list[str], SkipValidation] = Field([], description="None at all means: every model.")
    enabled: Annotated[bool, SkipValidation] = True
    provider: Annotated[str, SkipValidation] = Field("", description="Of keys whose shape says nothing.")


class KeysBody(Lenient):
    geminiKeys: Annotated[list[GeminiKeyAsked], SkipValidation] = []  # noqa: RUF012
    keys: Annotated[list[GeminiKeyAsked], SkipValidation] = Field([], description="The same under another name.")
    provider: Annotated[str, SkipValidation] = ""

    @property
    def given(self) -> Any:
        return self.geminiKeys or self.keys


class GraceBody(Lenient):
    grace_s: float = Field(0.0, ge=0, le=MOST_OVERLAP_S, description="How long the old auth key goes on working.")


class GeminiKeyTold(Told):
    id: str
    key: str = Field(description="Masked.")
    name: str
    enabled: bool
    weight: int
    provider: str
    dead: bool
    totalRequests: int
    successfulRequests: int
    failedRequests: int
    lastUsedAt: int | None


class PoolStatsTold(Told):
    totalRequests: int
    successfulRequests: int
    failedRequests: int
    totalTokens: int
    promptTokens: int
    completionTokens: int
    lastRequestTime: int | None
    rpm: int = Field(description="Requests of the last minute.")
    rpd: int = Field(description="Requests of the quota day.")
    tpm: int
    tpd: int


class GeminiPoolTold(Told):
    id: str
    name: str
    description: str
    authKey: str
    geminiKeys: list[GeminiKeyTold]
    geminiKeysCount: int
    geminiKeysTruncated: bool = Field(description="There are more keys than are shown.")
    allowedModels: list[str]
    enabled: bool
    isDefault: bool
    stats: PoolStatsTold
    createdAt: int
    updatedAt: int


class PoolAnswer(Told):
    success: bool
    message: str = ""
    pool: GeminiPoolTold


class PoolListAnswer(Told):
    success: bool
    pools: list[GeminiPoolTold]
    total: int


class PoolStatsWhole(Told):
    poolId: str
    poolName: str
    stats: PoolStatsTold
    geminiKeysCount: int
    enabledKeysCount: int
    allowedModelsCount: int = Field(description="0: every model is allowed.")
    enabled: bool
    createdAt: int
    updatedAt: int


class PoolStatsAnswer(Told):
    success: bool
    stats: PoolStatsWhole


def refused(message: str, errors: Sequence[str]) -> Response:
    told = {"message": message, "type": "invalid_request_error", "code": "invalid_value"}
    return answer({"success": False, "message": message, "errors": list(errors), "error": told}, 400)


def columns_of(body: PoolBody, new: bool) -> tuple[dict[str, Any], list[str]]:
    """The columns of what a body names, and what is wrong with them."""
    said, errors = body.model_fields_set, []
    columns: dict[str, Any] = {}
    if new or "name" in said:
        if not isinstance(body.name, str) or not body.name.strip():
            errors.append("池名称必须是非空字符串")
        elif len(body.name.strip()) > lengths.POOL_NAME:
            errors.append(f"池名称最多 {lengths.POOL_NAME} 个字符")
        else:
            columns["name"] = body.name.strip()
    if "description" in said and body.description is not None:
        if not isinstance(body.description, str) or len(body.description) > lengths.DESCRIPTION:
            errors.append(f"池描述必须是最多 {lengths.DESCRIPTION} 个字符的字符串")
        else:
            columns["description"] = body.description.strip()
    if "enabled" in said:
        if isinstance(body.enabled, bool):
            columns["enabled"] = body.enabled
        else:
            errors.append("enabled 必须是布尔值")
    if "allowedModels" in said:
        models = body.allowedModels if body.allowedModels is not None else []
        if not _are_models(models):
            errors.append(f"allowedModels 必须是字符串数组, 最多 {lengths.MODELS} 个")
        else:
            columns["allowed_models"] = list(dict.fromkeys(model.strip() for model in models)) or None
    return columns, errors


def _are_models(given: Any) -> bool:
    return (
        isinstance(given, list)
        and len(given) <= lengths.MODELS
        and all(isinstance(each, str) and 0 < len(each.strip()) <= lengths.MODEL for each in given)
    )


def shown(row: PoolRow, auth_key: str = "") -> dict[str, Any]:
    """A pool with its keys; its auth key in full where it is given. Keys are always masked."""
    return next(shown_each([row], auth_key))


def shown_each(rows: Sequence[PoolRow], auth_key: str = "") -> Iterator[dict[str, Any]]:
    """Pool by pool, so that streams go on between two of them."""
    figures, spent = stats_of([row.id for row in rows])
    for row in rows:
        keys, used = members(row.id, 0, SHOWN), spent.get(row.id, queries.Spending())
        yield aside(_shown, row, keys, auth_key or row.auth_hint, figures[row.id], used)


def _shown(row: PoolRow, keys: list[KeyRow], auth_key: str, figures: PoolFigures, spent: Any) -> dict[str, Any]:
    return {
        "id": row.public_id, "name": row.name, "description": row.description, "authKey": auth_key,
        "geminiKeys": [_key(key, row.id) for key in keys], "geminiKeysCount": row.keys,
        "geminiKeysTruncated": row.keys > len(keys), "allowedModels": list(row.allowed_models),
        "enabled": row.enabled, "isDefault": row.is_default, "stats": stats(figures, spent),
        "createdAt": _ms(row.created_at), "updatedAt": _ms(row.updated_at),
    }  # fmt: skip


def _key(key: KeyRow, pool_id: int) -> dict[str, Any]:
    enabled, weight = place(key, pool_id)
    return {
        "id": key.public_id, "key": key.hint, "name": key.name, "enabled": enabled, "weight": weight,
        "provider": key.provider, "dead": key.dead_at is not None, "totalRequests": key.requests,
        "successfulRequests": key.successes, "failedRequests": key.errors,
        "lastUsedAt": _ms(key.last_used_at) if key.last_used_at else None,
    }  # fmt: skip


def place(key: KeyRow, pool_id: int) -> tuple[bool, int]:
    """Is a key switched on in a pool, as the predecessor's clients see it, and with which weight?"""
    seat = next(seat for seat in key.places if seat.pool_id == pool_id)
    return seat.enabled and not is_disabled(key), seat.weight


def stats_of(pool_ids: Sequence[int]) -> tuple[dict[int, PoolFigures], Any]:
    """What pools served, and what of it today."""
    return read(queries.pool_figures, pool_ids, now()), spending()


def spending() -> Any:
    """What each pool used in the quota day, by its id."""
    at = now()
    return read(queries.pool_spend, last_reset(at, keypool().preferences.current.quota_reset), month_began(at))


def stats(figures: PoolFigures, spent: Any) -> dict[str, Any]:
    return {
        "totalRequests": figures.requests, "successfulRequests": figures.successes, "failedRequests": figures.errors,
        "totalTokens": figures.tokens, "promptTokens": figures.tokens_in, "completionTokens": figures.tokens_out,
        "lastRequestTime": _ms(figures.last_at) if figures.last_at else None, "rpm": figures.minute_requests,
        "rpd": spent.day.requests, "tpm": figures.minute_tokens, "tpd": spent.day.tokens,
    }  # fmt: skip


def stats_whole(row: PoolRow, enabled_keys: int) -> dict[str, Any]:
    figures, spent = stats_of([row.id])
    return {
        "poolId": row.public_id, "poolName": row.name,
        "stats": stats(figures[row.id], spent.get(row.id, queries.Spending())), "geminiKeysCount": row.keys,
        "enabledKeysCount": enabled_keys, "allowedModelsCount": len(row.allowed_models), "enabled": row.enabled,
        "createdAt": _ms(row.created_at), "updatedAt": _ms(row.updated_at),
    }  # fmt: skip


def unclear(number: int) -> Fault:
    message = (
        f"Gemini Key #{number}: 该掩码在池中不存在或不唯一 "
        "(no key of this pool has this mask, or several have: send its id, or the key in full)"
    )
    return Fault(409, "ambiguous_key", message, param=f"geminiKeys[{number - 1}]", retryable=False)


def too_many(row: PoolRow) -> Fault:
    message = (
        f"该池有 {row.keys} 个密钥，超过 {SHOWN} 个时不能整体替换 "
        f"(an array replaces the keys of a pool of at most {SHOWN}: add, change or delete them one by one)"
    )
    return Fault(409, "too_many_keys", message, param="geminiKeys", retryable=False)


def _ms(at: float) -> int:
    return int(at * 1000)
