"""`python -m demo`: everything in this process but Keypool itself, which runs as it always does."""

from gevent import monkey

monkey.patch_all()  # before anything imports ssl

import sys

from demo.stage import main

if __name__ == "__main__":
    sys.exit(main())
