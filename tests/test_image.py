"""The `Dockerfile`, played without Docker: what it copies stands alone in a folder its user cannot write to, and runs.

This interpreter stands for `/venv`; that the runtime's requirements are all it needs is told by `test_first_call.py`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.services import free_ports
from tests.logged import told

ROOT = Path(__file__).resolve().parents[1]
IGNORED = shutil.ignore_patterns("__pycache__", "vendor")
"""What .dockerignore leaves out of the folders that are copied whole."""

READY_S = 30.0
Line = tuple[str, str]


def stages() -> tuple[list[Line], list[Line]]:
    """The lines of the building stage and of the one that ships: each an instruction and its words."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word]
    first, last = (number for number, (word, _) in enumerate(lines) if word == "FROM")
    return lines[first:last], lines[last:]


def here(words: str) -> list[str]:
    """A command in exec form, by this interpreter."""
    command: list[str] = json.loads(words)
    assert command[0] == "/venv/bin/python"
    return [sys.executable, *command[1:]]


def said(lines: list[Line], wanted: str) -> str:
    return next(rest for word, rest in lines if word == wanted)


def copy(lines: list[Line], folder: Path) -> None:
    """What COPY takes from the checkout."""
    for rest in [rest for word, rest in lines if word == "COPY" and not rest.startswith("--from")]:
        *sources, target = rest.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, folder / target, ignore=IGNORED)
            else:
                place = folder / target / Path(source).name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)


def run(lines: list[Line], folder: Path) -> None:
    """What RUN does by Python; users and wheels are there in other ways."""
    for rest in [rest for word, rest in lines if word == "RUN"]:
        for command in rest.split(" && "):
            if command.startswith("/venv/bin/python "):
                words = [sys.executable, *shlex.split(command)[1:]]
                done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
                assert done.stderr == ""


@pytest.fixture
def image() -> Iterator[Path]:
    """The root of what ships: `/keypool` and `/data`."""
    with tempfile.TemporaryDirectory(prefix="keypool-image-") as name:
        root = Path(name)
        building, lines = stages()
        copy(building, root / "building")
        run(building, root / "building")
        copy(lines, root / "keypool")
        run(lines, root / "keypool")
        for rest in [rest for word, rest in lines if word == "COPY" and rest.startswith("--from=build /keypool/")]:
            _, source, target = rest.split()
            shutil.copytree(root / "building" / source.removeprefix("/keypool/"), root / "keypool" / target)
        (root / "data").mkdir(mode=0o700)
        yield root
        for folder, _, _ in os.walk(root):
            Path(folder).chmod(0o755)


def close(folder: Path) -> None:
    """Nobody may write there: the image's files are root's, and its user is another."""
    for place, _, names in os.walk(folder):
        for name in (".", *names):
            Path(place, name).chmod(0o555)


def powerless() -> list[str]:
    """What a command is begun with, so that closed folders are closed to root, too."""
    # Not as another user: this interpreter may lie where nobody else can read.
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] if os.geteuid() == 0 else []


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.slow
def test_what_is_copied_serves_in_a_folder_that_is_not_its_own_and_says_when_it_is_well(image: Path) -> None:
    close(image / "keypool")
    before = files(image / "keypool")
    assert image / "keypool" / "static" / "vendor" / "htmx.min.js" in before
    _, lines = stages()
    (port,) = free_ports(1)
    declared = dict(word.split("=", 1) for word in shlex.split(said(lines, "ENV")))
    assert declared["KEYPOOL_INSTANCE"] == said(lines, "VOLUME")
    variables = {**declared, "KEYPOOL_INSTANCE": str(image / "data"), "PORT": str(port)}
    check = here(said(lines, "HEALTHCHECK").partition(" CMD ")[2])

    def well() -> bool:
        return subprocess.run(check, cwd="/", env=variables, stderr=subprocess.DEVNULL, check=False).returncode == 0

    assert not well()
    log = image / "log"
    with log.open("wb") as out:
        command = [*powerless(), *here(said(lines, "CMD"))]
        server = subprocess.Popen(command, cwd=image / "keypool", env=variables, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + READY_S
        while not well():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.3)
    finally:
        server.send_signal(signal.Signals[said(lines, "STOPSIGNAL")])
        code = server.wait(READY_S)
    assert code == 0, log.read_text()
    assert "The admin password is" in log.read_text()
    assert told(log.read_text()) == []
    assert files(image / "keypool") == before
    assert {path.stat().st_mode & 0o077 for path in files(image / "data")} == {0}
