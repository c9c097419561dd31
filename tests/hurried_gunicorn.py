"""gunicorn.conf.py with short deadlines, so that a test need not wait for the real ones."""

from gevent import monkey

monkey.patch_all()  # before anything imports ssl

import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
__file__ = str(ROOT / "gunicorn.conf.py")
exec(compile(Path(__file__).read_text(), __file__, "exec"))

from pool.web import heads, worker  # noqa: E402
from pool.web.proxy import body  # noqa: E402

body.S_A_MEGABYTE = 0.0
heads.UNREAD_S = body.BASE_S = float(os.environ["TEST_BODY_S"])
worker.HEAD_S = float(os.environ["TEST_HEAD_S"])
