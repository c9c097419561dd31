"""`python -m demo`: everything in this process but Keypool itself, which runs as it always does."""

from gevent import monkey

monkey.patch_all()  # before anything imports ssl

import os
import signal
import sys

signal.signal(signal.SIGINT, lambda *_: os._exit(0))  # nothing is started yet: Ctrl-C while modules load just ends

from demo.stage import main

if __name__ == "__main__":
    sys.exit(main())
