"""`python -m conformance [folder]`: prints what passed, and ends with 1 where a case failed without a reason."""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.cases import FAILED
from conformance.report import lines
from conformance.running import run

DEFAULT = Path(__file__).parents[1] / "tests" / "wire"


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0]) if arguments and arguments[0] else DEFAULT
    if not folder.is_dir():
        sys.stderr.write(f"{folder} is no folder: give that of the recordings, with its index.json.\n")
        return 2
    results = list(run(folder))
    if not results:
        sys.stderr.write(f"{folder} holds no recordings: neither index.json nor folders of JSON files.\n")
        return 2
    sys.stdout.write("\n".join(lines(results)) + "\n")
    return 1 if any(result.verdict == FAILED for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
