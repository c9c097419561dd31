"""PostgreSQL and Redis of our own, which may be stopped, killed and started again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

import gevent

from tests.redis_server import RedisServer

PORTS = range(18080, 18100)
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
    """Made anew by `with`, in a folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.home, self.port = folder / "data", port
        self.url = f"postgresql+psycopg://root@127.0.0.1:{port}/postgres"
        # PostgreSQL refuses to run as root, so it runs as nobody there, in a folder nobody may reach.
        self._user = "nobody" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Postgres:
        self.home.mkdir()
        if self._user:
            shutil.chown(self.home, self._user)
            for parent in self.home.parents:
                if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
        initdb = ["initdb", "-D", str(self.home), "-U", "root", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, user=self._user, cwd=self.home, stdout=subprocess.DEVNULL)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(signal.SIGQUIT)

    def start(self) -> None:
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        command = ["postgres", "-D", str(self.home), "-p", str(self.port), *options]
        deadline = time.monotonic() + READY_S
        self._process = None
        while not answers(self.port):
            assert time.monotonic() < deadline, "the started PostgreSQL does not answer"
            if self._process is None or self._process.poll() is not None:
                # After a crash the next one is refused for as long as a child of the last one lives.
                self._process = subprocess.Popen(command, user=self._user, cwd=self.home, stderr=subprocess.DEVNULL)
            gevent.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends what runs; SIGQUIT is a crash, and it recovers at its next start."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait()
