"""The admin password, and the key everything is encrypted with."""

from __future__ import annotations

from typing import Any

from flask import Response, g
from pydantic import Field

from pool.adapters import queries
from pool.core.faults import Fault
from pool.jobs import Progress
from pool.web.api.answers import answer
from pool.web.api.credentials import SOCKET, is_password
from pool.web.api.operations import Asked, Told, operation
from pool.web.api.taking_in import JobBegun, begun
from pool.web.here import audit, keypool, write

TAG = "settings"
MOST_PASSWORD = 1_000


class PasswordAsked(Asked):
    new: str = Field(max_length=MOST_PASSWORD)
    current: str | None = Field(None, max_length=MOST_PASSWORD, description="Not needed on the admin socket.")


class PasswordTold(Told):
    success: bool
    message: str
    sessions_ended: int


@operation(
    "POST", "/admin/password", tag=TAG, summary="Change the admin password", body=PasswordAsked,
    answers={200: PasswordTold},
)  # fmt: skip
def change_password(body: PasswordAsked) -> Response:
    """Every session ends. Where the environment says what the password is, it is 409."""
    if keypool().environment.admin_password:
        message = "ADMIN_PASSWORD in the environment says what the password is; change it there."
        raise Fault(409, "set_by_environment", message, param="new", retryable=False)
    if g.via != SOCKET and not (body.current and is_password(body.current)):
        message = "That is not the admin password." if body.current else "`current` is missing."
        raise Fault(403, "wrong_password", message, param="current", retryable=False)
    why = keypool().passwords.weak(body.new)
    if why:
        raise Fault(400, "invalid_value", f"`new` is refused: {why}.", param="new", retryable=False)
    write(queries.set_password, keypool().passwords.encode(body.new))
    ended = write(queries.end_other_sessions, 0)
    audit("password.change", "password", after={"sessions ended": ended})
    return answer({"success": True, "message": "The password is changed.", "sessions_ended": ended})


@operation(
    "POST", "/admin/encryption/rotate", tag=TAG, summary="Encrypt everything with the newest key",
    answers={202: JobBegun},
)  # fmt: skip
def rotate_encryption() -> Response:
    """What an older key of `KEY_ENCRYPTION_SECRET` sealed is sealed by its first one, row by row, beside traffic. When
    the job is done, older keys may leave the list."""
    inventory = keypool().inventory
    audit("encryption.rotate", "encryption")

    def work(progress: Progress) -> dict[str, Any]:
        place: tuple[int, int] | None = (0, 0)
        while place is not None:
            place = inventory.seal_anew(place)
            progress.step(1, "slices")
        return {}

    return begun("encryption.rotate", work, inventory.slices())
