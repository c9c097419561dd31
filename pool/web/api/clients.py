"""Client keys as programs manage them: `/admin/clients`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from flask import Response
from pydantic import AfterValidator, Field, StringConstraints

from pool.adapters import queries
from pool.core import lengths
from pool.core.catalogue import Pool
from pool.core.faults import Fault
from pool.core.limits import LIMIT_NAMES, MOST, MOST_ADDRESSES, MOST_USD, NANO_USD, usual_rpm
from pool.core.masking import mask
from pool.core.periods import month_began
from pool.core.quota import last_reset
from pool.core.twice import NameTaken
from pool.explaining import find_pool
from pool.web.access import is_network
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told, operation
from pool.web.here import audit, keypool, now, read

Row = TypeVar("Row", bound=Any)

LISTED = 500
LATEST = 32_503_680_000
"""The year 3000: who names a later moment means milliseconds."""

MOST_OVERLAP_S = 90 * 86_400


def _network(text: str) -> str:
    if not is_network(text):
        raise ValueError("this is no address or network")
    return text


def _each_once(entries: list[str]) -> list[str]:
    return list(dict.fromkeys(entries))


Whole = Annotated[int, Field(ge=0, le=MOST, strict=True)]
Money = Annotated[float, Field(ge=0, le=MOST_USD, strict=True)]
Moment = Annotated[float, Field(ge=0, le=LATEST, strict=True, description="Unix seconds.")]
Reference = Annotated[int, Field(ge=0, strict=True)] | Annotated[str, StringConstraints(max_length=lengths.LINE)]
"""A pool by its id, its public id or its name."""

Model = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=lengths.MODEL)]
Models = Annotated[list[Model], Field(max_length=lengths.MODELS), AfterValidator(_each_once)]
Network = Annotated[str, StringConstraints(strip_whitespace=True, max_length=50), AfterValidator(_network)]
Networks = Annotated[list[Network], Field(max_length=MOST_ADDRESSES), AfterValidator(_each_once)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=lengths.CLIENT_NAME)]


class HolderLimits(Asked):
    """What a client key, or a pool, is held to. 0 is a limit; null takes one away."""

    rpm_limit: Whole | None = Field(None, description="Requests per minute.")
    tpm_limit: Whole | None = Field(None, description="Tokens per minute.")
    rpd_limit: Whole | None = Field(None, description="Requests per quota day.")
    concurrency_limit: Whole | None = Field(None, description="Requests at a time.")
    budget_usd_day: Money | None = None
    budget_usd_month: Money | None = None


class ClientFields(HolderLimits):
    """What may be said of a client key. null takes a restriction away, and so does an empty list."""

    pool: Reference | None = Field(None, description="Its id, its public id or its name; at first `default`.")
    enabled: bool = True
    expires_at: Moment | None = None
    allowed_models: Models | None = Field(None, description="Names, or patterns such as `gemini-*`.")
    allowed_ips: Networks | None = Field(None, description="Addresses, or networks such as `10.0.0.0/8`.")
    permissions: list[Literal["raw"]] | None = Field(None, description="`raw`: routes that are passed through as is.")


class ClientAsked(ClientFields):
    name: Name


class ClientChanges(ClientFields):
    """Only what is named is changed."""

    name: Name = ""


class PageAsked(Asked):
    limit: int = Field(50, ge=1, le=LISTED)
    after: int = Field(0, ge=0, description="`next` of the page before.")


class ClientsAsked(PageAsked):
    q: str = Field("", max_length=lengths.LINE, description="A part of the name or of the masked key.")
    pool: str | None = None
    enabled: bool | None = None


class Overlap(Asked):
    overlap_s: float = Field(0.0, ge=0, le=MOST_OVERLAP_S, description="How long the old key goes on working.")


class SpentTold(Told):
    requests: int
    tokens: int
    cost_usd: float


class SpendingTold(Told):
    day: SpentTold
    month: SpentTold


class LimitsTold(Told):
    rpm_limit: int | None
    tpm_limit: int | None
    rpd_limit: int | None
    concurrency_limit: int | None
    budget_usd_day: float | None
    budget_usd_month: float | None


class ClientTold(LimitsTold):
    id: int
    name: str
    key: str = Field(description="Masked, but where it was just made.")
    pool_id: int
    pool: str
    enabled: bool
    origin: str
    permissions: list[str]
    allowed_models: list[str]
    allowed_ips: list[str]
    expires_at: float | None
    revoked_at: float | None
    previous_works_until: float | None
    last_used_at: float | None
    created_at: float
    updated_at: float
    spent: SpendingTold = Field(description="In the quota day, and in the month.")


class ClientsTold(Told):
    clients: list[ClientTold]
    next: str | None


class Gone(Told):
    success: bool
    message: str


@operation(
    "GET", "/admin/clients", tag="clients", summary="Client keys", query=ClientsAsked, answers={200: ClientsTold}
)
def list_clients(query: ClientsAsked) -> Response:
    """In the order they were made. A deleted one is not listed; one that was revoked is, as not enabled."""
    clients, next_ = listed(query)
    return answer({"clients": clients, "next": next_})


@operation(
    "POST", "/admin/clients", tag="clients", summary="Make a client key", body=ClientAsked, answers={201: ClientTold},
    example={"name": "ana", "pool": "default", "rpm_limit": 60, "budget_usd_month": 20},
)  # fmt: skip
def create_client(body: ClientAsked) -> Response:
    """The answer holds the key in full, and nothing shows it again. Without `rpm_limit` it has the usual one."""
    return answer(made(body.name, body), 201)


@operation("GET", "/admin/clients/<int:client_id>", tag="clients", summary="One client key", answers={200: ClientTold})
def show_client(client_id: int) -> Response:
    return answer(told(found(client_id), spending()))


_CHANGE: dict[str, Any] = {
    "tag": "clients",
    "body": ClientChanges,
    "answers": {200: ClientTold},
    "example": {"rpm_limit": 120},
}


@operation("PUT", "/admin/clients/<int:client_id>", summary="Change a client key, like PATCH", **_CHANGE)
@operation("PATCH", "/admin/clients/<int:client_id>", summary="Change a client key", **_CHANGE)
def update_client(client_id: int, body: ClientChanges) -> Response:
    """Whatever is left out stays as it is. `enabled: false` revokes it until somebody enables it again."""
    return answer(told(changed(found(client_id), body), spending()))


@operation(
    "DELETE", "/admin/clients/<int:client_id>", tag="clients", summary="Delete a client key", answers={200: Gone}
)
def delete_client(client_id: int) -> Response:
    """It is refused from now on, for good. Its name stays beside its requests."""
    deleted(found(client_id))
    return answer({"success": True, "message": "The client key was deleted."})


@operation(
    "POST",
    "/admin/clients/<int:client_id>/rotate",
    tag="clients",
    summary="Give a client key a new secret",
    body=Overlap,
    answers={200: ClientTold},
)
def rotate_client(client_id: int, body: Overlap) -> Response:
    """The answer holds the new key in full, and nothing shows it again."""
    return answer(rotated(found(client_id), body.overlap_s))


# -- what the predecessor's routes do as well -------------------------------------------------------------------------


def listed(query: ClientsAsked) -> tuple[list[dict[str, Any]], str | None]:
    """A page, and where the next one begins. Raises `Fault` 404 for a pool there is not."""
    wanted = pool_named(query.pool).id if query.pool else None
    rows = read(
        queries.client_page, after=query.after, size=query.limit + 1, search=query.q, pool_id=wanted,
        enabled=query.enabled,
    )  # fmt: skip
    (page, next_), spent = page_of(rows, query.limit), spending()
    return [told(row, spent) for row in page], next_


def page_of(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], str | None]:
    """Of rows that were read up to one beyond a page: the page, and where the next one begins."""
    page = rows[:limit]
    return page, str(page[-1].id) if len(rows) > limit else None


def found(client_id: int) -> queries.ClientWhole:
    """Raises `Fault` 404."""
    row = read(queries.client_whole, client_id)
    if row is None:
        raise Fault(404, "client_not_found", "User key not found", retryable=False)
    return row


def made(name: str, body: ClientFields) -> dict[str, Any]:
    """A new client key, told with its token. Raises `Fault` 409 where one of that name is in force."""
    settings, columns = keypool().preferences.current, _columns(body)
    if "rpm_limit" not in columns:
        columns["rpm_limit"] = usual_rpm(settings.rate_limit_requests, settings.rate_limit_window)
    columns.pop("name", None)
    pool_id = columns.pop("pool_id", keypool().catalogue.default_pool_id)
    try:
        client_id, token = keypool().inventory.create_client(name, pool_id, **columns)
    except NameTaken:
        raise _taken() from None
    audit("client.create", f"client {client_id}", after={"name": name, "pool": pool_id, "key": mask(token), **columns})
    return {**told(found(client_id), spending()), "key": token}


def changed(row: queries.ClientWhole, body: ClientFields) -> queries.ClientWhole:
    """A client key after a change. Raises `Fault` 409 where another one in force has the name."""
    before = _before(row)
    columns = {name: value for name, value in _columns(body).items() if value != before[name]}
    if row.revoked_at and columns.get("revoked_at"):
        del columns["revoked_at"]
    if not columns:
        return row
    try:
        keypool().inventory.update_client(row.id, **columns)
    except NameTaken:
        raise _taken() from None
    audit("client.update", f"client {row.id}", before={name: before[name] for name in columns}, after=columns)
    return found(row.id)


def rotated(row: queries.ClientWhole, overlap_s: float) -> dict[str, Any]:
    """A client key with its new token. Raises `Fault` 409 for one that is revoked."""
    if not row.enabled:
        raise Fault(409, "client_revoked", "This client key is revoked: enable it first.", retryable=False)
    token = keypool().inventory.rotate_client(row.id, overlap_s)
    after = {"key": mask(token), "overlap_s": overlap_s}
    audit("client.rotate", f"client {row.id}", before={"key": row.hint}, after=after)
    return {**told(found(row.id), spending()), "key": token}


def deleted(row: queries.ClientWhole) -> None:
    keypool().inventory.delete_client(row.id)
    audit("client.delete", f"client {row.id}", before={"name": row.name, "key": row.hint})


def told(row: queries.ClientWhole, spent: Mapping[int, queries.Spending]) -> dict[str, Any]:
    here = spent.get(row.id, queries.Spending())
    return {
        "id": row.id, "name": row.name, "key": row.hint, "pool_id": row.pool_id, "pool": row.pool,
        "enabled": row.enabled, "origin": row.origin, "permissions": list(row.permissions),
        "allowed_models": list(row.allowed_models), "allowed_ips": list(row.allowed_ips), **row.limits,
        "expires_at": row.expires_at, "revoked_at": row.revoked_at, "previous_works_until": _overlap(row),
        "last_used_at": row.last_used_at, "created_at": row.created_at, "updated_at": row.updated_at,
        "spent": {"day": _spent(here.day), "month": _spent(here.month)},
    }  # fmt: skip


def spending() -> Mapping[int, queries.Spending]:
    """What each client key used today and this month."""
    at = now()
    return read(queries.client_spend, last_reset(at, keypool().preferences.current.quota_reset), month_began(at))


def pool_named(reference: str | int) -> Pool:
    """Raises `Fault` 404."""
    pool = find_pool(keypool().catalogue, str(reference)) if reference != "" else None
    if pool is None:
        message = f"There is no pool {str(reference)[:lengths.LINE]!r}."
        raise Fault(404, "pool_not_found", message, param="pool", retryable=False)
    return pool


def _overlap(row: queries.ClientWhole) -> float | None:
    return row.overlap_until if row.overlap_until and row.overlap_until > now() else None


def _spent(spent: queries.Spent) -> dict[str, Any]:
    return {"requests": spent.requests, "tokens": spent.tokens, "cost_usd": spent.cost_nano / NANO_USD}


def _columns(body: ClientFields) -> dict[str, Any]:
    """The columns of what a body names, and of nothing else. Raises `Fault` 404 for a pool there is not."""
    given = body.model_dump(include=body.model_fields_set & COLUMNS)
    columns = {name: value or None if isinstance(value, list) else value for name, value in given.items()}
    if "enabled" in body.model_fields_set:
        columns["revoked_at"] = None if body.enabled else now()
    if body.pool is not None:
        columns["pool_id"] = pool_named(body.pool).id
    return columns


COLUMNS = {"name", "expires_at", "allowed_models", "allowed_ips", "permissions", *LIMIT_NAMES}


def _before(row: queries.ClientWhole) -> dict[str, Any]:
    """The same columns as they are."""
    lists = {name: list(getattr(row, name)) or None for name in ("permissions", "allowed_models", "allowed_ips")}
    plain = {name: getattr(row, name) for name in ("name", "pool_id", "expires_at", "revoked_at")}
    return {**plain, **lists, **row.limits}


def _taken() -> Fault:
    message = "There is a user key of this name that is in force."
    return Fault(409, "name_taken", message, param="name", retryable=False)
