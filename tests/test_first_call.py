"""A stranger follows the README: from `git clone` to the first answer, with its own commands, within three minutes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from faults.services import free_ports
from tests.house import GEMINI_KEYS
from tests.logged import told
from tests.programs import needed
from tests.upstream import SAYS, ScriptedUpstream

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
WITHIN_S = 180.0
PROXY_KEY = "sk-pool-0123456789abcdef0123456789abcdef"
INDEX = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""With what begins with PIP_ or names a proxy, all that says where packages come from."""


def block(heading: str, after: str = "```sh\n") -> str:
    """The first block of commands below a heading of the README."""
    section = README[README.index(f"\n{heading}\n") :]
    return section[section.index(after) + len(after) :].partition("\n```")[0]


def commands(port: int) -> tuple[str, str]:
    """What starts it, and what asks it; in the words of the README but for three that only a reader can know."""
    start, call = block("## Start"), block("## Use it", "curl:\n\n```sh\n")
    for text, wanted in ((start, "<this repository>"), (call, "sk-pool-…"), (call, "127.0.0.1:8000")):
        assert wanted in text
    return (
        start.replace("<this repository>", f"--quiet {ROOT}"),
        call.replace("sk-pool-…", PROXY_KEY).replace("127.0.0.1:8000", f"127.0.0.1:{port}"),
    )


def variables(port: int, upstream: ScriptedUpstream) -> dict[str, str]:
    """Keys as the README gives them without the web page, and an upstream that stands for Google."""
    assert re.search(r"^API_KEYS=\S+ PROXY_API_KEY=\S+ make run$", README, re.MULTILINE)
    network = {
        name: value
        for name, value in os.environ.items()
        if name in INDEX or name.startswith("PIP_") or name.lower().endswith("_proxy")
    }
    keys = {"API_KEYS": ",".join(GEMINI_KEYS[:2]), "PROXY_API_KEY": PROXY_KEY}
    return {**network, **keys, "PORT": str(port), "GEMINI_UPSTREAM_URL": f"{upstream.url}/v1beta"}


@pytest.mark.slow
@pytest.mark.timeout(WITHIN_S + 60)
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout: there is nothing to clone")
def test_the_readmes_commands_lead_a_stranger_to_an_answer(tmp_path: Path) -> None:
    needed("curl")
    (port,) = free_ports(1)
    start, call = commands(port)
    log = tmp_path / "log"
    with ScriptedUpstream() as upstream, log.open("wb") as out:
        began = time.monotonic()
        environment = variables(port, upstream)
        server = subprocess.Popen(
            ["bash", "-ec", start], cwd=tmp_path, env=environment, stdout=out, stderr=out, start_new_session=True
        )
        try:
            while not healthy(port):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() - began < WITHIN_S, log.read_text()
                time.sleep(0.1)
            answer = subprocess.run(
                ["bash", "-ec", call], env=environment, capture_output=True, text=True, timeout=20, check=True
            )
            took_s = time.monotonic() - began
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)
    assert [word for word in SAYS if word.strip() not in answer.stdout] == []
    assert answer.stdout.rstrip().endswith("data: [DONE]")
    assert [request.key for request in upstream.requests] == [GEMINI_KEYS[0]]
    assert took_s < WITHIN_S
    assert "The admin password is" in log.read_text()
    assert told(log.read_text()) == []


def healthy(port: int) -> bool:
    # A server that starts takes connections before it answers, and a busy machine takes its time.
    with suppress(requests.ConnectionError, requests.Timeout):
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok
    return False
