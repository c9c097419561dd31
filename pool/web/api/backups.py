"""One sealed file with everything, out and back in: `/admin/backup`, `/admin/restore`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from flask import Response
from pydantic import Field

from pool.core.documents import LEAST_PASSPHRASE, NotEmpty, Unreadable
from pool.core.faults import Fault
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told, operation
from pool.web.api.receiving import BYTES, FORM, Received, receive
from pool.web.api.taking_in import JobBegun, Moved, begun
from pool.web.api.unlocking import unlock
from pool.web.here import audit, auditor, keypool

MOST_BYTES = 1_000_000_000
HEADERS = {"passphrase": "X-Backup-Passphrase"}


class BackupAsked(Asked):
    password: str | None = Field(None, max_length=1000, description="The admin's; not where it was typed lately.")
    passphrase: str = Field(
        min_length=LEAST_PASSPHRASE, max_length=1000, description="Of this backup alone. Nobody can open it without."
    )
    usage: bool = Field(True, description="With the hourly figures of usage, which are most of a large backup.")


class RestoreAsked(Asked):
    dry_run: bool = Field(False, description="Say what would be done; nothing changes.")
    mode: Literal["replace", "merge"] | None = Field(
        None, description="What becomes of what is here. Needed unless this machine is empty."
    )
    wait: bool = Field(False, description="Answer when it is done, not with a job.")


class MovedFromBackup(Moved):
    import_id: int | None = None


class RestoreTold(Told):
    success: bool
    message: str
    dry_run: bool
    made_at: float
    version: str = Field(description="The Keypool that made it.")
    mode: Literal["replace", "merge"]
    rows: dict[str, int] = Field(description="How many rows of each table the backup has.")
    here: dict[str, int] = Field(description="What this machine had before.")
    written: dict[str, int] | None = Field(None, description="`replace`: how many rows there are now.")
    merge: MovedFromBackup | None = Field(None, description="`merge`: what came of it, or would.")


@operation(
    "POST", "/admin/backup", tag="export", summary="Back everything up", body=BackupAsked, answers={200: None},
    media=(BYTES,), example={"password": "…", "passphrase": "a long passphrase"},
)  # fmt: skip
def back_up(body: BackupAsked) -> Response:
    """A file sealed with a passphrase of its own: providers, pools, keys, client keys, settings, imports, the audit
    trail and, unless `usage` is false, the hourly figures. Not in it: the admin password, sessions, single requests.
    """
    unlock(body.password)
    audit("backup.write", "backup", after={"usage": body.usage})
    name = time.strftime("keypool-%Y-%m-%d-%H%M%S.backup", time.gmtime())
    response = Response(keypool().backups.write(body.passphrase, body.usage), content_type=BYTES)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@operation(
    "POST", "/admin/restore", tag="export", summary="Bring a backup back", query=RestoreAsked,
    answers={200: RestoreTold, 202: JobBegun}, takes=(BYTES, FORM),
)  # fmt: skip
def restore(query: RestoreAsked) -> Response:
    """The file is the body, or `file` of a form. Its passphrase goes into the field `passphrase` of the form, or into
    the header `X-Backup-Passphrase`.

    All of it is read and checked first; then it comes back whole or not at all. `mode=replace` puts it in the place of
    everything that is here, `mode=merge` adds what is missing: providers by slug, pools by name, keys by themselves. An
    empty machine needs no mode. A backup of another machine signs everybody out. With `dry_run` the answer says what
    would be done.
    """
    received = receive(MOST_BYTES, HEADERS)
    kept = False
    try:
        found = _checked(lambda: keypool().backups.read(received.path, received.fields.get("passphrase", "")))
        if query.dry_run:
            return _told("This is what would be done; nothing has changed.", True, _checked(
                lambda: keypool().backups.preview(found, query.mode)))  # fmt: skip
        _checked(lambda: keypool().backups.settled_mode(query.mode))
        work = _work(keypool(), found, query.mode, auditor())
        if query.wait:
            return _told("The backup is restored.", False, _checked(work))
        kept = True
        return begun("restore", lambda progress: _then_drop(work, received), 0)
    finally:
        if not kept:
            received.drop()


def _work(app: Any, found: Any, mode: str | None, audit: Callable[..., int]) -> Callable[[], Mapping[str, Any]]:
    def work() -> Mapping[str, Any]:
        told: dict[str, Any] = app.backups.restore(found, "admin", mode)
        audit("backup.restore", "backup", before=told["here"], after={"mode": told["mode"], **told["rows"]})
        return told

    return work


def _then_drop(work: Callable[[], Mapping[str, Any]], received: Received) -> Mapping[str, Any]:
    try:
        return work()
    finally:
        received.drop()


def _checked(work: Callable[[], Any]) -> Any:
    """Raises `Fault`: 400 for a file or a passphrase that is none, 409 where somebody must say `mode` first."""
    try:
        return work()
    except NotEmpty:
        message = "This machine is not empty: say `mode=replace` or `mode=merge`."
        raise Fault(409, "mode_required", message, param="mode", retryable=False) from None
    except Unreadable as error:
        raise Fault(400, "unreadable_backup", str(error), param="file", retryable=False) from None


def _told(message: str, dry_run: bool, told: Mapping[str, Any]) -> Response:
    usual = {"written": None, "merge": None}
    return answer({"success": True, "message": message, "dry_run": dry_run, **usual, **told})
