"""Runs the test suite in parts, one more at once than there are processors; the longest parts first.

Tests that hold a figure in seconds come after, with nothing beside them; so do the few that failed, once more, for
beside others a processor may be away for seconds. What fails then too has failed, and what did not is named.

Arguments go to pytest. Where they name tests, those are run and nothing is split. A chosen part runs once more on
PostgreSQL and Redis, in CI all that stands on a database; with `--shared` nothing else runs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVERS = tuple(
    f"tests/test_{name}.py"
    for name in (
        *("faults", "server", "server_log", "server_uploads", "slow_readers", "demo", "cli", "cli_backup"),
        *("import_cut_short", "slow_senders", "smuggling"),
    )
)
"""Those that start whole programs, and mostly wait for them."""

SHIPPED = tuple(f"tests/test_{name}.py" for name in ("first_call", "image", "door", "service", "packaging"))
"""Those of what ships beside the code; two install or copy all of it."""

REST = ("tests/web", "tests/adapters", "tests/clients", "tests/browser", "tests/core", *SERVERS, *SHIPPED)
PARTS = (
    ("tests/web", "--ignore=tests/web/api", "--ignore=tests/web/scriptless"),
    SERVERS,
    ("tests/browser",),
    ("tests/adapters",),
    ("tests/web/api",),
    ("tests", *(f"--ignore={path}" for path in REST)),
    ("tests/clients",),
    SHIPPED,
    ("tests/core",),
    ("tests/web/scriptless",),
)
"""Arguments of pytest that together name every test once, the longest part first."""

CHOSEN = {
    "tests": "admission affinity engine recovery usage",
    "tests/web/api": "bulk clients imports keys pools providers reset settings status tokens",
    "tests/web": "cost_figures every_page login stat_page",
}
SHARED = tuple(f"{folder}/test_{name}.py" for folder, names in CHOSEN.items() for name in names.split())
"""What writes, counts and limits: the same rules on other stores."""

ON_SHARED = {"KEYPOOL_TEST_STORES": "shared"}
ON_A_DATABASE = tuple(PARTS[number] for number in (0, 4, 5))
FEWER = "not slow and not alone"

ALONE = ("tests", "--ignore=tests/browser", "--ignore=tests/clients", "--ignore=tests/web/scriptless")

BESIDE = 1
"""Parts that run beside as many as there are processors: much of a test's time is waiting."""

FAILED, NO_TESTS = 1, 5
"""What pytest ends with where tests failed, and where nothing of a part is asked for."""

FEW = 10
"""Of more failures than that, company is not the reason."""


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
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        if asked.shared:
            runs.at_once((part, *on_shared) for part in ON_A_DATABASE)
            return runs.verdict()
        shared = ON_A_DATABASE if in_ci() else (SHARED,) if can_share() else ()
        parts = [(part, ["-m", f"{wanted}not alone", *arguments]) for part in PARTS]
        # Behind the longest part: what begins late and takes long is what everybody waits for.
        parts[1:1] = [(part, *on_shared) for part in shared]
        runs.at_once(parts)
        runs.one(ALONE, ["-m", f"{wanted}alone", *arguments], "those that run alone")
        return runs.verdict()


def in_ci():
    return os.environ.get("CI") == "true"


def can_share():
    """Are PostgreSQL and Redis here to be started?"""
    return all(map(shutil.which, ("postgres", "initdb", "redis-server")))


class Runs:
    """The runs of all parts, how they ended, and which tests failed under which variables."""

    def __init__(self, folder):
        self.worst = 0
        self._folder = folder
        self._failed = []

    def at_once(self, parts):
        with ThreadPoolExecutor((os.cpu_count() or 1) + BESIDE) as runners:
            list(runners.map(lambda part: self.one(*part), parts))

    def one(self, part, arguments, name="", variables=None):
        """One part; its output comes in one piece when it is over."""
        began = time.monotonic()
        file = Path(tempfile.mkstemp(dir=self._folder)[1])
        environment = {**os.environ, **(variables or {}), "KEYPOOL_TEST_FAILED": str(file)}
        done = pytest([*part, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        took_s = time.monotonic() - began
        sys.stdout.write(f"== {' '.join((part[0], '…', name)).strip()}: {took_s:.0f} s\n{done.stdout}")
        sys.stdout.flush()
        if done.returncode == FAILED:
            tests = list(dict.fromkeys(file.read_text().splitlines()))
            self._failed += [(test, variables or {}) for test in tests]
        elif done.returncode != NO_TESTS:
            self.worst = max(self.worst, done.returncode)
        return done.returncode

    def verdict(self):
        """The exit code of all: where few tests failed, after they ran once more with nothing beside them."""
        if self.worst or not self._failed:
            return self.worst
        if len(self._failed) > FEW:
            return FAILED
        sys.stdout.write("== once more, alone\n")
        again = [(test, pytest([test], env={**os.environ, **variables}).returncode) for test, variables in self._failed]
        for test, code in again:
            if not code:
                sys.stdout.write(f"Failed beside others, and passed alone: {test}\n")
        return max(code for _, code in again)


def pytest(arguments, **options):
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], cwd=ROOT, check=False, **options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
