"""The pages in a real browser: no complaint, no dialog, no sideways scrolling, with script and without."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.house import PASSWORD
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_operators_first_minutes_in_a_browser(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on PATH")
    with ScriptedUpstream() as upstream, Server(tmp_path / "instance", upstream.url, ADMIN_PASSWORD=PASSWORD) as server:
        # A stranger's word stands on the pages: as a model there is nothing it may not be called.
        asked = {"model": "m" * 180, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
        requests.post(f"{server.url}/v1/chat/completions", json=asked, headers=headers, timeout=10)
        drive = Path(__file__).with_name("drive.py")
        told = subprocess.run(
            [sys.executable, str(drive), str(chromium), server.url, PASSWORD, HOSTILE, CLIENT_KEY],
            capture_output=True, text=True, timeout=560,
        )  # fmt: skip
    assert told.returncode == 0, told.stderr[-2000:]
    found = json.loads(told.stdout)
    assert found["seen"] == []
    assert "\n".join(found["wide"]) == ""
    assert not found["wrong"], "\n".join(found["wrong"])
    assert all(key.startswith("sk-pool-") and len(key) == 40 for key in found["shown"].values())
    told = found["told"]
    assert not told["bar before"]
    assert told["ticked"] == told["still ticked"] == "4 selected"
    assert told["after undo"].startswith("Undone.")
    assert "alive, " in told["test"]
    assert told["all"] == "30 selected"
    assert [key[:10] for key in told["clipboard"]] == [f"AIzaJs{n:04d}" for n in range(30)]
    assert (told["focus"], told["focus after undo"], told["focus after test"]) == ("SUMMARY", "keys", True)
    assert told["asked"] == 4
    assert told["asked hidden"] == 0
