"""Files that are sent to the API: as the body itself or in a form, into a temporary file of the instance's folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from pool.core.faults import Fault
from pool.web.here import aside, keypool
from pool.web.proxy.body import take_in, too_large

FORM = "multipart/form-data"
BYTES = "application/octet-stream"
MOST_FIELD_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Received:
    """A file somebody sent, and what stood beside it in the form. To be dropped when it was read."""

    path: Path
    fields: Mapping[str, str]

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)


def receive(most_bytes: int, headers: Mapping[str, str]) -> Received:
    """The file of this request. Raises `Fault` 400 where there is none, 413 where it is too large.

    `headers` says which header has what a form would say in a field: a file that is the whole body has no other place
    for it. Nothing of it stands in the address, because addresses are logged.
    """
    descriptor, name = tempfile.mkstemp(prefix="received-", dir=keypool().environment.instance)
    received = Received(Path(name), {})
    try:
        with os.fdopen(descriptor, "wb") as file:
            if request.mimetype == FORM:
                fields = _from_form(file, most_bytes)
            else:
                take_in(request.environ, most_bytes, file.write)
                fields = {field: request.headers.get(header, "") for field, header in headers.items()}
            if not file.tell():
                message = f"Send the file as the body, or as `file` in a form ({FORM})."
                raise Fault(400, "missing_required_parameter", message, param="file", retryable=False)
        return Received(received.path, fields)
    except BaseException:  # a client that left must not leave its file behind
        received.drop()
        raise


def _from_form(file: object, most_bytes: int) -> dict[str, str]:
    request.max_content_length = most_bytes
    request.max_form_memory_size = MOST_FIELD_BYTES
    try:
        sent = request.files.get("file")
    except RequestEntityTooLarge:
        raise too_large(most_bytes) from None
    if sent is not None:
        aside(sent.save, file)
    return dict(request.form.items())
