"""What takes the place of something on a page: it moves nothing, closes nothing and loses nobody's focus."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gevent
import pytest
import requests

from tests.house import PASSWORD
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEYS = ["AIzaSwap" + "s" * 27 + f"{n:04d}" for n in range(60)]
CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
BARELY = 0.01
"""A shift that nobody sees; what is called good begins at 0.1."""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on PATH")
    variables = {"ADMIN_PASSWORD": PASSWORD, "API_KEYS": ",".join(KEYS)}
    folder = tmp_path_factory.mktemp("swaps") / "instance"
    with ScriptedUpstream() as upstream, Server(folder, upstream.url, **variables) as server:
        for _ in range(8):
            headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
            assert requests.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=10).ok
        gevent.sleep(1.5)
        drive = Path(__file__).with_name("drive_swaps.py")
        command = [sys.executable, str(drive), str(chromium), server.url, PASSWORD]
        driven = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert driven.returncode == 0, driven.stderr[-2000:]
    return json.loads(driven.stdout)


def test_a_page_that_looks_again_takes_nothing_out_of_anybodys_hands(told):
    met = told["looking"]
    assert met["focus"] == met["held"]
    assert met["unfolded"]
    assert met["scrolled"] == 90
    assert max(met["moved"]) < BARELY


def test_a_page_waits_with_looking_while_something_is_selected(told):
    assert told["looking"]["left while selected"]


def test_the_progress_of_a_job_is_said_by_quarters(told):
    first, third = "Test keys: 26 / 100", "Test keys: 80 / 100"
    assert told["said"] == ["", "", first, first, first, third, third]


def test_the_focus_goes_on_where_the_answer_is_and_nothing_moves(told):
    focus = {name: where for name, (where, _moved) in told["pressing"].items()}
    assert focus == {
        "a pool switched": "Switch on",
        "the next keys of /stat": "figures",
        "the next keys": "keys",
        "a test": "test-2",
    }
    assert {name: moved for name, (_where, moved) in told["pressing"].items() if moved > BARELY} == {}
