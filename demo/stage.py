"""Starts the demo, says where it is and what to look at, and ends all of it at Ctrl-C."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import gevent
from gevent.event import Event

from app import create_app
from demo import cast
from demo.callers import Callers
from demo.history import write_past
from demo.placing import Placed, place
from demo.upstream import Provider
from pool.adapters.database import AlreadyRunning, acquire_instance_lock
from pool.environment import ALIASES, KNOWN
from tests.upstream import ScriptedUpstream

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "demo-instance"
LOG = FOLDER / "keypool.log"
PASSWORD = "keypool-demo"
"""Known to everybody, which is right here: the demo has nothing to guard, and only this machine can reach it."""

CONFIG = {"SESSION_COOKIE_NAME": "keypool-demo"}
"""Ports share cookies: under the usual name, signing in here would sign out of the Keypool at work on this machine."""

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
READY_S = 30.0
STOP_S = 3.0
FORGET_S = 60.0

_WELCOME = """
  Keypool's demo is at  {url}   password: {password}
  The keys, the callers and the upstream are made up, so the password may be known: only this machine can reach it.

  What to look at
    {url}/dashboard  a week of traffic, and the requests that come in now
    {url}/keys       200 keys: which rest, until when and why. Wake a dead one and see it die again
    {url}/stat       what each key answered today, by model, and what the upstreams refused
    {url}/pools      three pools; each page has the lines for curl and the SDKs, to call it yourself

  Ctrl-C ends it. It begins anew at each start; what Keypool says is in {log}.

"""


class Refused(Exception):
    """The demo cannot start. The text is one sentence."""


def main() -> int:
    for number in ENDS:
        signal.signal(number, _interrupt)
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)  # a Ctrl-C is nothing to print
    try:
        _play(_port(os.environ.get("DEMO_PORT") or "8010"))
    except KeyboardInterrupt:
        pass
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _play(port: int) -> None:
    _clear_stage(port)
    _say("\n  One moment: a week of history is being made up …\n")
    now, rng = time.time(), random.Random()
    provider = Provider((part for pool in cast.pools() for part in pool.parts), time.time, rng)
    with ScriptedUpstream(provider) as upstream:
        variables = _variables(port, upstream.url)
        placed = _set_stage(variables, now)
        with _keypool(variables, port) as server:
            callers = Callers(port, placed, rng)
            callers.start()
            try:
                _say(_WELCOME.format(url=f"http://127.0.0.1:{port}", password=PASSWORD, log=LOG.relative_to(ROOT)))
                _wait(server, upstream)
            finally:
                callers.stop()


def _variables(port: int, upstream_url: str) -> dict[str, str]:
    """All that Keypool hears: nothing of the caller's own, and of `.env` nothing that has a name here, if empty."""
    ours = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")}
    unset = [name + end for name in (*KNOWN, *ALIASES) for end in ("", "_FILE")]
    return {
        **dict.fromkeys(unset, ""),
        **ours,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
        "KEYPOOL_INSTANCE": str(FOLDER),
        "ADMIN_PASSWORD": PASSWORD,
        "LOGIN_NOTE": f"Demo password · 演示密码: {PASSWORD}",
        "GEMINI_UPSTREAM_URL": f"{upstream_url}/v1beta",
        "OPENAI_UPSTREAM_URL": f"{upstream_url}/v1",
    }


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 65_535:
        raise Refused(f"DEMO_PORT: {text!r} is not a whole number from 1 to 65535.")
    return int(text)


def _clear_stage(port: int) -> None:
    """Make the folder anew, unless another demo is at work in it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise Refused(f"Port {port} is taken; choose another one: DEMO_PORT=8011 make demo") from None
    if not FOLDER.exists():
        return
    try:
        lock = acquire_instance_lock(FOLDER / "lock")
    except AlreadyRunning:
        raise Refused("A demo is running already.") from None
    shutil.rmtree(FOLDER)
    lock.release()


def _set_stage(variables: dict[str, str], now: float) -> Placed:
    keypool = create_app(environment=variables).extensions["keypool"]
    # Not in a `finally`: stopping writes down what is left, and at Ctrl-C nobody wants it.
    placed = place(keypool, now)
    write_past(keypool, placed, now)
    keypool.database.optimize()
    keypool.stop()
    return placed


@contextmanager
def _keypool(variables: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Keypool under gunicorn, as `make run` starts it, until the block ends."""
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", f"app:create_app({CONFIG})"]
    with LOG.open("ab") as log:
        # In a session of its own: Ctrl-C comes to this process alone, which then ends the rest in order.
        server = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_until_ready(server, port)
        yield server
    finally:
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must leave nobody behind
        server.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_S
    while server.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        with suppress(OSError):
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        connection.close()
        gevent.sleep(0.05)
    raise Refused(f"Keypool did not start:\n{LOG.read_text()}")


def _wait(server: subprocess.Popen[bytes], upstream: ScriptedUpstream) -> None:
    """Until somebody ends the demo, or Keypool ended by itself."""
    ended = Event()
    for number in ENDS:
        gevent.signal_handler(number, ended.set)
    forget_at = time.monotonic() + FORGET_S
    while not ended.wait(0.5):
        if server.poll() is not None:
            raise Refused(f"Keypool ended by itself; {LOG.relative_to(ROOT)} says why.")
        if time.monotonic() > forget_at:
            # It keeps what it saw, for tests; a demo may run for days.
            upstream.requests.clear()
            upstream.connections[:] = [each for each in upstream.connections if each.closed_at is None]
            forget_at = time.monotonic() + FORGET_S


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
