"""What all apps of the suite make alike is made once, not once for each of thousands.

Of what a test of pages costs, most went into compiling the same again: routes by Werkzeug, templates by Jinja, and
statements by SQLAlchemy. All three depend on their source alone, so the second app gets what the first one did.
"""

from __future__ import annotations

import marshal
from typing import Any

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.base import Engine
from sqlalchemy.util import LRUCache
from werkzeug.routing.rules import Rule

_routes: dict[Any, dict[str, Any]] = {}
_compile = Rule.compile
_COMPILED = ("_parts", "_trace", "_converters", "arguments")
_statements: LRUCache[Any, Any] = LRUCache(5_000)


def _compile_once(rule: Rule) -> None:
    what = (rule.rule, rule.subdomain, rule.merge_slashes, rule.strict_slashes, rule.is_leaf, rule.websocket)
    place = (*what, tuple(sorted((rule.defaults or {}).items())))
    known = _routes.get(place)
    if known is None:
        _compile(rule)
        builders = {"_build": rule._build.__func__, "_build_unknown": rule._build_unknown.__func__}  # type: ignore[attr-defined]
        _routes[place] = {name: getattr(rule, name) for name in _COMPILED} | builders
        return
    for name in _COMPILED:
        setattr(rule, name, known[name])
    rule._build = known["_build"].__get__(rule, None)
    rule._build_unknown = known["_build_unknown"].__get__(rule, None)


class _Templates(BytecodeCache):
    def __init__(self) -> None:
        self._codes: dict[str, tuple[str, bytes]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        checksum, code = self._codes.get(bucket.key, ("", b""))
        if checksum == bucket.checksum:
            bucket.code = marshal.loads(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key] = (bucket.checksum, marshal.dumps(bucket.code))


def _cache_of(engine: Engine) -> Any:
    return _statements if isinstance(engine.dialect, SQLiteDialect_pysqlite) else engine.__dict__["own_statements"]


def _keep_own(engine: Engine, cache: Any) -> None:
    engine.__dict__["own_statements"] = cache


def install() -> None:
    Rule.compile = _compile_once  # type: ignore[method-assign]
    Flask.jinja_options = {"bytecode_cache": _Templates()}
    Engine._compiled_cache = property(_cache_of, _keep_own)  # type: ignore[assignment]
    # Statements are kept by dialect, and every engine has one of its own.
    SQLiteDialect_pysqlite.__hash__ = lambda _: 1  # type: ignore[method-assign]
    SQLiteDialect_pysqlite.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign]
