"""Pools under the addresses and in the shape of a predecessor: `/api/pools`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from flask import Response
from pydantic import Field

from pool.adapters import queries
from pool.adapters.queries import KeyRow, PoolRow, Wanted
from pool.core.catalogue import Pool
from pool.core.faults import Fault
from pool.core.importing import Row
from pool.core.masking import mask
from pool.core.roster import Item, Seated, Unclear, match, read_items
from pool.core.twice import KeyTaken
from pool.relay import Caller
from pool.web import bulk
from pool.web.acts import SLICE, Deed, do
from pool.web.api.answers import answer
from pool.web.api.clients import Gone
from pool.web.api.operations import JSON, Told, operation
from pool.web.api.pool_shapes import (
    SHOWN,
    GraceBody,
    KeysBody,
    PoolAnswer,
    PoolBody,
    PoolListAnswer,
    PoolStatsAnswer,
    columns_of,
    place,
    refused,
    shown,
    shown_each,
    stats_whole,
    too_many,
    unclear,
)
from pool.web.api.pools import changed, deleted, found, made, members, regenerated
from pool.web.here import aside, audit, caller_ip, keypool, now, read

MOST_ITEMS = 10_000
MOST_BYTES = 5_000_000
_KEYS = {"geminiKeys": [{"key": "AIzaSy…", "enabled": True, "weight": 1}]}


class ModelTold(Told):
    id: str
    provider: str
    allowed: bool = Field(description="May clients of this pool use it?")


class ModelsAnswer(Told):
    success: bool
    models: list[ModelTold]
    total: int


class AppendedAnswer(PoolAnswer):
    added: int
    linked: int = Field(description="Keys that were in another pool, and are now in this one, too.")
    restored: int = Field(description="Keys that were in the bin.")
    duplicates: int = Field(description="Keys that were here, or stood in the array twice.")


class PoolCheckTold(Told):
    id: str
    key: str
    result: str = Field(description="alive, dead, rests, suspected, unreachable or undecided.")


class TestAnswer(Told):
    success: bool
    message: str
    total: int
    results: list[PoolCheckTold]
    summary: dict[str, int]


class TestBegun(Told):
    success: bool
    message: str
    total: int
    job: int = Field(description="See `/admin/jobs/{job_id}`.")


@operation("GET", "/api/pools", tag="compatible", summary="Pools with their keys", answers={200: PoolListAnswer})
def list_gemini_pools() -> Response:
    """Every pool; auth keys and keys are masked."""
    rows = read(queries.pool_rows)
    # Each for itself: all of them in one go would hold up streams for long.
    pools = b",".join(orjson.dumps(pool) for pool in shown_each(rows))
    return Response(b'{"success":true,"pools":[%b],"total":%d}' % (pools, len(rows)), content_type=JSON)


@operation(
    "POST", "/api/pools", tag="compatible", summary="Make a pool of keys", body=PoolBody,
    answers={201: PoolAnswer}, most_bytes=MOST_BYTES, example={"name": "research", **_KEYS},
)  # fmt: skip
def create_gemini_pool(body: PoolBody) -> Response:
    """The answer holds the auth key in full, and the keys masked."""
    columns, errors = columns_of(body, new=True)
    items, wrong = _fresh(body.geminiKeys, body.provider)
    if errors or wrong:
        return refused("池配置无效", errors + wrong)
    pool_id = made(columns)
    row = _pool(str(pool_id))
    _settle(row, [], {}, items)
    return _answered("池创建成功", str(pool_id), 201)


@operation("GET", "/api/pools/<pool_id>", tag="compatible", summary="One pool with its keys", answers={200: PoolAnswer})
def show_gemini_pool(pool_id: str) -> Response:
    """With its auth key in full, and its keys masked."""
    return answer({"success": True, "pool": _whole(_pool(pool_id))})


@operation(
    "PUT", "/api/pools/<pool_id>", tag="compatible", summary="Change a pool and its keys", body=PoolBody,
    answers={200: PoolAnswer}, most_bytes=MOST_BYTES, example={"allowedModels": ["gemini-2.5-flash"]},
)  # fmt: skip
def update_gemini_pool(pool_id: str, body: PoolBody) -> Response:
    """Only what is named is changed. `geminiKeys` takes the place of all the keys the pool has: see its `/keys`."""
    row = _pool(pool_id)
    columns, errors = columns_of(body, new=False)
    named = "geminiKeys" in body.model_fields_set
    return _updated(row, columns, errors, body.geminiKeys if named else None, body.provider)


@operation(
    "PUT", "/api/pools/<pool_id>/keys", tag="compatible", summary="Replace the keys of a pool", body=KeysBody,
    answers={200: PoolAnswer}, most_bytes=MOST_BYTES, example=_KEYS,
)  # fmt: skip
def replace_gemini_keys(pool_id: str, body: KeysBody) -> Response:
    """An item is matched to a key of the pool by its id, then in full, then by a mask that no other one has. What is in
    full and not here is added; keys that are left out go to the bin, or leave this pool where they are in others."""
    return _updated(_pool(pool_id), {}, [], body.given, body.provider)


@operation(
    "POST", "/api/pools/<pool_id>/keys", tag="compatible", summary="Add keys to a pool", body=KeysBody,
    answers={201: AppendedAnswer}, most_bytes=MOST_BYTES, example=_KEYS,
)  # fmt: skip
def append_gemini_keys(pool_id: str, body: KeysBody) -> Response:
    """Beside those it has."""
    row = _pool(pool_id)
    items, wrong = _fresh(body.given, body.provider)
    if wrong:
        return refused("池配置无效", wrong)
    fates = _settle(row, [], {}, items)
    taken = fates.get("added", 0) + fates.get("linked", 0) + fates.get("restored", 0)
    told = {
        "success": True,
        "message": f"成功添加了{taken}个密钥，{fates.get('duplicate', 0)}个密钥已存在",
        **{name: fates.get(name, 0) for name in ("added", "linked", "restored")},
        "duplicates": fates.get("duplicate", 0),
        "pool": _whole(_pool(pool_id)),
    }
    return answer(told, 201)


@operation("DELETE", "/api/pools/<pool_id>", tag="compatible", summary="Delete a pool", answers={200: Gone})
def delete_gemini_pool(pool_id: str) -> Response:
    """Its keys stay: those that are in no other pool are in `default` then."""
    deleted(found(pool_id, "池不存在或删除失败"))
    return answer({"success": True, "message": "池删除成功"})


@operation(
    "POST", "/api/pools/<pool_id>/regenerate-auth", tag="compatible", summary="Give a pool a new auth key",
    body=GraceBody, answers={200: PoolAnswer},
)  # fmt: skip
def regenerate_gemini_auth(pool_id: str, body: GraceBody) -> Response:
    """Without a grace the old one ends at once."""
    regenerated(_pool(pool_id), body.grace_s)
    return _answered("AuthKey 重新生成成功", pool_id)


@operation(
    "GET", "/api/pools/<pool_id>/stats", tag="compatible", summary="What a pool served",
    answers={200: PoolStatsAnswer},
)  # fmt: skip
def gemini_pool_stats(pool_id: str) -> Response:
    row = _pool(pool_id)
    return answer({"success": True, "stats": stats_whole(row, read(queries.enabled_keys, row.id, now()))})


@operation(
    "POST", "/api/pools/<pool_id>/reset-stats", tag="compatible", summary="Count a pool's requests anew",
    answers={200: PoolAnswer},
)  # fmt: skip
def reset_gemini_stats(pool_id: str) -> Response:
    """And those of its keys, in whatever pools they are. The log of requests and what was spent stay as they are."""
    row = _pool(pool_id)
    keypool().recorder.drain()
    before = stats_whole(row, 0)["stats"]
    keypool().inventory.begin_figures(row.id)
    after = 0
    while rows := members(row.id, after, SLICE):
        do(keypool(), Deed("reset_counters"), rows)
        after = rows[-1].id
    audit("pool.reset", f"pool {row.id}", before=before)
    return _answered("统计已重置", pool_id)


@operation(
    "GET", "/api/pools/<pool_id>/models", tag="compatible", summary="What a pool's keys can reach",
    answers={200: ModelsAnswer},
)  # fmt: skip
def gemini_pool_models(pool_id: str) -> Response:
    """Asked of the providers, and kept for a while; models that the pool does not allow are listed as well.

    Where no upstream tells, it is 409.
    """
    pool: Pool = keypool().catalogue.pools[_pool(pool_id).id]
    everything = replace(pool, allowed_models=())
    try:
        models = keypool().models.of(Caller(everything, None, caller_ip()))
    except Fault as fault:
        # What fails is the pool or its upstream, as the answer says; this API is well.
        raise Fault(409, "models_unknown", f"No upstream lists its models now: {fault.message}") from None
    told = [{"id": each.id, "provider": each.provider, "allowed": pool.allows(each.id)} for each in models]
    return answer({"success": True, "models": told, "total": len(told)})


@operation(
    "POST", "/api/pools/<pool_id>/test", tag="compatible", summary="Test the keys of a pool",
    answers={200: TestAnswer, 202: TestBegun},
)  # fmt: skip
def check_gemini_pool(pool_id: str) -> Response:
    """Asks for lists of models, which spends no quota. More than 50 keys are tested by a job."""
    row = _pool(pool_id)
    if row.keys > bulk.TESTED_AT_ONCE:
        job_id = bulk.act_as_job(Deed(bulk.TEST), bulk.Selection(wanted=Wanted(pool_id=row.id)), row.keys)
        return answer({"success": True, "message": "测试已开始", "total": row.keys, "job": job_id}, 202)
    rows = members(row.id, 0, bulk.TESTED_AT_ONCE)
    words, _ = bulk.act_at_once(Deed(bulk.TEST), [key.id for key in rows])
    results = [{"id": key.public_id, "key": key.hint, "result": words[key.id]} for key in rows if key.id in words]
    summary = dict(Counter(words.values()))
    told = {"success": True, "message": "测试完成", "total": len(results), "results": results, "summary": summary}
    return answer(told)


def _pool(reference: str) -> PoolRow:
    """Raises `Fault` 404."""
    return found(reference, "池不存在")


# -- arrays of keys ---------------------------------------------------------------------------------------------------


def _updated(row: PoolRow, columns: dict[str, Any], errors: list[str], given: Any, usual: Any) -> Response:
    """Change columns and, unless `given` is None, replace the keys. Nothing is changed where something will not do."""
    rows: list[KeyRow] = []
    named, rest = dict[int, Item](), list[Item]()
    if given is not None:
        items, wrong = _items(given, usual)
        errors = errors + wrong
        rows = [] if errors else members(row.id, 0, SHOWN + 1)
        if len(rows) > SHOWN:
            raise too_many(row)
        if not errors:
            named, rest = _matched(items, rows)
    if errors:
        return refused(f"更新池失败: 更新后的配置无效: {', '.join(errors)}", errors)
    _resecret(named)
    changed(row, columns)
    if given is not None:
        _settle(row, rows, named, rest, replace_all=True)
    return _answered("池更新成功", row.public_id)


def _fresh(given: Any, usual: Any) -> tuple[list[Item], list[str]]:
    """Items that are to be added, each in full."""
    items, wrong = _items(given, usual)
    return items, wrong + [f"Gemini Key #{item.number} 无效" for item in items if not item.secret]


def _items(given: Any, usual: Any) -> tuple[list[Item], list[str]]:
    if isinstance(given, list) and len(given) > MOST_ITEMS:
        return [], [f"一次最多 {MOST_ITEMS} 个 Gemini Key"]
    items, wrong = aside(read_items, given, usual if isinstance(usual, str) else "")
    known = keypool().catalogue.providers
    strange = [item for item in items if item.provider and item.provider not in known]
    return items, wrong + [f"Gemini Key #{item.number} 无效: 未知的 provider {item.provider!r}" for item in strange]


def _matched(items: Sequence[Item], rows: Sequence[KeyRow]) -> tuple[dict[int, Item], list[Item]]:
    """Raises `Fault` 409 for a mask that means no key, or several."""
    try:
        return aside(match, items, [Seated(row.id, row.public_id, row.hint) for row in rows])
    except Unclear as problem:
        raise unclear(problem.number) from None


def _resecret(named: Mapping[int, Item]) -> None:
    """A key named by its id that comes with another secret has that one now. Raises `Fault` 409 for one that is a key
    already."""
    inventory = keypool().inventory
    in_full = {key_id: item for key_id, item in named.items() if item.secret}
    known = aside(inventory.secrets, list(in_full))
    for key_id, item in in_full.items():
        if known[key_id] == item.secret:
            continue
        try:
            inventory.replace_secret(key_id, item.secret)
        except KeyTaken:
            message = f"Gemini Key #{item.number}: 该密钥已存在 (this secret is another key already)"
            param = f"geminiKeys[{item.number - 1}].key"
            raise Fault(409, "duplicate_key", message, param=param, retryable=False) from None
        audit("key.secret", f"key {key_id}", before={"key": mask(known[key_id])}, after={"key": mask(item.secret)})


def _settle(
    row: PoolRow, rows: Sequence[KeyRow], named: Mapping[int, Item], rest: Sequence[Item], replace_all: bool = False
) -> dict[str, int]:
    """Make the keys of a pool what the items say; how many of the new ones ended how."""
    inventory, known, kept = keypool().inventory, {key.id: key for key in rows}, dict(named)
    given = [
        Row(item.number, item.secret, item.provider, 1 if item.weight is None else item.weight, name=item.name or "")
        for item in rest
    ]
    fates: dict[str, int] = {}
    for taken, item in zip(inventory.add_keys(given, row.id, "api", "admin") if given else [], rest, strict=True):
        fates[taken.fate] = fates.get(taken.fate, 0) + 1
        kept.setdefault(taken.key_id, item)
    seats, names, woken = _wishes(row.id, known, kept)
    gone = [key_id for key_id in known if key_id not in kept] if replace_all else []
    binned, unlinked = [], []
    if seats or names or gone:
        binned, unlinked = inventory.settle_members(row.id, seats, names, gone)
    if woken:
        inventory.set_disabled(woken, None)
    before = {"binned": binned, "unlinked": unlinked, "keys": {str(key_id): known[key_id].hint for key_id in gone}}
    after = {"changed": sorted({*seats, *names, *woken}), **fates}
    if any(before.values()) or any(after.values()):
        audit("pool.keys", f"pool {row.id}", before=before, after=after)
    return fates


def _wishes(
    pool_id: int, known: Mapping[int, KeyRow], kept: Mapping[int, Item]
) -> tuple[dict[int, dict[str, Any]], dict[int, str], list[int]]:
    """What differs: columns of seats, names, and keys a person had disabled that are to serve again."""
    seats: dict[int, dict[str, Any]] = {}
    names, woken = dict[int, str](), list[int]()
    for key_id, item in kept.items():
        key = known.get(key_id)
        enabled, weight = place(key, pool_id) if key is not None else (True, item.weight)
        columns: dict[str, Any] = {}
        if item.weight not in (None, weight):
            columns["weight"] = item.weight
        if item.enabled not in (None, enabled):
            columns["enabled"] = item.enabled
            woken += [key_id] if item.enabled else []
        if columns:
            seats[key_id] = columns
        if key is not None and item.name is not None and item.name != key.name:
            names[key_id] = item.name
    return seats, names, woken


def _whole(row: PoolRow) -> dict[str, Any]:
    return shown(row, keypool().inventory.auth_key(row.id))


def _answered(message: str, reference: str, status: int = 200) -> Response:
    return answer({"success": True, "message": message, "pool": _whole(_pool(reference))}, status)
