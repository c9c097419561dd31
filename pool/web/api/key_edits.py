"""What a program changes of a key: only what it names, and only what is different from what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import AfterValidator, Field, model_validator

from pool.adapters.queries import KeyRow
from pool.core import lengths
from pool.core.addresses import masked_proxy, proxy_url
from pool.core.faults import Fault
from pool.core.importing_words import impossible
from pool.core.keys import FOREVER
from pool.core.limits import MOST
from pool.core.masking import is_masked, mask
from pool.core.twice import KeyTaken
from pool.web.api.key_shapes import PROBLEMS, KeyTold, Line, Note, Reference, key_of, metadata_of, pool_of
from pool.web.api.keys import TAG, ChangedTold, changed
from pool.web.api.operations import DEEPEST, Asked, operation, too_deep
from pool.web.here import audit, keypool, now

MOST_TAGS, MOST_NOTED, MOST_POOLS, MOST_MODELS = 50, 50, 500, 100

Whole = Annotated[int, Field(ge=0, le=MOST, strict=True)]
Weight = Annotated[int, Field(ge=0, le=100, strict=True, description="0: only where no other key can.")]
Tier = Annotated[int, Field(ge=0, le=100, strict=True, description="0 is asked first.")]
Secret = Annotated[str, Field(max_length=1_000)]


def _each_once(entries: list[str]) -> list[str]:
    return list(dict.fromkeys(entry for entry in entries if entry))


def _noted(notes: dict[str, Any]) -> dict[str, Any]:
    if too_deep(notes):
        raise ValueError(f"at most {DEEPEST} lists and objects within each other")
    if len(notes) > MOST_NOTED or len(repr(notes)) > 10_000:
        raise ValueError(f"at most {MOST_NOTED} members, and 10,000 characters in all")
    return notes


def _proxied(url: str) -> str:
    return url if not url or is_masked(url) else proxy_url(url)


Tags = Annotated[list[Line], Field(max_length=MOST_TAGS), AfterValidator(_each_once)]
Metadata = Annotated[dict[str, Any], AfterValidator(_noted)]
ProxyUrl = Annotated[str, Field(max_length=500), AfterValidator(_proxied)]


class ModelLimits(Asked):
    rpm: Whole | None = None
    tpm: Whole | None = None
    rpd: Whole | None = None


class SeatAsked(Asked):
    """A pool, by any of its names, and what the key is there."""

    id: int | None = None
    public_id: str = Field("", max_length=100)
    name: str = Field("", max_length=lengths.LINE)
    weight: Weight | None = None
    tier: Tier | None = None
    enabled: bool | None = None


class KeyWords(Asked):
    """What may be said of a key, when it is added and later."""

    name: Line | None = None
    note: Note | None = None
    email: Line | None = None
    tags: Tags | None = None
    project: Line | None = Field(None, description="Keys of one project share its quotas.")
    max_requests: Whole | None = Field(None, description="Attempts it may be used for; null: any number.")
    max_requests_window: Literal["none", "day", "month"] | None = None
    limits: Annotated[dict[str, ModelLimits], Field(max_length=MOST_MODELS)] | None = None
    proxy_url: ProxyUrl | None = Field(None, description="http://, https:// or socks5://; empty or null: none.")
    fallback_to_direct: bool | None = None
    metadata: Metadata | None = None
    pools: Annotated[list[Reference | SeatAsked], Field(max_length=MOST_POOLS)] | None = None
    weight: Weight | None = Field(None, description="In all of its pools.")
    tier: Tier | None = Field(None, description="In all of its pools.")
    enabled: bool | None = None
    disabled_until: float | None = Field(None, ge=0, le=32_503_680_000)


class KeyEdit(KeyWords):
    """Members that are left out stay as they are. What was read may be written back whole: what cannot be changed is
    passed over, and so is a masked key."""

    key: Secret | None = Field(None, description="Another secret in its place.")
    api_key: Secret | None = None
    apiKey: Secret | None = None
    notes: Note | None = None
    gmail_email: Line | None = None
    maxRequests: Whole | None = None
    is_active: bool | None = None
    isActive: bool | None = None
    status: int | Annotated[str, Field(max_length=20)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _pass_over(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if name in cls.model_fields or name not in _TOLD}


_TOLD = frozenset(KeyTold.model_fields)
_ALIASES = {
    "note": ("notes",),
    "email": ("gmail_email",),
    "max_requests": ("maxRequests",),
    "enabled": ("is_active", "isActive", "status"),
    "key": ("api_key", "apiKey"),
}
_STATUS = {"enabled": True, "active": True, "1": True, "disabled": False, "inactive": False, "0": False}


@operation("PUT", "/admin/keys/<key_id>", tag=TAG, summary="Change a key", body=KeyEdit, answers={200: ChangedTold},
           example={"note": "the team's", "tags": ["paid"], "max_requests": 1000})  # fmt: skip
def put_key(key_id: str, body: KeyEdit) -> Response:
    """Only what is named is changed, as by PATCH."""
    row = key_of(key_id)
    edit(row, said(row, body))
    return changed(row.id, "Key updated successfully")


@operation("PATCH", "/admin/keys/<key_id>", tag=TAG, summary="Change a key", body=KeyEdit, answers={200: ChangedTold},
           example={"enabled": False})  # fmt: skip
def patch_key(key_id: str, body: KeyEdit) -> Response:
    """Only what is named is changed."""
    return put_key(key_id, body)


def said(row: KeyRow | None, body: KeyWords) -> dict[str, Any]:
    """What a body names, by our own names. Of two names for one thing that one counts which says something new."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    held = _held(row)
    for name, others in _ALIASES.items():
        values = [_plain(other, given.pop(other)) for other in (name, *others) if other in given]
        values = [value for value in values if value is not _NOTHING]
        if values:
            given[name] = next((value for value in values if value != held.get(name)), values[0])
    noted = given.pop("metadata", None)
    return {**_of_metadata(row, noted, given), **given} if noted is not None else given


_NOTHING = object()


def _plain(name: str, value: Any) -> Any:
    """The value of an alias; nothing where it says none, as a state that is only told."""
    if name == "status":
        return _STATUS.get(str(value).lower(), _NOTHING)
    if name in ("key", "api_key", "apiKey") and (not value or is_masked(value)):
        return _NOTHING
    return value


def _held(row: KeyRow | None) -> dict[str, Any]:
    if row is None:
        return {}
    enabled = row.disabled_at is None or (row.disabled_until is not None and row.disabled_until <= now())
    return {"note": row.note, "email": row.email, "max_requests": row.max_requests, "enabled": enabled}


def _of_metadata(row: KeyRow | None, noted: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as columns, merged into what there is: null takes a member away. What was read changes nothing."""
    held = metadata_of(row) if row is not None else {}
    new = {name: value for name, value in noted.items() if value != held.get(name)}
    columns: dict[str, Any] = {}
    for member, column in (("description", "note"), ("email", "email"), ("tags", "tags")):
        value = new.get(member, _NOTHING)
        if value is None or isinstance(value, list if column == "tags" else str):
            columns[column] = _fit(column, new.pop(member))
    details = {**((row.details if row is not None else None) or {}), **new}
    kept = {name: value for name, value in details.items() if value is not None}
    return {**columns, "details": kept or None} if new or row is None else columns


def _fit(column: str, value: Any) -> Any:
    if column == "tags":
        return _each_once([str(tag).strip()[: lengths.LINE] for tag in value or ()][:MOST_TAGS])
    return (value or "").strip()[: lengths.NOTE if column == "note" else lengths.LINE]


# -- putting it in force ----------------------------------------------------------------------------------------------

_COLUMNS = (
    "name", "note", "email", "tags", "details", "project", "limits", "max_requests", "max_requests_window",
    "fallback_to_direct",
)  # fmt: skip
_NULLABLE = ("limits", "max_requests", "details")
_EMPTY: dict[str, Any] = {"tags": [], "fallback_to_direct": False, "max_requests_window": "none"}


def edit(row: KeyRow, given: Mapping[str, Any], trail: bool = True) -> None:
    """Change what is different, all of it or nothing. Raises `Fault`: 409 for a secret that is a key already, 404 for
    a pool there is not."""
    columns = {**_columns(row, given), **_proxy(row, given)}
    secret, places, until = _secret(row, given), _places(row, given), _until(row, given)
    before = {name: _shown(name, _now(row, name)) for name in columns}
    after = {name: _shown(name, value) for name, value in columns.items()}
    if secret is not None:
        before["key"], after["key"] = row.hint, mask(secret)
    if places is not None:
        before["pools"], after["pools"] = [_seat(seat) for seat in row.places], places
    disabled = None
    if until is not _NOTHING:
        ends = None if until in (None, FOREVER) else until
        disabled = (None if until is None else now(), ends)
        before["enabled"], after["enabled"], after["disabled_until"] = row.disabled_at is None, until is None, ends
    if not after:
        return
    try:
        keypool().inventory.change_key(row.id, secret, columns, places, disabled)
    except KeyTaken as taken:
        message = f"This API key is here already, as key {taken.key_id}."
        raise Fault(409, "key_exists", message, param="key", retryable=False, details={"id": taken.key_id}) from None
    if trail:
        audit("key.edit", f"key {row.id}", before, {"of": after.get("key", row.hint), **after})


def hold(given: Mapping[str, Any]) -> None:
    """Raises `Fault` for what can be said of no key at all: so that nothing is begun that `edit` would then refuse."""
    if given.get("pools") is not None:
        _pools(given["pools"])
    if is_masked(given.get("proxy_url") or ""):
        raise _masked_proxy()


def _columns(row: KeyRow, given: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name in _COLUMNS:
        if name in given:
            value = _stored(name, given[name])
            if value != _now(row, name):
                found[name] = value
    return found


def _stored(name: str, value: Any) -> Any:
    if name == "limits":
        limits = {
            model.removeprefix("models/"): each if isinstance(each, dict) else each.model_dump(exclude_none=True)
            for model, each in (value or {}).items()
        }
        return {model: each for model, each in limits.items() if each and len(model) <= lengths.MODEL} or None
    if value is None and name not in _NULLABLE:
        return _EMPTY.get(name, "")
    return value


def _now(row: KeyRow, name: str) -> Any:
    if name == "proxy_url":
        held = keypool().catalogue.keys.get(row.id)
        return held.proxy_url if held is not None else None
    value = getattr(row, name)
    return list(value) if name == "tags" else (value or None) if name in ("limits", "details") else value


def _proxy(row: KeyRow, given: Mapping[str, Any]) -> dict[str, Any]:
    """Written back as it was shown, a proxy keeps its password."""
    if "proxy_url" not in given:
        return {}
    value, held = given["proxy_url"] or None, _now(row, "proxy_url")
    if value == held or (value and held and value == masked_proxy(held)):
        return {}
    if value and is_masked(value):
        raise _masked_proxy()
    return {"proxy_url": value}


def _masked_proxy() -> Fault:
    message = "`proxy_url`: send it whole, or leave it out."
    return Fault(400, "invalid_value", message, param="proxy_url", retryable=False)


def _shown(name: str, value: Any) -> Any:
    return masked_proxy(value) if name == "proxy_url" and value else value


def _secret(row: KeyRow, given: Mapping[str, Any]) -> str | None:
    """Another secret in the place of a key's; None where it stays."""
    secret = (given.get("key") or "").strip()
    if not secret or keypool().inventory.secrets([row.id]).get(row.id) == secret:
        return None
    problem = impossible(secret)
    if problem:
        raise Fault(400, "invalid_value", f"`key`: {PROBLEMS[problem]}", param="key", retryable=False)
    return secret


def _places(row: KeyRow, given: Mapping[str, Any]) -> list[list[Any]] | None:
    """The key's places as they are to be; None where they stay."""
    now_there = {seat.pool_id: _seat(seat) for seat in row.places}
    wanted = dict(now_there)
    if given.get("pools") is not None:
        wanted = {}
        for pool_id, new in _pools(given["pools"]).items():
            held = now_there.get(pool_id, new)
            wanted[pool_id] = [was if is_ is None else is_ for is_, was in zip(new, held, strict=True)]
    for n, name in ((1, "weight"), (2, "tier")):
        if given.get(name) is not None:
            wanted = {key: [*place[:n], given[name], *place[n + 1 :]] for key, place in wanted.items()}
    return None if wanted == now_there else list(wanted.values())


def _pools(given: Sequence[int | str | SeatAsked]) -> dict[int, list[Any]]:
    """The places that are named, by the pool's id; what one leaves open is None."""
    wanted = {}
    for each in given:
        asked = each if isinstance(each, SeatAsked) else SeatAsked.model_validate({"name": str(each)})
        pool_id = pool_of(asked.id or asked.public_id or asked.name, "pools")
        wanted[pool_id] = [pool_id, asked.weight, asked.tier, asked.enabled]
    if not wanted:
        raise Fault(400, "invalid_value", "`pools`: a key is in one at least.", param="pools", retryable=False)
    return wanted


def _seat(seat: Any) -> list[Any]:
    return [seat.pool_id, seat.weight, seat.tier, seat.enabled]


def _until(row: KeyRow, given: Mapping[str, Any]) -> Any:
    """Until when the key is to be disabled (None: it is enabled), or `_NOTHING` where that stays."""
    enabled, until = _held(row)["enabled"], given.get("disabled_until")
    wanted = given.get("enabled")
    if wanted is None:
        wanted = enabled if until is None or until <= now() else False
    if wanted:
        return _NOTHING if enabled else None
    ends = FOREVER if until is None or until <= now() else until
    if "disabled_until" not in given and not enabled:
        return _NOTHING
    same = not enabled and ends == (FOREVER if row.disabled_until is None else row.disabled_until)
    return _NOTHING if same else ends
