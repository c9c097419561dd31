"""What a program that reads the document and sends everything it allows, and much it does not, gets for answers."""

import subprocess
import sys

import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.server import Server
from tests.upstream import ScriptedUpstream

AT_MOST_S = 30
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
THERE = """
[parameters]
"path.key_id" = ["1", "2", "3", "12"]
"path.pool_id" = "1"
"path.client_id" = [1, 2]
"path.slug" = ["gemini", "openai"]
"path.name" = ["heartbeat_s", "max_attempts", "nothing"]
"path.product" = ["gpt-load", "gemini-balance", "one-api"]
"""
"""What addresses name, and is there at first."""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_the_document_allows_breaks_it_and_every_answer_is_as_the_document_says(tmp_path):
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run"),
        *("--phases", "examples,coverage,fuzzing", "--max-time", str(AT_MOST_S), "--checks", ",".join(CHECKS)),
        *("--header", f"X-Admin-Key: {PASSWORD}", "--request-timeout", "15", "--continue-on-failure", "--no-color"),
    ]
    variables = {
        "ADMIN_PASSWORD": PASSWORD,
        # Something that addresses name: keys 1 to 18, pool 1.
        "API_KEYS": ",".join(GEMINI_KEYS),
        "OPENAI_API_KEYS": ",".join(OPENAI_KEYS),
    }
    (tmp_path / "schemathesis.toml").write_text(THERE)
    with ScriptedUpstream() as upstream, Server(tmp_path / "instance", upstream.url, **variables) as server:
        run = subprocess.run(
            [*command, f"{server.url}/admin/openapi.json"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert "Traceback" not in server.log
