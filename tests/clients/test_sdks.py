"""Unmodified SDKs against a real server whose keys fail: only the base URL and the key differ."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.server import CLIENT_KEY, Server
from tests.upstream import SAYS, ScriptedUpstream, cut_after, gemini_error, gemini_stream, in_turn, sse

pytestmark = pytest.mark.slow


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def server(upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(instance_template, tmp_path / "instance")
    keys = {"API_KEYS": ",".join(GEMINI_KEYS[:4]), "OPENAI_API_KEYS": OPENAI_KEYS[0]}
    with Server(tmp_path / "instance", upstream.url, **keys) as server:
        yield server


def run_client(code: str, server: Server) -> Any:
    """Run a program of its own (the suite is patched by gevent, a client is not); what it printed, as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"URL, KEY = {server.url!r}, {CLIENT_KEY!r}\n{code}"],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return orjson.loads(done.stdout.splitlines()[-1])


OPENAI = """
import json, openai
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
"""

GENAI = """
import json
from google import genai
from google.genai import types
client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=URL))
"""


def test_an_sdk_sees_nothing_of_a_failing_key(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.for_key(GEMINI_KEYS[0], gemini_error(403, message="Your API key was reported as leaked."))
    quota = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    upstream.for_key(GEMINI_KEYS[1], gemini_error(429, quota_id=quota, retry_delay="38s"))
    upstream.for_key(GEMINI_KEYS[2], in_turn(cut_after(sse(gemini_stream()), events=0), sse(gemini_stream(SAYS))))
    code = """
texts = ["".join(c.choices[0].delta.content or "" for c in client.chat.completions.create(model="gemini-2.5-flash",
    messages=[{"role": "user", "content": "x"}], stream=True)) for _ in range(4)]
print(json.dumps(texts))
"""
    assert run_client(OPENAI + code, server) == ["Hello from the scripted upstream."] * 4
