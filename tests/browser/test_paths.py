"""An operator's main paths in a real browser, with script and without: each from a sign-in to its end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import PASSWORD
from tests.server import Server
from tests.upstream import SAYS, ScriptedUpstream

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])]

MANY = [f"AIzaMany{n:04d}" + "m" * 27 for n in range(300)]
OTHERS = [f"AIzaOther{n:03d}" + "o" * 27 for n in range(5)]


def walk(folder, path, script, password=PASSWORD, **variables):
    """What `path` of drive_paths.py told, of a server of its own."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on PATH")
    if password:
        variables["ADMIN_PASSWORD"] = password
    drive = Path(__file__).with_name("drive_paths.py")
    with ScriptedUpstream() as upstream, Server(folder / "instance", upstream.url, **variables) as server:
        command = [sys.executable, str(drive), str(chromium), path, str(script), server.url]
        typed = password or server.generated_password()
        driven = subprocess.run([*command, typed], capture_output=True, text=True, timeout=60)
    assert driven.returncode == 0, driven.stderr[-2000:]
    told = json.loads(driven.stdout)
    assert told.pop("complaints") == []
    return told


def test_a_first_start_leads_to_a_first_answer(tmp_path, script):
    told = walk(tmp_path, "first_call", script, password=None)
    assert told["next step"] == "Import keys"
    assert told["said"] == "".join(SAYS)
    assert {"200", "gemini-2.5-flash", "default"} <= set(told["listed"])


def test_a_thousand_keys_are_seen_taken_in_and_taken_back(tmp_path, script):
    told = walk(tmp_path, "import_and_undo", script, API_KEYS=",".join(OTHERS))
    assert told["preview"] == told["in"] == "1,000"
    assert "1,000 keys" in told["button"]
    assert told["heading"] == "1,000 keys imported"
    assert told["in before"]
    assert told["after undo"]
    assert told["in the bin"]


def test_all_that_match_are_disabled_and_none_beside(tmp_path, script):
    told = walk(tmp_path, "disable_all_matching", script, API_KEYS=",".join(MANY + OTHERS))
    assert told == {"selected": "300 selected", "disabled": "300", "others": "0", "enabled again": "0"}


def test_who_guesses_the_password_is_heard_no_more(tmp_path, script):
    told = walk(tmp_path, "throttled", script)
    assert told["said"] == ["That is not the password."] * 5 + ["Too many attempts. Wait a moment, then try again."]
    assert "more second" in told["wait"]
    assert told["at"] == "/login"


def test_colours_and_language_hold_from_page_to_page(tmp_path, script):
    told = walk(tmp_path, "choices", script)
    assert (told["title"], told["theme"], told["door"]) == ("导入密钥", "dark", "登录")
    assert told["pressed"] == ["深色", "简体中文"]
    assert told["auto"] != told["dark"] or not script
