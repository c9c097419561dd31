"""Runs the test suite in parts, one more at once than there are processors; the longest parts first.

Tests that hold a figure in seconds come after, with nothing beside them. Arguments go to pytest. Where they name tests,
those are run and nothing is split. One part runs once more on PostgreSQL and Redis; with `--shared` all of them do that
stand on a database, and nothing else does.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVERS = tuple(
    f"tests/test_{name}.py"
    for name in ("faults", "server", "server_uploads", "slow_readers", "demo", "cli", "cli_backup", "import_cut_short")
)
"""Those that start whole programs, and mostly wait for them."""

REST = ("tests/web", "tests/adapters", "tests/clients", "tests/browser", "tests/core", *SERVERS)
PARTS = (
    ("tests/web", "--ignore=tests/web/api", "--ignore=tests/web/scriptless"),
    SERVERS,
    ("tests/browser",),
    ("tests/adapters",),
    ("tests/web/api",),
    ("tests", *(f"--ignore={path}" for path in REST)),
    ("tests/clients",),
    ("tests/core",),
    ("tests/web/scriptless",),
)
"""Arguments of pytest that together name every test once, the longest part first."""

CHOSEN = {
    "tests": "admission affinity engine recovery upgrade usage",
    "tests/web/api": "bulk clients imports keys pools providers reset settings status tokens",
    "tests/web": "cost_figures login stat_page",
}
SHARED = tuple(f"{folder}/test_{name}.py" for folder, names in CHOSEN.items() for name in names.split())
"""What writes, counts and limits: the same rules on other stores."""

ON_SHARED = {"KEYPOOL_TEST_STORES": "shared"}
ON_A_DATABASE = tuple(PARTS[number] for number in (0, 4, 5))
FEWER = "not slow and not alone"

ALONE = ("tests", "--ignore=tests/browser", "--ignore=tests/clients", "--ignore=tests/web/scriptless")

BESIDE = 1
"""Parts that run beside as many as there are processors: much of a test's time is waiting."""

NO_TESTS = 5
"""What pytest ends with where nothing of a part is asked for."""


def main(arguments):
    # PYTEST_ARGS may name a folder, a file, or one test of it.
    if any((ROOT / argument.partition("::")[0]).exists() for argument in arguments if not argument.startswith("-")):
        return pytest(arguments).returncode
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("-m", default="")
    reader.add_argument("--shared", action="store_true")
    asked, arguments = reader.parse_known_args(arguments)
    wanted = f"({asked.m}) and " if asked.m else ""
    on_shared = (["-m", wanted + FEWER, *arguments], "on PostgreSQL and Redis", ON_SHARED)
    if asked.shared:
        return at_once((part, *on_shared) for part in ON_A_DATABASE)
    parts = [(part, ["-m", f"{wanted}not alone", *arguments]) for part in PARTS]
    if can_share():
        parts.insert(1, (SHARED, *on_shared))
    worst = at_once(parts)
    return max(worst, run(ALONE, ["-m", f"{wanted}alone", *arguments], "those that run alone"))


def can_share():
    """Are PostgreSQL and Redis here to be started? In CI they must be."""
    return os.environ.get("CI") == "true" or all(map(shutil.which, ("postgres", "initdb", "redis-server")))


def at_once(parts):
    """The worst of their exit codes."""
    with ThreadPoolExecutor((os.cpu_count() or 1) + BESIDE) as runners:
        return max(runners.map(lambda part: run(*part), parts))


def run(part, arguments, name="", variables=None):
    """One part; its output comes in one piece when it is over."""
    began = time.monotonic()
    environment = {**os.environ, **(variables or {})}
    done = pytest([*part, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    took_s = time.monotonic() - began
    sys.stdout.write(f"== {' '.join((part[0], '…', name)).strip()}: {took_s:.0f} s\n{done.stdout}")
    sys.stdout.flush()
    return 0 if done.returncode == NO_TESTS else done.returncode


def pytest(arguments, **options):
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], cwd=ROOT, check=False, **options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
