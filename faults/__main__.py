"""`python -m faults`: the whole matrix, as a table. Ends with 1 where something did not hold."""

from gevent import monkey

monkey.patch_all()  # before anything imports ssl

import argparse
import sys
import tempfile
import time
from pathlib import Path

from faults import matrix, services
from faults.figures import machine, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--requests", type=int, default=60, help="to each fault of an upstream (60)")
    parser.add_argument("--restarts", type=int, default=24_000, help="while everything restarts (24000)")
    options = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keypool-faults-") as folder:
        rows = matrix.run(Path(folder), options.requests, options.restarts)
    wrong = sum(bool(row.wrong) for row in rows)
    took_s = time.monotonic() - began_s
    sys.stdout.write(f"{table(rows)}\n\n{len(rows)} rows in {took_s:.0f} s on {machine()}; {wrong} did not hold.\n")
    if services.missing():
        sys.stdout.write(f"Left out: the restarts, for want of {', '.join(services.missing())}.\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
