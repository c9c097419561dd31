"""The pages under fingers and keys, on a phone and offline: what is pressed stays, and answers are in sight."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gevent
import pytest
import requests

from tests.house import PASSWORD
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream, gemini_error

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KEYS = ["AIzaHand" + "h" * 27 + f"{n:04d}" for n in range(60)]
CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
SAID = "API key not valid. Please pass a valid API key."


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on PATH")
    variables = {"ADMIN_PASSWORD": PASSWORD, "API_KEYS": ",".join(KEYS)}
    folder = tmp_path_factory.mktemp("hands") / "instance"
    with ScriptedUpstream() as upstream, Server(folder, upstream.url, **variables) as server:
        upstream.for_key(KEYS[0], gemini_error(400, message=SAID, reason="API_KEY_INVALID"))
        for _ in range(25):
            headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
            assert requests.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=10).ok
        gevent.sleep(1.5)
        drive = Path(__file__).with_name("drive_hands.py")
        command = [sys.executable, str(drive), str(chromium), server.url, PASSWORD, KEYS[0][-4:]]
        driven = subprocess.run(command, capture_output=True, text=True, timeout=560)
    assert driven.returncode == 0, driven.stderr[-2000:]
    return json.loads(driven.stdout)


def test_what_is_asked_far_down_a_page_is_answered_there(told):
    met = told["far down"]
    assert met["scrolled"] > 1_000
    assert met["scrolled"] == met["then"] == met["after"]
    assert (met["asked in"], met["given back"], met["left"]) == ("field-password", "copy-48", "")


def test_an_undo_is_in_sight_and_a_few_tabs_away(told):
    assert told["far down"]["undo in sight"]
    assert told["far down"]["undo in"] <= 8


def test_a_menu_gives_the_focus_back_and_closes_behind_it(told):
    assert told["menus"] == {"escaped": [True, 0], "open": 1, "tabbed away": 0}


def test_a_lost_connection_and_a_lost_key_are_told(told):
    met = told["troubles"]
    assert met["offline"] == "Keypool does not answer. Look at the connection, then try again."
    assert met["in sight"]
    assert met["gone"] == "It is not here any more: somebody else may have removed it. Load the page again."
    assert met["dismissed"] == ""


def test_a_last_error_is_dated_whole_and_told_once(told):
    met = told["last error"]
    assert re.fullmatch(r"error\s+(just now|\d+ \w+ ago)", met["summary"])
    assert SAID in met["panel"]
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", met["panel"])
    assert met["tested"].count(SAID) == 1


def test_a_refused_form_begins_at_what_is_wrong(told):
    assert told["refused"] == [
        ["setting-max_attempts", "true", "setting-max_attempts-error setting-max_attempts-hint"],
        ["field-name", "true", "field-name-error"],
    ]


def test_the_bar_of_the_settings_covers_no_field_with_the_focus(told):
    assert told["covered"] == [0, 0]


@pytest.mark.parametrize("script", ["True", "False"])
def test_a_phone_reaches_every_page_colour_and_language(told, script):
    met = told["phone"][script]
    assert not met["links before"]
    assert len(met["links"]) >= 8
    assert len(met["choices"]) >= 5
    assert all([*met["links"], *met["choices"], *met["chips"]])
    assert met["current"] == "Keys"


@pytest.mark.parametrize("script", ["True", "False"])
def test_a_phone_shows_more_than_two_keys_at_once_and_moves_none(told, script):
    met = told["phone"][script]
    assert met["a key's height"] < 190
    assert met["a request's height"] < 110
    assert not met["a menu moved"]


def test_no_line_of_a_snippet_is_cut(told):
    assert told["cut"] == [0, 0]


def test_an_import_of_nothing_is_not_offered(told):
    assert told["importing"]["said"] == [
        ["Import 2 keys into \u2068default\u2069", True],
        ["Import 1 key into \u2068default\u2069", True],
        ["Tick a key to import", False],
        ["Import 1 key into \u2068default\u2069", True],
    ]
    assert told["importing"]["labels of nothing"] == [False]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_edges_placeholders_and_bars_stand_out(told, scheme):
    met = told["colours"][scheme]
    for edge in met["edges"]:
        assert min(contrast(edge, met["surface"]), contrast(edge, met["ground"])) >= 3
    assert met["opacity"] == "1"
    assert contrast(met["placeholder"], met["surface"]) >= 4.5
    assert contrast(*met["series"]) >= 3


def contrast(one, other):
    """As WCAG 2 has it, of two colours `rgb(1, 2, 3)`."""
    low, high = sorted(luminance(each) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    light = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), light, strict=True))
