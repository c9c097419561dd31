"""Runs the test suite in parts, as many at once as there are processors; the longest parts first.

Arguments go to pytest. Where they name tests, those are run and nothing is split.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("tests/web", "tests/adapters", "tests/clients", "tests/browser", "tests/core")
REST = ("tests", *(f"--ignore={folder}" for folder in FOLDERS))
NO_TESTS = 5
"""What pytest ends with where nothing of a part is asked for."""


def main(arguments):
    # PYTEST_ARGS may name a folder, a file, or one test of it.
    if any((ROOT / argument.partition("::")[0]).exists() for argument in arguments if not argument.startswith("-")):
        return pytest(arguments).returncode
    parts = [REST, *((folder,) for folder in FOLDERS)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as runners:
        return max(runners.map(lambda part: run(part, arguments), parts))


def run(part, arguments):
    """One part; its output comes in one piece when it is over."""
    began = time.monotonic()
    done = pytest([*part, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    took_s = time.monotonic() - began
    name = part[0] if len(part) == 1 else "everything else"
    sys.stdout.write(f"== {name}: {took_s:.0f} s\n{done.stdout}")
    sys.stdout.flush()
    return 0 if done.returncode == NO_TESTS else done.returncode


def pytest(arguments, **options):
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], cwd=ROOT, check=False, **options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
