"""Signing in and out by JSON: three addresses of three predecessors, one answer that serves each of their clients."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, request
from pydantic import ConfigDict, Field, SkipValidation

from pool.core.faults import Fault
from pool.web import login
from pool.web.api import OPEN
from pool.web.api.answers import answer, asked, refusal
from pool.web.api.credentials import COOKIE, foreign, is_password, presented
from pool.web.api.operations import Asked, Told, checked, operation
from pool.web.origin import same_origin

MOST_BYTES = 64_000


class Password(Asked):
    """The admin password. What else a client sends beside it is passed over."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    password: Annotated[str, SkipValidation] = Field("", examples=["…"])


class SignedInData(Told):
    success: bool
    token: str
    message: str


class SignedIn(Told):
    """`token` and `sessionToken` are the same; `expiresAt` is in milliseconds, `expires_at` in seconds."""

    success: bool
    message: str
    token: str
    sessionToken: str
    expiresAt: int
    expires_at: float
    data: SignedInData


class SignedOut(Told):
    success: bool


_SIGN_IN: dict[str, Any] = {
    "tag": "login", "summary": "Sign in", "body": Password, "answers": {200: SignedIn}, "most_bytes": MOST_BYTES,
}  # fmt: skip


@operation("POST", "/admin/login", **_SIGN_IN)
def sign_in_admin(body: Password) -> Response:
    """A session, in a cookie and as a token to be sent as `Authorization: Bearer …` or `X-Admin-Key`."""
    return _sign_in(body, "Success", "Password is required", "Invalid password", "http_{}")


@operation("POST", "/api/login", **_SIGN_IN)
def sign_in_api(body: Password) -> Response:
    """The same as `/admin/login`, with another predecessor's words."""
    return _sign_in(body, "登录成功", "密码不能为空", "密码错误")


def sign_in_at_page() -> Response:
    """A program that posts JSON to the address of the page."""
    try:
        return sign_in_api(checked(Password, asked(MOST_BYTES)))
    except Fault as fault:
        return refusal(fault)


@operation("POST", "/api/logout", tag="login", summary="Sign out", answers={200: SignedOut})
def sign_out() -> Response:
    """Ends the session of the cookie, and those whose tokens are sent as credentials. What has ended stays so."""
    if not same_origin(request):
        raise foreign()
    for token in [*presented(), request.cookies.get(COOKIE, "")]:
        session = login.session_of(token) if token else None
        if session is not None:
            login.end_session(session)
    login.end()
    response = answer({"success": True})
    response.delete_cookie(COOKIE)
    return response


OPEN.update({"api.post /admin/login", "api.post /api/login", "api.post /api/logout"})


def _sign_in(body: Password, well: str, missing: str, wrong: str, code: str = "") -> Response:
    """Raises `Fault`: 400 without a password, 401 for a wrong one, 429 for the tries that the page counts as well. One
    that was right a short while ago is no try: some programs sign in at every run."""
    if not same_origin(request):
        raise foreign()
    if not body.password or not isinstance(body.password, str):
        raise _fault(400, code.format(400) or "missing_password", missing, "password")
    if not is_password(body.password):
        raise _fault(401, code.format(401) or "wrong_password", wrong)
    return _signed_in(well)


def _fault(status: int, code: str, message: str, param: str | None = None) -> Fault:
    kind = "invalid_request_error" if code.startswith("http_") else None
    return Fault(status, code, message, type=kind, param=param, retryable=False)


def _signed_in(message: str) -> Response:
    token, expires_at = login.begin()
    told: dict[str, Any] = {
        "success": True,
        "message": message,
        "token": token,
        "sessionToken": token,
        "expiresAt": int(expires_at * 1000),
        "expires_at": expires_at,
        "data": {"success": True, "token": token, "message": "Login successful"},
    }
    response = answer(told)
    response.set_cookie(
        COOKIE, token, int(login.ABSOLUTE_S), secure=request.is_secure, httponly=True, samesite="Strict"
    )  # fmt: skip
    return response
