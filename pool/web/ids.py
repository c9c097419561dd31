"""Ids of rows as addresses and forms name them: whole numbers, and never more than the database can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flask import Flask
from werkzeug.routing import IntegerConverter

# A number of 64 bits has up to 19 digits: beyond it the drivers of both databases raise.
_DIGITS = "[0-9]{1,18}"


class IdConverter(IntegerConverter):
    """`<int:…>` of every route: a number that can be no id is an address where nothing is."""

    regex = _DIGITS


def mount(app: Flask) -> None:
    """To be called before any route is known."""
    app.url_map.converters["int"] = IdConverter


def row_id(text: str) -> int:
    """The id a query or a form names. Raises ValueError, so that `type=row_id` takes anything else for nothing."""
    if not re.fullmatch(_DIGITS, text):
        raise ValueError("no id")
    return int(text)


def row_ids(texts: Iterable[str]) -> set[int]:
    """Those of the texts that are ids."""
    return {int(text) for text in texts if re.fullmatch(_DIGITS, text)}
