"""JSON inside of JSON, what calls were made with and what came of them: read so that no value changes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson

from pool.core.dialects.refusals import refuse

Part = dict[str, Any]

_LONG = re.compile(r"\d[\d.]{15,}")
"""Numbers that may be longer than a double or 64 bits hold."""


def arguments_of(stated: Any, where: str) -> dict[str, Any]:
    """The arguments of a call; a number that no double and no 64 bits hold is passed as its digits."""
    if stated is None or stated == "":
        return {}
    if isinstance(stated, str):
        try:
            stated, _ = _read(stated)
        except ValueError as e:
            raise refuse("arguments must be a JSON object.", where, "invalid_function_arguments") from e
    if not isinstance(stated, dict):
        raise refuse("arguments must be a JSON object.", where, "invalid_function_arguments")
    return stated


def result_of(content: Any, where: str, convert: Callable[[Any, str], Part]) -> tuple[dict[str, Any], list[Part]]:
    """The response object, and media that came with it: Google takes any object, so text is wrapped."""
    extra: list[Part] = []
    if isinstance(content, list):
        parts = [convert(part, f"{where}.content[{index}]") for index, part in enumerate(content)]
        extra = [part for part in parts if "text" not in part]
        content = "".join(part["text"] for part in parts if "text" in part)
    value = _said("" if content is None else content)
    return (value if isinstance(value, dict) else {"result": value}), extra


def _said(content: Any) -> Any:
    """A result as JSON where it is that, else as text: 1.10 is a version and no number, 1e3 perhaps a name."""
    if not isinstance(content, str):
        return content
    try:
        value, exact = _read(content)
    except ValueError:
        return content
    if not isinstance(value, dict | list):
        exact = orjson.dumps(value) == content.strip().encode()
    return value if exact else content


def _read(text: str) -> tuple[Any, bool]:
    """The value, and whether it is just what the text says. Raises `ValueError` where it is no JSON."""
    value = orjson.loads(text)
    if not _LONG.search(text):
        return value, True
    inexact: list[str] = []

    def whole(digits: str) -> int | str:
        if len(digits) < 21 and -(2**63) <= int(digits) < 2**64:
            return int(digits)
        inexact.append(digits)
        return digits

    def fraction(digits: str) -> float | str:
        if Decimal(digits) == Decimal(repr(float(digits))):
            return float(digits)
        inexact.append(digits)
        return digits

    return json.loads(text, parse_int=whole, parse_float=fraction), not inexact
