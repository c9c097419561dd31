"""What a key looks like in JSON, for programs of ours and of the predecessors, and how a list is narrowed down."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NoReturn

import orjson
from flask import abort
from pydantic import Field, StringConstraints

from pool.adapters import queries
from pool.adapters.queries import KeyRow
from pool.core import lengths
from pool.core.addresses import masked_proxy
from pool.core.catalogue import LIMITED
from pool.core.faults import Fault
from pool.core.keys import FOREVER
from pool.core.limits import NANO_USD
from pool.explaining import find_pool
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told
from pool.web.here import keypool, now, read
from pool.web.shown import standing

LISTED = 500

Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=lengths.LINE)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=lengths.NOTE)]
Reference = Annotated[int, Field(ge=0)] | Annotated[str, StringConstraints(max_length=lengths.LINE)]
"""A key or a pool: by its id or its public id, a pool by its name as well."""


class SeatTold(Told):
    id: int
    public_id: str
    name: str
    weight: int = Field(description="0: it serves only where no other key can.")
    tier: int = Field(description="0 is asked first.")
    enabled: bool


class KeyTold(Told):
    """A key. Never its secret: that is for `reveal` and `copy`."""

    id: int
    public_id: str
    provider: str
    key: str = Field(description="Its mask. Written back, it changes nothing.")
    name: str
    note: str
    email: str
    tags: list[str]
    project: str
    metadata: dict[str, Any] = Field(description="What programs noted of it; `description` is the note.")
    status: Literal["healthy", "cooling", "limited", "disabled", "dead", "binned"]
    reason: str = Field(description="Why it is not used, as a code, or as the upstream said it.")
    model: str = Field(description="The model it rests for; empty: for all.")
    until: float | None = Field(description="When it is used again, as far as somebody knows.")
    enabled: bool
    disabled_at: float | None
    disabled_until: float | None
    dead_at: float | None
    pools: list[SeatTold]
    max_requests: int | None
    max_requests_window: str
    limits: dict[str, dict[str, int]] = Field(description="By model; `*` stands for every other one.")
    proxy_url: str | None
    fallback_to_direct: bool
    requests: int
    successes: int
    errors: int
    success_rate: float
    tokens: int
    cost_usd: float
    last_used_at: float | None
    last_error: str
    last_error_at: float | None
    checked_at: float | None
    origin: str
    import_id: int | None
    created_at: float
    updated_at: float
    deleted_at: float | None
    api_key: str = Field(description="`key`, as a predecessor calls it; so are those that follow.")
    gmail_email: str
    notes: str
    is_active: bool
    total_requests: int
    error_count: int


class KeyFilters(Asked):
    """Which keys; what is left out leaves none out."""

    q: str = Field("", max_length=100, description="Part of a mask, name, note, e-mail, project, tag or last error.")
    state: Literal["", "all", "healthy", "cooling", "limited", "disabled", "dead", "untested"] = ""
    code: str = Field("", max_length=60, description="The last error's status or code, or what a key rests for.")
    tag: str = Field("", max_length=lengths.LINE)
    project: str = Field("", max_length=lengths.LINE)
    provider: str = Field("", max_length=60)
    pool: Reference | None = Field(None, description="An id, a public id or a name.")
    binned: bool = Field(False, description="Those in the bin, and no others.")

    def wanted(self) -> queries.Wanted:
        """Raises `Fault` 404 for a pool there is not."""
        pool_id = None if self.pool is None else pool_of(self.pool)
        state = "" if self.state == "all" else self.state
        limited = limited_keys() if state == LIMITED else ()
        return queries.Wanted(
            now(), self.q.strip(), state, self.code, self.tag, self.project, self.provider, pool_id, self.binned,
            limited,
        )  # fmt: skip


def pool_of(reference: int | str, param: str = "pool") -> int:
    """Raises `Fault` 404."""
    pool = find_pool(keypool().catalogue, str(reference))
    if pool is None or not reference:
        raise Fault(404, "pool_not_found", f"There is no pool {reference!r}.", param=param, retryable=False)
    return pool.id


def limited_keys() -> list[int]:
    """The keys at a limit of their own: only memory knows."""
    limited: list[int] = keypool().catalogue.limited(now())
    return limited


def key_told(row: KeyRow, at: float) -> dict[str, Any]:
    enabled = row.disabled_at is None or (row.disabled_until is not None and row.disabled_until <= at)
    held = keypool().catalogue.keys.get(row.id)
    return {
        "id": row.id,
        "public_id": row.public_id,
        "provider": row.provider,
        "key": row.hint,
        "name": row.name,
        "note": row.note,
        "email": row.email,
        "tags": list(row.tags),
        "project": row.project,
        "metadata": metadata_of(row),
        **_standing(row, at),
        "enabled": enabled,
        "disabled_at": None if enabled else row.disabled_at,
        "disabled_until": None if enabled else row.disabled_until,
        "dead_at": row.dead_at,
        "pools": [_seat(seat) for seat in row.places],
        "max_requests": row.max_requests,
        "max_requests_window": row.max_requests_window,
        "limits": dict(row.limits or {}),
        "proxy_url": masked_proxy(held.proxy_url) if held is not None and held.proxy_url else None,
        "fallback_to_direct": row.fallback_to_direct,
        "requests": row.requests,
        "successes": row.successes,
        "errors": row.errors,
        "success_rate": round(row.success_rate, 4),
        "tokens": row.tokens,
        "cost_usd": row.cost_nano / NANO_USD,
        "last_used_at": row.last_used_at,
        "last_error": row.last_error,
        "last_error_at": row.last_error_at,
        "checked_at": row.checked_at,
        "origin": row.origin,
        "import_id": row.import_id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "deleted_at": row.deleted_at,
        "api_key": row.hint,
        "gmail_email": row.email,
        "notes": row.note,
        "is_active": enabled,
        "total_requests": row.requests,
        "error_count": row.errors,
    }


def metadata_of(row: KeyRow) -> dict[str, Any]:
    """What programs noted of a key; a part of it has columns of its own."""
    own = {"description": row.note, "tags": list(row.tags), "email": row.email}
    return {**(row.details or {}), **{name: value for name, value in own.items() if value}}


def _standing(row: KeyRow, at: float) -> dict[str, Any]:
    if row.deleted_at is not None:
        return {"status": "binned", "reason": "", "model": "", "until": None}
    stands = standing(row, keypool().catalogue.benches(row.id), at)
    word = LIMITED if stands.word == "cooling" and stands.reason == LIMITED else stands.word
    until = None if stands.until == FOREVER else stands.until
    return {"status": word, "reason": stands.reason, "model": stands.model, "until": until}


def _seat(seat: queries.Seat) -> dict[str, Any]:
    pool = keypool().catalogue.pools.get(seat.pool_id)
    return {
        "id": seat.pool_id,
        "public_id": pool.public_id if pool is not None else "",
        "name": seat.pool,
        "weight": seat.weight,
        "tier": seat.tier,
        "enabled": seat.enabled,
    }


# -- ids and places ---------------------------------------------------------------------------------------------------


def as_key_id(reference: str) -> int | None:
    """The id of a key from an address; None where the text is no id, or nobody's."""
    if reference.isascii() and reference.isdigit():
        return int(reference) if len(reference) <= 18 else None
    if reference.startswith("key_"):
        return read(queries.key_ids_of, [reference]).get(reference)
    return None


def key_of(reference: str, binned: bool = False) -> KeyRow:
    """The key an address names; answers 404 where there is none, or it is in the bin (or is not)."""
    key_id = as_key_id(reference)
    row = read(queries.key_row, key_id, binned) if key_id is not None else None
    if row is None:
        plainly("Key not found", 404)
    return row


def plainly(message: str, status: int) -> NoReturn:
    """End a request as two of the predecessors do: the error is a text."""
    abort(answer({"success": False, "error": message, "message": message}, status))


def ids_of(references: Iterable[int | str]) -> tuple[list[int], list[str]]:
    """Keys by either kind of id: their numbers, and those references that are nobody's."""
    named = [str(each) for each in dict.fromkeys(references)]
    public = read(queries.key_ids_of, [each for each in named if not each.isdecimal()])
    found = {each: public.get(each) or (int(each) if each.isdecimal() and len(each) <= 18 else None) for each in named}
    return sorted({key_id for key_id in found.values() if key_id}), [each for each in named if not found[each]]


def cursor_of(row: KeyRow, order: queries.Order) -> str:
    """Where a page ended, as `next` has it."""
    value = {"cost_usd": row.cost_nano, "last_used_at": row.last_used_at or 0.0}.get(order.by)
    place = [getattr(row, order.by) if value is None else value, row.id]
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def place_of(cursor: str) -> tuple[float, int] | None:
    """Raises `Fault` 400 for what is no cursor."""
    if not cursor:
        return None
    try:
        value, key_id = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not all(type(each) in (int, float) and abs(each) < 2**62 for each in (value, key_id)):
            raise ValueError(cursor)
    except (ValueError, TypeError, binascii.Error):
        message = "`after`: take it from `next` of the page before."
        raise Fault(400, "invalid_value", message, param="after", retryable=False) from None
    return value, int(key_id)


PROBLEMS: Mapping[str, str] = {
    "no_key": "There is no key.",
    "access_token": "This is an access token, which ends within the hour; it is no API key.",
    "jwt": "This is a signed token, and no API key.",
    "oauth_secret": "This is the secret of an OAuth client, and no API key.",
    "own_key": "This is a key of Keypool itself.",
    "private_key": "This is a private key, and no API key.",
    "characters": "An API key holds no spaces, and no characters like these.",
    "short": "This is too short to be an API key.",
    "long": "This is too long to be an API key.",
}
"""What is said of a text that can never be a key."""
