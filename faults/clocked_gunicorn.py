"""gunicorn.conf.py for processes whose wall clock is ahead by what a file says, now and whenever that changes."""

from gevent import monkey

monkey.patch_all()  # before anything imports ssl

import mmap
import os
import struct
import time
from pathlib import Path

with Path(os.environ["FAULTS_CLOCK"]).open("r+b") as file:
    ahead = mmap.mmap(file.fileno(), 8)
as_it_is = time.time


def now():
    return as_it_is() + struct.unpack("d", ahead)[0]


time.time = now
__file__ = str(Path(__file__).parents[1] / "gunicorn.conf.py")
exec(compile(Path(__file__).read_text(), __file__, "exec"))  # noqa: S102 — it is the project's own
