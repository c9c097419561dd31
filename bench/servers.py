"""The processes of a measurement: started on free loopback ports, watched in /proc, ended by their own id."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
BUILD = BENCH / "build"
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
START_S = 30
CLIENT_KEY = "sk-pool-" + secrets.token_hex(16)

# One core for the server under test, the others for what drives it.
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = CORES[:1]
DRIVER_CORES = CORES[1:] or CORES


class NotRunning(Exception):
    """A server could not be started; the text says why."""


def build(name):
    """Compile bench/<name>.c, when it changed."""
    source, binary = BENCH / f"{name}.c", BUILD / name
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        subprocess.run([compiler(), "-O2", "-o", str(binary), str(source)], check=True)
    return str(binary)


def compiler():
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def end_with_a_signal():
    """End as after an error where somebody ends this process: the servers, in sessions of their own, end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def tree(pid):
    """The process and all its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, grew = {pid}, True
    while grew:
        more = {child for child, parent in parents.items() if parent in found} - found
        found, grew = found | more, bool(more)
    return found


class Server:
    """A server under test, with all its processes."""

    def __init__(self, name, arguments, environment, folder=ROOT):
        self.name = name
        self.port = int(environment.get("PORT", 0))
        self.log = tempfile.NamedTemporaryFile(prefix=f"bench-{name}-", suffix=".log")  # noqa: SIM115
        self.process = subprocess.Popen(
            arguments,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, SERVER_CORES),
        )
        try:
            self._wait()
        except NotRunning:
            self.stop()
            raise

    def _wait(self):
        until = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < until:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        raise NotRunning(f"{self.name} did not start: {self.last_words()}")

    def last_words(self):
        lines = Path(self.log.name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def cpu_s(self):
        """User and system time of all processes so far, those that ended included."""
        ticks = 0
        for pid in tree(self.process.pid):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ticks += sum(map(int, fields[11:15]))
        return ticks / TICKS_A_SECOND

    def rss_mb(self):
        pages = 0
        for pid in tree(self.process.pid):
            try:
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self):
        """SIGTERM to the server, and SIGKILL to its own session when that does not help."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()


class Upstream:
    """The C provider; its address is known once it printed its port."""

    def __init__(self):
        self.process = subprocess.Popen(
            [build("upstream"), "0"],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, DRIVER_CORES),
        )
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def gunicorn(*arguments):
    return [sys.executable, "-m", "gunicorn", *arguments]


def yardstick(upstream):
    port = free_port()
    how = ("-k", "gevent", "-w", "1", "--keep-alive", "75", "--no-control-socket", "-b", f"127.0.0.1:{port}")
    arguments = gunicorn(*how, "yardstick:app")
    environment = {"PORT": str(port), "YARDSTICK_UPSTREAM_URL": f"http://127.0.0.1:{upstream.port}/v1"}
    # From bench/, where gunicorn finds no configuration of ours.
    return Server("yardstick", arguments, environment, BENCH)


def keypool(upstream, folder):
    if not (ROOT / "app.py").exists():
        raise NotRunning("keypool did not start: there is no app.py")
    address = f"http://127.0.0.1:{upstream.port}"
    environment = {
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "KEYPOOL_INSTANCE": folder,
        "ADMIN_PASSWORD": secrets.token_urlsafe(16),
        "PROXY_API_KEY": CLIENT_KEY,
        "OPENAI_API_KEYS": ",".join(f"sk-proj-{secrets.token_hex(24)}" for _ in range(100)),
        "API_KEYS": ",".join(f"AIzaSy{secrets.token_hex(17)[:33]}" for _ in range(100)),
        "OPENAI_UPSTREAM_URL": f"{address}/v1",
        "GEMINI_UPSTREAM_URL": f"{address}/v1beta",
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "WEB_CONCURRENCY": "1",
    }
    return Server("keypool", gunicorn("-c", "gunicorn.conf.py", "app:create_app()"), environment)
