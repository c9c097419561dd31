"""`make demo`, started in a copy of the tree: it plays, it touches nothing but its own folder, and it ends at once."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.upstream import ScriptedUpstream
from tests.web.visitor import Page

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("app.py", "gunicorn.conf.py", "CHANGELOG.md", "demo", "migrations", "pool", "static", "templates", "tests")
REAL_KEY = "AIzaSyTheCallersOwnRealKey0000000000000"
# What runtime modules are called by when imported, of all that requirements.in names.
RUNTIME = {"flask", "gevent", "gunicorn", "orjson", "requests", "sqlalchemy"}

pytestmark = pytest.mark.slow


class Demo:
    """A running demo: its processes, its terminal, its folder."""

    def __init__(self, tree: Path, environment: dict[str, str]) -> None:
        self.folder = tree / "demo-instance"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = start(tree, self.port, environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = self._read_until("Ctrl-C ends it.")

    def _read_until(self, mark: str) -> str:
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if mark in line:
                return said
        raise AssertionError(f"the demo did not start:\n{said}")

    def rows(self, query: str) -> list[tuple]:
        with closing(sqlite3.connect(f"file:{self.folder / 'pool.sqlite'}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


def start(
    tree: Path, port: int = 0, environment: dict[str, str] | None = None, **options: Any
) -> subprocess.Popen[Any]:
    variables = {**os.environ, **(environment or {}), "DEMO_PORT": str(port or free_port())}
    return subprocess.Popen([sys.executable, "-m", "demo"], cwd=tree, env=variables, start_new_session=True, **options)


def pids_in(tree: Path) -> list[int]:
    """Everything that runs in a tree."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if entry.readlink() == tree:
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def real_upstream() -> Iterator[ScriptedUpstream]:
    """What the caller's own variables name: nobody may call it."""
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy whose `instance` is a file: whatever is opened or made below it fails."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    (tree / "instance").write_text("not to be touched")
    return tree


@pytest.fixture
def demo(tree: Path, real_upstream: ScriptedUpstream) -> Iterator[Demo]:
    """Started by somebody who has keys of their own, in the environment and in `.env`."""
    own = {"API_KEYS": REAL_KEY, "GEMINI_UPSTREAM_URL": f"{real_upstream.url}/v1beta", "PROXY_API_KEY": "sk-my-own-one"}
    (tree / ".env").write_text("".join(f"{name}={value}\n" for name, value in own.items()) + "LOG_LEVEL=nonsense\n")
    running = Demo(tree, {**own, "KEYPOOL_INSTANCE": str(tree / "instance"), "WEB_CONCURRENCY": "7"})
    try:
        yield running
    finally:
        running.end()


def test_the_demo_plays_by_itself_and_ends_at_once(demo: Demo, real_upstream: ScriptedUpstream) -> None:
    password = re.search(r"password: (\S+)", demo.said)
    assert demo.url in demo.said
    assert password

    with requests.Session() as browser:
        assert password[1] in browser.get(f"{demo.url}/login", timeout=10).text
        browser.post(f"{demo.url}/login", {"password": password[1]}, headers={"Origin": demo.url}, timeout=10)
        dashboard = browser.get(f"{demo.url}/dashboard", timeout=10)
        assert dashboard.url.endswith("/dashboard")
        assert "gemini-2.5-flash" in Page(dashboard.text).text
        assert [cookie.name for cookie in browser.cookies] == ["keypool-demo"]

    live = "SELECT count(*) FROM requests WHERE outcome = 'ok' AND request_id NOT LIKE 'demo-%'"
    deadline = time.monotonic() + 15
    while demo.rows(live)[0][0] < 5:
        assert time.monotonic() < deadline, "no request was served"
        time.sleep(0.2)

    assert demo.rows("SELECT count(*) FROM keys WHERE deleted_at IS NULL") == [(200,)]
    assert demo.rows(f"SELECT count(*) FROM keys WHERE hint_suffix = '{REAL_KEY[-4:]}'") == [(0,)]
    assert demo.rows("SELECT count(*) FROM client_keys WHERE origin = 'env'") == [(0,)]
    assert demo.rows("SELECT count(*) FROM traffic_hourly")[0][0] > 500
    assert {row[0] for row in demo.rows("SELECT DISTINCT reason FROM key_health")} >= {"quota_day", "not_entitled"}
    assert (demo.folder.parent / "instance").read_text() == "not to be touched"

    tree = demo.folder.parent
    second = start(tree, stderr=subprocess.PIPE)
    assert b"running already" in second.communicate(timeout=20)[1]
    assert len(pids_in(tree)) == 3

    began = time.monotonic()
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(5) == 0
    assert time.monotonic() - began < 5
    assert pids_in(tree) == []
    assert real_upstream.requests == []


def test_ctrl_c_before_the_curtain_rises_ends_it_too(tree: Path) -> None:
    early = start(tree, stderr=subprocess.PIPE)
    time.sleep(2)
    early.send_signal(signal.SIGINT)
    _, complaint = early.communicate(timeout=20)
    assert (early.returncode, complaint) == (0, b"")
    assert pids_in(tree) == []


def test_the_demo_needs_no_development_requirement() -> None:
    paths = [*(ROOT / "demo").glob("*.py"), *(ROOT / "tests").glob("upstream*.py"), ROOT / "tests" / "__init__.py"]
    outside = {
        name.partition(".")[0]
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert outside - set(sys.stdlib_module_names) - RUNTIME <= {"app", "demo", "pool", "tests"}
