"""What the SDKs make of failures: each in its own classes, at the same moments as with the provider itself."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.running import CLIENTS, SDKS, run_program
from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.played import play
from tests.server import Server
from tests.upstream import (
    Action,
    Request,
    ScriptedUpstream,
    cut_after,
    gemini_error,
    gemini_stream,
    openai_error,
    openai_stream,
    sse,
)

pytestmark = pytest.mark.slow

OWN_ATTEMPTS = 3
"""What Keypool spends on failures that are nobody's."""


class Failing:
    """Models that fail as their names say: `gemini-limited`, `gpt-cut`…"""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def __call__(self, request: Request) -> Action | None:
        if request.method != "POST":
            return None
        found = re.search(r"/models/([^/:]+):", request.route)
        model = found[1] if found else request.json["model"]
        provider, _, failure = model.partition("-")
        match failure.partition("-")[0], provider:
            case "missing", "gemini":
                return gemini_error(404, message=f"models/{model} is not found for API version v1beta.")
            case "missing", _:
                return openai_error(404, "model_not_found", "No such model.", param="model")
            case "limited", "gemini":
                quota = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
                return gemini_error(429, quota_id=quota, retry_delay="38s", model=model)
            case "limited", _:
                message = (
                    f"Rate limit reached for {model} in organization org-scripted on requests per min (RPM): Limit 3,"
                    " Used 3, Requested 1. Please try again in 38s."
                )
                return openai_error(429, "rate_limit_exceeded", message, type="requests")
            case "cut", "gemini":
                return cut_after(sse(gemini_stream(["one ", "two"])), events=1)
            case "cut", _:
                return cut_after(sse(openai_stream(["one ", "two"])), events=2)
            case "flaky", _:
                self._asked[model] += 1
                if self._asked[model] <= OWN_ATTEMPTS:
                    return gemini_error(503) if found else openai_error(503, type="server_error")
        return play(request)


@pytest.fixture
def server(instance_template: Path, tmp_path: Path) -> Iterator[Server]:
    """With so many keys that a few failures are no outage of an upstream."""
    shutil.copytree(instance_template, tmp_path / "instance")
    keys = {"API_KEYS": ",".join(GEMINI_KEYS), "OPENAI_API_KEYS": ",".join(OPENAI_KEYS)}
    with ScriptedUpstream(Failing()) as upstream, Server(tmp_path / "instance", upstream.url, **keys) as server:
        yield server


@pytest.mark.parametrize(
    ("program", "python"), [("openai_errors", SDKS), ("google_errors", SDKS), ("anthropic_errors", CLIENTS)]
)
def test_what_an_sdk_raises(program: str, python: Path, server: Server) -> None:
    run_program(program, python, server)
