"""Upstream keys as programs manage them: `/admin/keys`, in the shapes of two predecessors and in one of our own."""

from __future__ import annotations

from typing import Any, Literal

from flask import Response
from pydantic import Field

from pool.adapters import queries
from pool.checking import ALIVE
from pool.web.acts import ACTS, Deed, do, packed
from pool.web.api.answers import answer, gradually
from pool.web.api.key_shapes import (
    LISTED,
    KeyFilters,
    KeyTold,
    cursor_of,
    key_of,
    key_told,
    place_of,
    plainly,
)
from pool.web.api.operations import Asked, Told, operation
from pool.web.api.unlocking import unlock
from pool.web.here import audit, keypool, now, read

TAG = "keys"


class KeysAsked(KeyFilters):
    limit: int = Field(LISTED, ge=1, le=LISTED)
    after: str = Field("", max_length=200, description="`next` of the page before.")
    sort: Literal["id", "created_at", "last_used_at", "requests", "errors", "tokens", "cost_usd", "success_rate"] = "id"
    order: Literal["asc", "desc"] = "desc"
    count: bool = Field(False, description="Tell how many there are, too.")


class KeysTold(Told):
    success: bool
    data: list[KeyTold]
    next: str | None
    total: int | None = None


class RestTold(Told):
    model: str
    reason: str
    status: int | None
    since: float
    until: float | None
    text: str = Field(description="What the upstream said, without anything secret.")


class OneKeyTold(Told):
    success: bool
    data: KeyTold
    resting: list[RestTold] = Field(description="What it rests for, model by model.")


class ChangedTold(Told):
    success: bool
    message: str
    data: KeyTold | None = None


class CheckTold(Told):
    result: Literal["alive", "dead", "rests", "suspected", "unreachable", "undecided"]
    ms: int
    status: int = Field(description="What the upstream answered; 0 where nothing came.")
    reason: str
    kind: str


class TestedTold(Told):
    success: bool
    message: str
    data: KeyTold
    check: CheckTold


class ToggleAsked(Asked):
    is_active: bool | None = Field(None, description="Left out, it becomes the other thing.")
    isActive: bool | None = None
    enabled: bool | None = None


class RevealAsked(Asked):
    password: str | None = Field(None, max_length=1_000, description="Needed unless typed in this session lately.")


class RevealedTold(Told):
    success: bool
    id: int
    public_id: str
    provider: str
    key: str = Field(description="The key itself.")


@operation("GET", "/admin/keys", tag=TAG, summary="List keys", query=KeysAsked, answers={200: KeysTold})
def list_keys(query: KeysAsked) -> Response:
    """Keys with their masks, the newest first unless asked otherwise, filtered as on the page of keys."""
    return listed(query)


@operation("GET", "/admin/bin", tag=TAG, summary="List deleted keys", query=KeysAsked, answers={200: KeysTold})
def list_bin(query: KeysAsked) -> Response:
    """The keys that can still be restored: for seven days."""
    return listed(query.model_copy(update={"binned": True}))


def listed(query: KeysAsked) -> Response:
    wanted, order = query.wanted(), queries.Order(query.sort, query.order == "desc")
    rows = read(queries.key_page, wanted, order, after=place_of(query.after), size=query.limit + 1)
    shown = rows[: query.limit]
    at = now()
    told: dict[str, Any] = {"success": True, "data": gradually(shown, lambda row: key_told(row, at))}
    told["next"] = cursor_of(shown[-1], order) if len(rows) > query.limit else None
    if query.count:
        told["total"] = read(queries.key_count, wanted)
    return answer(told)


@operation("GET", "/admin/keys/<key_id>", tag=TAG, summary="One key", answers={200: OneKeyTold})
def get_key(key_id: str) -> Response:
    """A key by its number or its public id, with what it rests for."""
    row, at = key_of(key_id), now()
    rests = [{name: getattr(rest, name) for name in RestTold.model_fields} for rest in _rests(row, at)]
    return answer({"success": True, "data": key_told(row, at), "resting": rests})


def _rests(row: queries.KeyRow, at: float) -> list[queries.Rest]:
    return read(queries.rests_of, row.id, at)


@operation("DELETE", "/admin/keys/<key_id>", tag=TAG, summary="Delete a key", answers={200: ChangedTold})
def delete_key(key_id: str) -> Response:
    """It goes to the bin, where it stays for seven days."""
    row = key_of(numbered(key_id))
    act(row, Deed("delete"))
    message = "API Key删除成功" if key_id.isdigit() else "Key deleted successfully"
    return answer({"success": True, "message": message, "data": None})


def numbered(reference: str) -> str:
    """An id of either kind; answers 400 for what is none, as a predecessor does."""
    if not (reference.isdigit() or reference.startswith("key_")):
        plainly("无效的key ID", 400)
    return reference


@operation(
    "POST", "/admin/keys/<key_id>/toggle", tag=TAG, summary="Enable or disable a key",
    body=ToggleAsked, answers={200: ChangedTold}, example={"is_active": False},
)  # fmt: skip
def toggle_key(key_id: str, body: ToggleAsked) -> Response:
    """As `is_active` says; without it, it becomes the other thing."""
    row, at = key_of(numbered(key_id)), now()
    given = (body.is_active, body.isActive, body.enabled)
    enable = next((each for each in given if each is not None), not key_told(row, at)["enabled"])
    act(row, Deed("enable" if enable else "disable"))
    return changed(row.id, "API Key已启用" if enable else "API Key已禁用")


def act(row: queries.KeyRow, deed: Deed) -> None:
    """Do it to one key, and note it in the trail."""
    done = do(keypool(), deed, [row])
    before = {kind: packed(by_key) for kind, by_key in done.before.items()}
    audit(ACTS[deed.action].trail, f"key {row.id}", before, {"key": row.hint, **deed.told()})


def changed(key_id: int, message: str, status: int = 200, **more: Any) -> Response:
    row = read(queries.key_row, key_id)
    told = key_told(row, now()) if row is not None else None
    return answer({"success": True, "message": message, **more, "data": told}, status)


@operation("POST", "/admin/keys/<key_id>/test", tag=TAG, summary="Test a key", answers={200: TestedTold})
def test_key(key_id: str) -> Response:
    """Asks its provider for the list of models, which spends no quota. What is refused for good is dead from now on."""
    row = key_of(key_id)
    found = next(iter(keypool().checker.check([row.id])), None)
    if found is None:
        plainly("Key not found", 404)
    audit("key.test", f"key {row.id}", after={"key": row.hint, "found": found.word})
    check = {"result": found.word, "ms": found.ms, "status": found.status, "reason": found.reason, "kind": found.kind}
    message = "The key is alive." if found.word == ALIVE else f"The key is {found.word}."
    return changed(row.id, message, check=check)


@operation("POST", "/admin/keys/<key_id>/clear", tag=TAG, summary="Forget what is known against a key",
           answers={200: ChangedTold})  # fmt: skip
def clear_key(key_id: str) -> Response:
    """Cooling or dead, it is tried again at once."""
    row = key_of(key_id)
    act(row, Deed("clear"))
    return changed(row.id, "The key is used again at once.")


@operation("POST", "/admin/keys/<key_id>/clear-cooldown", tag=TAG, summary="End a key's cooldowns",
           answers={200: ChangedTold})  # fmt: skip
def clear_cooldown(key_id: str) -> Response:
    """The same as `clear`."""
    return clear_key(key_id)


@operation("POST", "/admin/keys/<key_id>/reset-counters", tag=TAG, summary="Count a key's requests from 0 again",
           answers={200: ChangedTold})  # fmt: skip
def reset_key(key_id: str) -> Response:
    """Its requests, successes and errors; one that was at its cap is used again."""
    row = key_of(key_id)
    act(row, Deed("reset_counters"))
    return changed(row.id, "The key's counters are reset.")


@operation("POST", "/admin/keys/<key_id>/restore", tag=TAG, summary="Restore a deleted key", answers={200: ChangedTold})
def restore_key(key_id: str) -> Response:
    """Out of the bin, into the pools it was in."""
    row = key_of(key_id, binned=True)
    act(row, Deed("restore"))
    return changed(row.id, "The key is back.")


@operation("POST", "/admin/keys/<key_id>/reveal", tag=TAG, summary="Show a key in full",
           body=RevealAsked, answers={200: RevealedTold}, example={"password": "…"})  # fmt: skip
def reveal_key(key_id: str, body: RevealAsked) -> Response:
    """Only with the admin password, here or typed in this session up to ten minutes ago; and it is noted."""
    row = key_of(key_id)
    unlock(body.password)
    secret = keypool().inventory.secrets([row.id]).get(row.id)
    if secret is None:
        plainly("Key not found", 404)
    audit("key.reveal", f"key {row.id}", after={"key": row.hint})
    told = {"id": row.id, "public_id": row.public_id, "provider": row.provider, "key": secret}
    return answer({"success": True, **told})
