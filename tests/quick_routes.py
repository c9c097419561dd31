"""Routes compiled once for the whole suite, not once for each of the thousands of apps it makes.

Of making an app, most of the time goes into Werkzeug compiling what builds the address of each route. That depends on
the route alone, so the second app gets what the first one did.
"""

from __future__ import annotations

from typing import Any

from werkzeug.routing.rules import Rule

_compiled: dict[Any, Any] = {}
_compile = Rule._compile_builder


def _remembered(rule: Rule, append_unknown: bool = True) -> Any:
    place = tuple(rule._trace), tuple(sorted((rule.defaults or {}).items())), append_unknown
    if place not in _compiled:
        _compiled[place] = _compile(rule, append_unknown)
    return _compiled[place]


def install() -> None:
    Rule._compile_builder = _remembered  # type: ignore[method-assign]
