"""`deploy/keypool.service`, as far as it can be tried without systemd in charge: its words, its locks, its commands."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest
import requests

from faults.services import free_ports
from tests.programs import needed

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "deploy" / "keypool.service"
CHECKOUT = "/opt/keypool"
MOST_EXPOSED = 2.5
"""Of ten. 1.7 when this was written; what the figure counts differs a little between versions of systemd."""

READY_S = 30.0


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([needed("systemd-analyze"), *arguments], capture_output=True, text=True, check=False)


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    here = tmp_path / UNIT.name
    # It looks for the command, too: this interpreter stands for the one of the checkout.
    here.write_text(UNIT.read_text().replace(f"{CHECKOUT}/.venv/bin/python", sys.executable))
    checked = analyze("verify", "--man=no", here)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_service_may_do_little_beside_its_work() -> None:
    said = analyze("security", "--offline=yes", "--no-pager", UNIT)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said.stdout)
    assert found, said.stderr
    assert float(found[1]) <= MOST_EXPOSED


@pytest.mark.slow
def test_its_command_tells_systemd_that_it_started_serves_and_ends_well(tmp_path: Path) -> None:
    unit = RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    command = shlex.split(service["ExecStart"].replace(f"{CHECKOUT}/.venv/bin/python", sys.executable))
    given = dict(word.split("=", 1) for word in shlex.split(service["Environment"]))
    assert given["KEYPOOL_INSTANCE"] == f"/var/lib/{service['StateDirectory']}"
    assert service["Type"] == "notify"
    (port,) = free_ports(1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard, (tmp_path / "log").open("wb") as log:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(READY_S)
        here = {"KEYPOOL_INSTANCE": str(tmp_path / "instance"), "PORT": str(port)}
        variables = {**given, **here, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        server = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=log, stderr=log)
        try:
            assert b"READY=1" in heard.recv(1000)
            # Connections are taken from then on; who comes before the app is there waits for it.
            assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=READY_S).status_code == 200
        finally:
            server.terminate()
        assert server.wait(READY_S) == 0
