"""The pages in a real browser: no complaint, no dialog, no sideways scrolling, with script and without."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import PASSWORD
from tests.server import Server

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_operators_first_minutes_in_a_browser(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on PATH")
    with Server(tmp_path / "instance", ADMIN_PASSWORD=PASSWORD) as server:
        drive = Path(__file__).with_name("drive.py")
        told = subprocess.run(
            [sys.executable, str(drive), str(chromium), server.url, PASSWORD, HOSTILE],
            capture_output=True, text=True, timeout=170,
        )  # fmt: skip
    assert told.returncode == 0, told.stderr[-2000:]
    found = json.loads(told.stdout)
    assert found["seen"] == []
    assert found["wide"] == []
    assert all(key.startswith("sk-pool-") and len(key) == 40 for key in found["shown"].values())
