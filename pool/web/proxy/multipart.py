"""Reads a few short fields of a form on its way through, and where they stand; files in it are passed over."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from werkzeug.http import parse_options_header

from pool.core.faults import Fault

MOST_HEAD_BYTES = 16 * 1024
MOST_VALUE_BYTES = 4 * 1024
MOST_PARTS = 1000

_LINE_END = re.compile(rb"[ \t]*\r\n")
_PARAMETER = re.compile(r'\s*;\s*([\w.!#$&+^`|~*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"\s]*)')


def boundary_of(content_type: str) -> bytes | None:
    """What separates the parts of a form; None where this is none."""
    kind, options = parse_options_header(content_type)
    if kind.lower() != "multipart/form-data" or not options.get("boundary"):
        return None
    return options["boundary"].encode("latin-1", "replace")


@dataclass(frozen=True, slots=True)
class Field:
    """A field's value, and its offsets in the body."""

    value: str
    start: int
    end: int


class Form:
    """Fed with a body piece by piece; `fields` holds what was wanted of it at the end.

    Strict: what two readers could read in two ways is refused, or somebody could have one model allowed and another
    one used.
    """

    def __init__(self, boundary: bytes, wanted: Collection[str]) -> None:
        self.fields: dict[str, Field] = {}
        self._delimiter = b"\r\n--" + boundary
        self._wanted = wanted
        # As if a line had ended before the body, for the first delimiter has none before it.
        self._kept = bytearray(b"\r\n")
        self._at = -2
        self._in_head = False
        self._name = ""
        self._over = False
        self._parts = 0

    def feed(self, piece: bytes) -> None:
        """Raises `Fault` 400 for what is no form."""
        if self._over:
            return
        self._kept += piece
        while not self._over and (self._read_head() if self._in_head else self._read_content()):
            pass

    def end(self) -> None:
        """The body is over. Raises `Fault` 400 where the form is not."""
        if not self._over:
            raise _malformed("it ends before its last part does")

    def _read_content(self) -> bool:
        """Up to the next delimiter; False where more must come first."""
        found = self._kept.find(self._delimiter)
        if found >= 0:
            if self._name:
                # Behind the blank line; a part may also end at once, with the line end of its head.
                self._keep(bytes(self._kept[2:found]))
            self._drop(found + len(self._delimiter))
            self._in_head, self._name = True, ""
            return True
        if self._name:
            self._check_size(len(self._kept) - len(self._delimiter))
        else:
            self._drop(max(0, len(self._kept) - len(self._delimiter) + 1))
        return False

    def _read_head(self) -> bool:
        """What stands between a delimiter and the content; False where more must come first."""
        if self._kept.startswith(b"--"):
            self._over = True
            return False
        if len(self._kept) < 2:
            return False
        line_end = _LINE_END.match(self._kept)
        if line_end is None:
            if len(self._kept) > MOST_HEAD_BYTES or self._kept.strip(b" \t\r"):
                raise _malformed("a boundary is not alone on its line")
            return False
        begin = line_end.end()
        # A part without headers has its blank line at once.
        end = begin if self._kept.startswith(b"\r\n", begin) else self._kept.find(b"\r\n\r\n", begin) + 2
        if end < 2:
            if len(self._kept) > MOST_HEAD_BYTES:
                raise _malformed("the headers of a part are too long")
            return False
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _malformed("it has too many parts")
        self._name = self._wanted_name(bytes(self._kept[begin:end]).decode("utf-8", "replace"))
        self._drop(end)
        self._in_head = False
        return True

    def _wanted_name(self, head: str) -> str:
        """The name of a field that is wanted; "" for files and everything else."""
        lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        stated = [line.partition(":")[2] for line in lines if line.lower().startswith("content-disposition:")]
        if len(stated) != 1:
            raise _malformed("a part does not say once what it is")
        kind, semicolon, rest = stated[0].partition(";")
        parameters = _parameters(semicolon + rest)
        if kind.strip().lower() != "form-data" or parameters is None:
            raise _malformed("a part does not say clearly what it is")
        name = parameters.get("name", "")
        if name not in self._wanted or "filename" in parameters or "filename*" in parameters:
            return ""
        if name in self.fields:
            raise _malformed(f"it has two fields {name!r}")
        return name

    def _check_size(self, size: int) -> None:
        if size > MOST_VALUE_BYTES:
            raise _malformed(f"the field {self._name!r} is too long")

    def _keep(self, value: bytes) -> None:
        self._check_size(len(value))
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise _malformed(f"the field {self._name!r} is not UTF-8") from None
        self.fields[self._name] = Field(text, self._at + 2, self._at + 2 + len(value))

    def _drop(self, size: int) -> None:
        del self._kept[:size]
        self._at += size


def _parameters(text: str) -> dict[str, str] | None:
    """The parameters of a header; None where they are not well-formed, or say something twice."""
    found: dict[str, str] = {}
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            return None
        name, value = match[1].lower(), match[2]
        if name in found or name == "name*":
            return None
        found[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        at = match.end()
    return found


def _malformed(why: str) -> Fault:
    return Fault(400, "invalid_form", f"The form in the request body cannot be read: {why}.", retryable=False)
