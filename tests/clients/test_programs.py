"""Clients of today, unmodified, in processes of their own: whatever a program claims holds before a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.running import CLIENTS, INSTRUCTOR, SDKS, run_node_program, run_program
from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.played import play
from tests.played.gemini import signatures_in
from tests.server import Server
from tests.upstream import Action, Request, ScriptedUpstream
from tests.upstream_objects import ObjectStore

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    store = ObjectStore()
    with ScriptedUpstream(lambda request: store_first(store, request)) as upstream:
        yield upstream


def store_first(store: ObjectStore, request: Request) -> Action | None:
    """Files are an object store's, and it says who may use one; everything else is a model's."""
    if request.route.endswith("/responses"):
        return play(request)
    return store(request) or play(request)


@pytest.fixture(scope="module")
def server(
    upstream: ScriptedUpstream, instance_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    instance = tmp_path_factory.mktemp("clients") / "instance"
    shutil.copytree(instance_template, instance)
    keys = {"API_KEYS": ",".join(GEMINI_KEYS[:3]), "OPENAI_API_KEYS": ",".join(OPENAI_KEYS[:3])}
    with Server(instance, upstream.url, **keys) as server:
        yield server


@pytest.mark.parametrize(
    ("program", "python", "signatures"),
    [
        pytest.param("openai_sdk", SDKS, {"own"}, id="openai"),
        pytest.param("google_sdk", SDKS, {"own"}, id="google-genai"),
        pytest.param("anthropic_sdk", CLIENTS, {"own"}, id="anthropic"),
        # It forgets what it does not know, and so does every client below that expects {"skip"}.
        pytest.param("langchain_openai_models", CLIENTS, {"own", "skip"}, id="langchain-openai"),
        pytest.param("langchain_google", CLIENTS, {"own"}, id="langchain-google-genai"),
        pytest.param("pydantic_agents", CLIENTS, {"own", "skip"}, id="pydantic-ai"),
        pytest.param("llm_tool", CLIENTS, {"own", "skip"}, id="llm"),
        pytest.param("instructor_models", INSTRUCTOR, set(), id="instructor"),
    ],
)
def test_what_a_client_claims_holds(
    program: str, python: Path, signatures: set[str], server: Server, upstream: ScriptedUpstream
) -> None:
    """And Google's models are shown their own signatures again, or what stands in for one that a client forgot."""
    before = len(upstream.requests)
    run_program(program, python, server)
    asked = [request for request in upstream.requests[before:] if request.route.endswith("enerateContent")]
    shown = {kind for request in asked if "gemini-3" in request.route for kind in signatures_in(request.json)}
    assert shown == signatures


def test_what_openais_sdk_for_node_claims_holds(server: Server) -> None:
    run_node_program("openai_sdk", server)
