"""Runs a client's program in a process of its own: the suite is patched by gevent, a client is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import CLIENT_KEY, ROOT, Server

PROGRAMS = ROOT / "tests" / "clients" / "programs"
NODE = ROOT / "tests" / "clients" / "node"

SDKS = Path(sys.executable)
"""OpenAI's and Google's SDK are among the development tools."""

CLIENTS = ROOT / ".venv-clients" / "bin" / "python"
INSTRUCTOR = ROOT / ".venv-instructor" / "bin" / "python"


def run_program(program: str, python: Path, server: Server) -> None:
    """Fails with what the program says of the claims that did not hold."""
    if not python.exists():
        _missing(python.parts[-3])
    _run([str(python), "-W", "ignore", str(PROGRAMS / f"{program}.py")], server)


def run_node_program(program: str, server: Server) -> None:
    if not shutil.which("node"):
        _missing("Node")
    if not (NODE / "node_modules" / "openai").exists():
        _missing("tests/clients/node/node_modules")
    _run(["node", str(NODE / f"{program}.mjs")], server)


def _missing(what: str) -> None:
    reason = f"{what} is missing; `make clients` installs what it can"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _run(command: list[str], server: Server) -> None:
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")}
    environment = {**clean, "KEYPOOL_URL": server.url, "KEYPOOL_KEY": CLIENT_KEY}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=110, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [b"0 failed"]), done.stderr.decode()
