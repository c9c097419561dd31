"""Holds the import rule of `pool/__init__.py`, by reading the imports of every module."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(path for folder in ("conformance", "demo", "faults", "pool") for path in (ROOT / folder).rglob("*.py"))
BESIDE = tuple(f"pool.{path.stem}" for path in (ROOT / "pool").glob("*.py") if path.stem != "__init__")

# The first row whose path begins like the module's says which modules of the project it may import.
MAY_IMPORT = {
    "conformance/": ("conformance", "pool.core"),
    "demo/": ("app", "demo", "pool", "tests.upstream"),
    "faults/": ("faults", "tests.house", "tests.redis_server", "tests.server", "tests.upstream"),
    "pool/core/": ("pool.core",),
    "pool/adapters/": ("pool.core", "pool.adapters"),
    "pool/web/": ("pool.core", "pool.adapters.queries", "pool.web", *BESIDE),
    "pool/chores.py": ("pool.core", "pool.adapters", *BESIDE),
    "pool/cli": ("pool.core", "pool.adapters", *BESIDE),
    "pool/": ("pool.core", *BESIDE),
}
MAY_KNOW_FLASK = ("pool/adapters/", "pool/web/", "pool/cli")
OUTSIDE = {"asyncio", "http", "io", "logging", "os", "pathlib", "socket", "sqlite3", "subprocess", "threading", "time"}
# The chore loop, the jobs, and the last handler of the client routes.
CATCH_EVERYTHING = {"pool/chores.py": 1, "pool/jobs.py": 1, "pool/web/proxy/entry.py": 1}
MOST_LINES = 500

every_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imports(path):
    """Absolute names of everything imported, wherever in the module it stands."""
    package = name_of(path).removesuffix(".py").split("/")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name, packages):
    return any(name == package or name.startswith(package + ".") for package in packages)


@every_module
def test_a_module_imports_only_what_its_layer_may_know(path):
    allowed = next(names for begin, names in MAY_IMPORT.items() if name_of(path).startswith(begin))
    own = {name for name in imports(path) if within(name, ("app", "conformance", "demo", "pool", "tests"))}
    assert {name for name in own if not within(name, allowed)} == set()


@every_module
def test_only_the_outer_layers_know_flask(path):
    if not name_of(path).startswith(MAY_KNOW_FLASK):
        assert [name for name in imports(path) if name.startswith(("flask", "werkzeug"))] == []


@pytest.mark.parametrize("path", [path for path in MODULES if "core" in path.parts], ids=name_of)
def test_rules_know_neither_the_outside_world_nor_the_time(path):
    roots = {name.partition(".")[0] for name in imports(path)}
    assert roots - sys.stdlib_module_names <= {"orjson", "pool"}
    assert roots & OUTSIDE == set()


@every_module
def test_exceptions_are_caught_by_name(path):
    handlers = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ExceptHandler)]
    caught = [ast.unparse(handler.type) if handler.type else "everything" for handler in handlers]
    blanket = [names for names in caught if names == "everything" or "Exception" in names.strip("()").split(", ")]
    assert len(blanket) <= CATCH_EVERYTHING.get(name_of(path), 0)


@every_module
def test_a_module_tells_one_story(path):
    lines = path.read_text().count("\n")
    assert lines <= MOST_LINES


def test_only_htmx_py_asks_whether_htmx_is_calling():
    askers = {name_of(path) for path in MODULES if "HX-Request" in path.read_text()}
    assert askers <= {"pool/web/htmx.py"}
