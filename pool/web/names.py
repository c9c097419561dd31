"""How a name that somebody typed stands in a sentence: its direction ends where the name does."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flask import Flask
from markupsafe import Markup, escape

FIRST_STRONG, POP = "\u2068", "\u2069"
_ISOLATES = dict.fromkeys(map(ord, "\u2066\u2067\u2068\u2069"))
"""Characters that begin and end an isolate. Left in a name, they would end ours."""

_ISOLATED = re.compile(f"{FIRST_STRONG}(.*?){POP}", re.DOTALL)


def mount(app: Flask) -> None:
    app.jinja_env.filters.update(bdi=bdi, names=names, isolated=isolated, told=told)


def bdi(name: object) -> Markup:
    """A name as an element: without one, a name that turns the direction turns the sentence after it, too."""
    return Markup("<bdi>{}</bdi>").format(str(name).translate(_ISOLATES))


def names(given: Iterable[object], between: str = ", ") -> Markup:
    """Several of them in a row; those that are empty are left out."""
    return escape(between).join(bdi(name) for name in given if name)


def isolated(name: object) -> str:
    """The same in plain text: for messages, titles and attributes."""
    return f"{FIRST_STRONG}{str(name).translate(_ISOLATES)}{POP}"


def told(text: str) -> Markup:
    """A message as a page shows it: what `isolated` marked is an element, so that a copied name is the name alone."""
    return Markup(_ISOLATED.sub(r"<bdi>\1</bdi>", str(escape(text))))  # noqa: S704 — escaped before
