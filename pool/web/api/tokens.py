"""Keys under the addresses and in the shape of a predecessor's ancestor: `/api/tokens`, `/api/stats`, `/api/logs`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import ConfigDict, Field, SkipValidation

from pool.adapters import queries
from pool.adapters.queries import KeyRow, Order, Wanted
from pool.core.faults import Fault
from pool.core.importing import parse
from pool.core.importing_words import UNKNOWN
from pool.core.masking import is_masked
from pool.settings import BadSetting
from pool.web import bulk
from pool.web.acts import Deed
from pool.web.api.answers import answer
from pool.web.api.clients import page_of, pool_named
from pool.web.api.operations import Asked, Told, operation
from pool.web.api.pool_shapes import spending
from pool.web.api.pools import is_disabled
from pool.web.changing import put_in_force
from pool.web.here import aside, audit, keypool, now, read

LISTED = 1_000
AT_ONCE = 500
DETAILS = 5
USUAL = "openai"
"""Whose keys are taken to be that have no known shape: that ancestor called nobody else."""

BEIJING = timedelta(hours=8)

Token = int | str
TAG = "compatible"


class TokensAsked(Asked):
    limit: int = Field(LISTED, ge=1, le=LISTED)
    after: int = Field(0, ge=0, description="`next` of the page before.")
    force: str = Field("", max_length=10, description="Understood, and without effect: nothing here is cached.")


class TokenAction(Asked):
    """`tokens` is a text of keys for `add`; elsewhere it is a list."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    action: Literal["add", "remove", "toggle", "refresh_balance"]
    token: Annotated[Token | None, SkipValidation] = Field(
        None, description="A place in the list counted from 0, an id, a mask that no other key has, or a key in full."
    )
    tokens: Annotated[str | list[Token] | None, SkipValidation] = None
    enable: bool | None = Field(None, description="Left out, a single token is turned to the other side.")
    pool: str | None = Field(None, description="Where to `add`; at first `default`.")


class TokenTold(Told):
    """Times are texts, and in Beijing, as that ancestor's clients show them."""

    id: int
    key: str = Field(description="Masked.")
    originalKey: str = Field(description="The key's id, which every action takes for it; never the key itself.")
    provider: str
    enabled: bool
    addedAt: str
    lastUsed: str | None
    usageCount: int
    successCount: int
    errorCount: int
    consecutiveErrors: int
    totalTokens: int
    balance: float | None = Field(description="Unknown: providers do not tell.")
    isValid: bool
    lastChecked: str | None
    lastErrorTime: str | None


class TokensAnswer(Told):
    success: bool
    tokens: list[TokenTold]
    next: str | None


class ActionAnswer(Told):
    success: bool
    message: str
    count: int = Field(description="How many keys it was done to.")
    duplicates: int = 0
    rejected: int = Field(0, description="Lines that can be no key.")
    results: dict[str, str] = Field({}, description="What a test found of each, by id.")
    isValid: bool | None = None
    balance: float | None = None


class CurrentTold(Told):
    rpm: int
    tpm: int
    rpd: int = Field(description="Of the quota day.")
    tpd: int


class DetailTold(Told):
    key: str
    enabled: bool
    usageCount: int
    successCount: int
    errorCount: int
    totalTokens: int


class TokenCounts(Told):
    total: int
    active: int
    disabled: int
    details: list[DetailTold] = Field(description="The busiest ones.")


class TokenStats(Told):
    current: CurrentTold
    tokens: TokenCounts
    updated: str


class TokenStatsAnswer(Told):
    success: bool
    stats: TokenStats


class StatsAsked(Asked):
    force: str = Field("", max_length=10)


class LogSettings(Asked):
    logLevel: Annotated[str, Field(max_length=20)]


class LogAnswer(Told):
    success: bool
    message: str
    logLevel: str


@operation("GET", "/api/tokens", tag=TAG, summary="Keys as tokens", query=TokensAsked, answers={200: TokensAnswer})
def list_tokens(query: TokensAsked) -> Response:
    """All keys, in the order of their ids."""
    rows = _rows(query.after, query.limit + 1)
    page, next_ = page_of(rows, query.limit)
    return answer({"success": True, "tokens": aside(_told, page), "next": next_})


@operation(
    "POST", "/api/tokens", tag=TAG, summary="Add, remove, toggle or test keys", body=TokenAction,
    answers={200: ActionAnswer}, example={"action": "add", "tokens": "AIzaSy…,AIzaSy…"},
)  # fmt: skip
def act_on_tokens(body: TokenAction) -> Response:
    """Removed keys go to the bin. `refresh_balance` tests a key, which spends no quota: balances are not told by the
    providers."""
    match body.action:
        case "add":
            return _add(body)
        case "remove":
            ids = _meant(body)
            bulk.act_at_once(Deed("delete"), ids)
            return _done(f"成功删除了{len(ids)}个令牌", ids)
        case "toggle":
            return _toggle(body)
    return _test(body)


@operation("GET", "/api/stats", tag=TAG, summary="Figures in short", query=StatsAsked, answers={200: TokenStatsAnswer})
def token_stats(query: StatsAsked) -> Response:
    at = now()
    requests, tokens = read(queries.traffic_lately, at - 60)
    today = [each.day for each in spending().values()]
    counts = read(queries.key_counts, at)
    busiest = read(queries.key_page, Wanted(), Order("requests", falling=True), size=DETAILS)
    current = {
        "rpm": requests, "tpm": tokens, "rpd": sum(day.requests for day in today),
        "tpd": sum(day.tokens for day in today),
    }  # fmt: skip
    told = {
        "total": counts["all"],
        "active": counts["healthy"] + counts["cooling"],
        "disabled": counts["disabled"] + counts["dead"],
        "details": [{name: each[name] for name in DetailTold.model_fields} for each in _told(busiest)],
    }
    return answer({"success": True, "stats": {"current": current, "tokens": told, "updated": _beijing(at)}})


@operation(
    "POST", "/api/logs/settings", tag=TAG, summary="Set what the log tells", body=LogSettings,
    answers={200: LogAnswer}, example={"logLevel": "debug"},
)  # fmt: skip
def set_log_level(body: LogSettings) -> Response:
    """debug, info, warn or error; the same as the setting `log_level`."""
    try:
        put_in_force({"log_level": body.logLevel})
    except BadSetting:
        message = "无效的日志级别: debug, info, warn 或 error"
        raise Fault(400, "invalid_value", message, param="logLevel", retryable=False) from None
    level = keypool().preferences.current.log_level
    return answer({"success": True, "message": "日志级别已更新", "logLevel": level})


def _add(body: TokenAction) -> Response:
    given = body.tokens if body.tokens is not None else body.token
    text = "\n".join(map(str, given)) if isinstance(given, list) else given
    if not isinstance(text, str) or not text.strip():
        raise _missing("没有要添加的令牌")
    pool = _pool(body.pool)
    parsed = aside(parse, text)
    rows = parsed.usable
    for row in rows:
        row.provider = USUAL if row.provider in ("", UNKNOWN) else row.provider
    if not rows:
        raise _missing("没有有效的令牌")
    fates = [each.fate for each in keypool().inventory.add_keys(rows, pool.id, "api", "admin")]
    known = fates.count("duplicate") + parsed.counts()["twice"]
    taken = len(fates) - fates.count("duplicate")
    audit("key.import", f"pool {pool.id}", after={fate: fates.count(fate) for fate in dict.fromkeys(fates)})
    message = f"成功添加了{taken}个令牌，{known}个令牌已存在"
    told = {"count": taken, "duplicates": known, "rejected": parsed.counts()["impossible"]}
    return answer({"success": True, "message": message, **told})


def _toggle(body: TokenAction) -> Response:
    ids = _meant(body)
    rows = read(queries.some_keys, ids)
    enable = body.enable if body.enable is not None else all(is_disabled(row) for row in rows)
    bulk.act_at_once(Deed("enable" if enable else "disable"), ids)
    return _done(f"成功{'启用' if enable else '禁用'}了{len(ids)}个令牌", ids)


def _test(body: TokenAction) -> Response:
    ids = _meant(body)
    if len(ids) > bulk.TESTED_AT_ONCE:
        raise _missing(f"一次最多测试{bulk.TESTED_AT_ONCE}个令牌")
    fates, _ = bulk.act_at_once(Deed(bulk.TEST), ids)
    valid = all(word in ("alive", "rests") for word in fates.values())
    results = {str(key_id): word for key_id, word in fates.items()}
    told = {"success": True, "message": "令牌已检测", "count": len(fates), "results": results}
    return answer({**told, "isValid": valid, "balance": None})


def _done(message: str, ids: Sequence[int]) -> Response:
    return answer({"success": True, "message": message, "count": len(ids)})


def _pool(reference: str | None) -> Any:
    return pool_named(reference or keypool().catalogue.default_pool_id)


# -- which keys are meant ---------------------------------------------------------------------------------------------


def _meant(body: TokenAction) -> list[int]:
    """The keys a body names, each once. Raises `Fault`: 400 where it names none or too many, 404 for what is no key."""
    named = body.tokens if isinstance(body.tokens, list) else [body.tokens if body.token is None else body.token]
    if any(isinstance(each, bool) or not isinstance(each, int | str) or each == "" for each in named) or not named:
        raise _missing("没有指定令牌")
    if len(named) > AT_ONCE:
        raise _missing(f"一次最多{AT_ONCE}个令牌")
    places = _rows(0, LISTED) if any(isinstance(each, int) for each in named) else []
    by_id = read(queries.key_ids_of, [each for each in named if isinstance(each, str)])
    in_full = [each for each in named if isinstance(each, str) and each not in by_id and not is_masked(each)]
    by_secret = _by_secret(in_full)
    found: dict[int, None] = {}
    for each in named:
        if isinstance(each, str):
            key_id = by_id.get(each) or by_secret.get(each) or _by_mask(each)
        else:
            key_id = places[each].id if isinstance(each, int) and 0 <= each < len(places) else None
        if key_id is None:
            raise Fault(404, "key_not_found", "令牌不存在", param="token", retryable=False)
        found[key_id] = None
    return list(found)


def _by_secret(secrets: Sequence[str]) -> dict[str, int]:
    slugs, fingerprint = keypool().catalogue.providers, keypool().vault.fingerprint
    prints = {fingerprint(slug, secret): secret for secret in secrets for slug in slugs}
    found = read(queries.ids_by_print, list(prints)) if prints else {}
    return {prints[fingerprint]: key_id for fingerprint, key_id in found.items()}


def _by_mask(shown: str) -> int | None:
    """The one key with this mask; None where there is none, or there are several."""
    if not is_masked(shown) or shown == "***":
        return None
    rows = read(queries.key_page, Wanted(search=shown), size=3)
    same = [row.id for row in rows if row.hint == shown.replace("…", "...")]
    return same[0] if len(same) == 1 else None


def _missing(message: str) -> Fault:
    return Fault(400, "invalid_value", message, param="tokens", retryable=False)


def _rows(after: int, size: int) -> list[KeyRow]:
    return read(queries.key_page, Wanted(), after=(after, after) if after else None, size=size)


def _told(rows: Sequence[KeyRow]) -> list[dict[str, Any]]:
    return [
        {
            "id": row.id, "key": row.hint, "originalKey": row.public_id, "provider": row.provider,
            "enabled": not is_disabled(row), "addedAt": _beijing(row.created_at),
            "lastUsed": _beijing(row.last_used_at), "usageCount": row.requests, "successCount": row.successes,
            "errorCount": row.errors, "consecutiveErrors": 0, "totalTokens": row.tokens, "balance": None,
            "isValid": row.dead_at is None, "lastChecked": _beijing(row.checked_at),
            "lastErrorTime": _beijing(row.last_error_at),
        }
        for row in rows
    ]  # fmt: skip


def _beijing(at: float | None) -> str | None:
    if not at:
        return None
    when = datetime.fromtimestamp(at, UTC) + BEIJING
    return f"{when.year}/{when.month}/{when.day} {when:%H:%M:%S}"
