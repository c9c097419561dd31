"""/stat in a real browser: a click on an exhausted model tells the upstream's reason, with script and without."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gevent
import pytest
import requests

from tests.house import GEMINI_KEYS, PASSWORD
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream, gemini_error

DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.slow
def test_a_click_on_an_exhausted_model_tells_why(tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on PATH")
    variables = {"ADMIN_PASSWORD": PASSWORD, "API_KEYS": ",".join(GEMINI_KEYS[:2])}
    with ScriptedUpstream() as upstream, Server(tmp_path / "instance", upstream.url, **variables) as server:
        spent = gemini_error(429, message="You exceeded your current quota.", retry_delay="5s", quota_id=DAY)
        upstream.for_key(GEMINI_KEYS[0], spent)
        for _ in range(3):
            headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
            assert requests.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=10).ok
        gevent.sleep(1.5)
        command = [sys.executable, str(Path(__file__).with_name("drive_stat.py")), str(chromium), server.url, PASSWORD]
        driven = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert driven.returncode == 0, driven.stderr[-2000:]
    told = json.loads(driven.stdout)
    for seen in told.values():
        assert "gemini-2.5-flash" in seen["badge"]
        assert "You exceeded your current quota." not in seen["badge"]
        assert "You exceeded your current quota." in seen["opened"]
    assert told["with script"]["counted"]
    assert told["with script"]["asked as the day ended"] == [[f"{server.url}/stat", "true"]]
