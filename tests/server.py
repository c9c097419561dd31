"""A real gunicorn on a free port with an instance folder of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from types import TracebackType

from tests.logged import told

ROOT = Path(__file__).parents[1]
READY_S = 30.0
CLIENT_KEY = "sk-proxy-for-the-tests"


class Server:
    """Started by `with`; `url` is where it answers. Everything it printed is in `log`."""

    def __init__(self, instance: Path, upstream_url: str = "", **variables: str) -> None:
        self.instance = instance
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")}
        self.variables = {
            **clean,
            "PORT": str(self.port),
            "KEYPOOL_INSTANCE": str(instance),
            "PROXY_API_KEY": CLIENT_KEY,
            "LOG_LEVEL": "debug",
            "GEMINI_UPSTREAM_URL": f"{upstream_url}/v1beta" if upstream_url else "",
            "OPENAI_UPSTREAM_URL": f"{upstream_url}/v1" if upstream_url else "",
            **variables,
        }
        self.log_file = instance.parent / f"{instance.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.config = "gunicorn.conf.py"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "-c", self.config, "app:create_app()"]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.variables, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=2):
                    return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.log}")

    def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM, as an operator would; the exit code. By then the log is complete, and no secret may be in it."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        assert told(self.log) == []
        return code

    def kill_worker(self) -> None:
        """`kill -9` of the worker; the master starts another one."""
        os.kill(self.worker_pid(), signal.SIGKILL)

    def kill(self) -> None:
        """`kill -9` of everything."""
        worker = self.worker_pid()
        assert self.process is not None
        self.process.kill()
        os.kill(worker, signal.SIGKILL)
        self.process.wait()
        while Path(f"/proc/{worker}/cmdline").exists() and Path(f"/proc/{worker}/cmdline").read_bytes():
            time.sleep(0.02)

    def worker_pid(self) -> int:
        assert self.process is not None
        listing = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(listing.split()[-1])

    @property
    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def generated_password(self) -> str | None:
        found = re.search(r"The admin password is\s+(\S+)", self.log)
        return found[1] if found else None

    def rows(self, query: str) -> list[tuple]:
        """Read the database beside the server."""
        with closing(sqlite3.connect(f"file:{self.instance / 'pool.sqlite'}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
