"""Client keys under the address and in the shape of a predecessor: `/admin/keys/user`."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field, StringConstraints

from pool.adapters import queries
from pool.core import lengths
from pool.core.faults import Fault
from pool.web.api.answers import answer
from pool.web.api.clients import (
    LISTED,
    ClientFields,
    ClientsAsked,
    ClientTold,
    Gone,
    Moment,
    Overlap,
    Whole,
    changed,
    deleted,
    found,
    listed,
    made,
    rotated,
    spending,
    told,
)
from pool.web.api.operations import Asked, Told, operation
from pool.web.here import now, read

USUAL_NAME = "API User"


def _none_below_zero(value: Any) -> Any:
    """-1 is how that predecessor wrote "no limit"."""
    return None if isinstance(value, int | float) and value < 0 else value


Limit = Annotated[Whole | None, BeforeValidator(_none_below_zero)]
Named = Annotated[str, StringConstraints(strip_whitespace=True, max_length=lengths.CLIENT_NAME)]


class UserKeyFields(ClientFields):
    """The members of a client key, by that predecessor's names as well."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    name: Named = ""
    rpm_limit: Limit = None
    tpm_limit: Limit = None
    rpd_limit: Limit = None
    concurrency_limit: Limit = Field(
        None, validation_alias=AliasChoices("concurrency_limit", "max_concurrency")
    )  # fmt: skip
    expires_at: Moment | None = Field(None, validation_alias=AliasChoices("expires_at", "valid_until"))
    enabled: bool = Field(True, validation_alias=AliasChoices("enabled", "is_active", "isActive", "status"))


class Switch(Asked):
    """Without a word it is turned to the other side."""

    is_active: bool | None = Field(None, validation_alias=AliasChoices("is_active", "isActive", "enabled", "status"))


class UserKeysAsked(ClientsAsked):
    limit: int = Field(LISTED, ge=1, le=LISTED)


class UserKeyTold(ClientTold):
    status: int = Field(description="1 where it is in force, 0 where not.")
    last_used: float | None


class UserKeyAnswer(Told):
    success: bool
    message: str
    data: UserKeyTold


class UserKeysAnswer(Told):
    success: bool
    message: str
    data: list[UserKeyTold]
    next: str | None


_ONE: dict[str, Any] = {"tag": "clients", "answers": {200: UserKeyAnswer}}
_CHANGE: dict[str, Any] = {**_ONE, "body": UserKeyFields, "example": {"rpm_limit": 120}}


@operation(
    "GET", "/admin/keys/user", tag="clients", summary="User keys", query=UserKeysAsked, answers={200: UserKeysAnswer}
)
def list_user_keys(query: UserKeysAsked) -> Response:
    """The client keys of `/admin/clients`, with a predecessor's members beside ours."""
    clients, next_ = listed(query)
    keys = [_as_user_key(client) for client in clients]
    return answer({"success": True, "message": "Success", "data": keys, "next": next_})


@operation("POST", "/admin/keys/user", summary="Make a user key", body=UserKeyFields, example={"name": "ana"}, **_ONE)
def create_user_key(body: UserKeyFields) -> Response:
    """The answer holds the key in full, and nothing shows it again. Without a name it is called `API User`."""
    return _answered("User key generated successfully", made(body.name or _free_name(), body))


@operation("PUT", "/admin/keys/user/<int:client_id>", summary="Change a user key", **_CHANGE)
@operation("PATCH", "/admin/keys/user/<int:client_id>", summary="Change a user key", **_CHANGE)
def update_user_key(client_id: int, body: UserKeyFields) -> Response:
    """Whatever is left out stays as it is."""
    if "name" in body.model_fields_set and not body.name:
        raise Fault(400, "invalid_value", "`name` is empty.", param="name", retryable=False)
    return _answered("User key updated successfully", told(changed(found(client_id), body), spending()))


@operation(
    "DELETE", "/admin/keys/user/<int:client_id>", tag="clients", summary="Delete a user key", answers={200: Gone}
)
def delete_user_key(client_id: int) -> Response:
    """It is refused from now on, for good."""
    deleted(found(client_id))
    return answer({"success": True, "message": "User key deleted successfully"})


@operation(
    "POST", "/admin/keys/user/<int:client_id>/toggle", summary="Revoke a user key or enable it", body=Switch, **_ONE
)
def toggle_user_key(client_id: int, body: Switch) -> Response:
    row = found(client_id)
    wanted = body.is_active if body.is_active is not None else not row.enabled
    row = changed(row, ClientFields.model_validate({"enabled": wanted}))
    message = "User key enabled successfully" if wanted else "User key disabled successfully"
    return _answered(message, told(row, spending()))


@operation(
    "POST", "/admin/keys/user/<int:client_id>/rotate", summary="Give a user key a new secret", body=Overlap, **_ONE
)
def rotate_user_key(client_id: int, body: Overlap) -> Response:
    """The answer holds the new key in full, and nothing shows it again."""
    return _answered("User key rotated successfully", rotated(found(client_id), body.overlap_s))


def _free_name() -> str:
    """Names are told apart here: a second key without one has the moment it was made in its name."""
    taken = {row.name for row in read(queries.client_page, size=LISTED, search=USUAL_NAME, enabled=True)}
    return USUAL_NAME if USUAL_NAME not in taken else f"{USUAL_NAME} {int(now() * 1000)}"


def _answered(message: str, client: dict[str, Any]) -> Response:
    return answer({"success": True, "message": message, "data": _as_user_key(client)})


def _as_user_key(client: dict[str, Any]) -> dict[str, Any]:
    return {**client, "status": int(client["enabled"]), "last_used": client["last_used_at"]}
