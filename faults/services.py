"""PostgreSQL and Redis of our own, which may be stopped, killed and started again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import gevent

from tests.redis_server import RedisServer

PORTS = range(18080, 18200)
"""Below those the kernel gives to clients: a port that is free while its server restarts stays free."""

READY_S = 20.0
NEEDED = ("postgres", "initdb", "redis-server")


def missing() -> list[str]:
    return [name for name in NEEDED if not shutil.which(name)]


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"fewer than {count} ports are free from {PORTS.start} to {PORTS.stop - 1}")


class Redis(RedisServer):
    """Keeps nothing on disk: a restart forgets everything."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder)
        self.client.close()
        self.port, self.url = port, f"redis://127.0.0.1:{port}/0"
        self.client = self.client.from_url(self.url, decode_responses=True)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Postgres:
    """Made anew by `with`. `options`: settings, each as `name=value`."""

    def __init__(self, port: int, options: Sequence[str] = ()) -> None:
        self._options = ("listen_addresses=127.0.0.1", "unix_socket_directories=", *options)
        self._port = port
        self.url = f"postgresql+psycopg://root@127.0.0.1:{port}/postgres"
        # PostgreSQL refuses to run as root, so it runs as nobody there. In a folder of its own: a pytest that starts
        # closes its folder of temporary ones to everybody else.
        self._user = "nobody" if os.geteuid() == 0 else None
        self._home = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Postgres:
        self._home = Path(tempfile.mkdtemp(prefix="keypool-postgres-"))
        if self._user:
            shutil.chown(self._home, self._user)
        initdb = ["initdb", "-D", str(self._home), "-U", "root", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, user=self._user, cwd=self._home, stdout=subprocess.DEVNULL)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._home)

    def start(self) -> None:
        options = [part for option in self._options for part in ("-c", option)]
        command = ["postgres", "-D", str(self._home), "-p", str(self._port), *options]
        deadline = time.monotonic() + READY_S
        self._process = None
        while not answers(self._port):
            assert time.monotonic() < deadline, "the started PostgreSQL does not answer"
            if self._process is None or self._process.poll() is not None:
                # After a crash the next one is refused for as long as a child of the last one lives.
                self._process = subprocess.Popen(command, user=self._user, cwd=self._home, stderr=subprocess.DEVNULL)
            gevent.sleep(0.1)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends what runs; SIGQUIT is a crash, and it recovers at its next start."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait()
