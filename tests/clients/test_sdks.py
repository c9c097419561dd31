"""Unmodified SDKs of today against a real server: only the base URL and the key differ."""

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
from tests.upstream import ScriptedUpstream, answer, cut_after, gemini_error, gemini_stream, sse

pytestmark = pytest.mark.slow

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"
    "RU5ErkJggg=="
)


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def server(upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(instance_template, tmp_path / "instance")
    keys = {"API_KEYS": ",".join(GEMINI_KEYS[:3]), "OPENAI_API_KEYS": OPENAI_KEYS[0]}
    with Server(tmp_path / "instance", upstream.url, **keys) as server:
        yield server


def run_client(code: str, server: Server) -> Any:
    """Run a program of its own (the suite is patched by gevent, a client is not); what it printed, as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"URL, KEY, PIXEL = {server.url!r}, {CLIENT_KEY!r}, {PIXEL!r}\n{code}"],
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


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gpt-4o"])
def test_openai_chats_and_streams(server: Server, model: str) -> None:
    code = f"""
messages = [{{"role": "system", "content": "Be brief."}}, {{"role": "user", "content": [
    {{"type": "text", "text": "What is this?"}}, {{"type": "image_url", "image_url": {{"url": PIXEL}}}}]}}]
plain = client.chat.completions.create(model={model!r}, messages=messages, temperature=0)
chunks = list(client.chat.completions.create(model={model!r}, messages=messages, stream=True,
    stream_options={{"include_usage": True}}))
text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
print(json.dumps([plain.choices[0].message.content, plain.choices[0].finish_reason, plain.usage.total_tokens, text,
    chunks[-1].usage.total_tokens, len({{c.id for c in chunks}})]))
"""
    plain, finish, total, streamed, stream_total, ids = run_client(OPENAI + code, server)
    assert plain == streamed == "Hello from the scripted upstream."
    assert finish == "stop"
    assert total > 0
    assert stream_total > 0
    assert ids == 1


def test_openai_embeds_and_lists_models(server: Server) -> None:
    code = """
vectors = client.embeddings.create(model="gemini-embedding-001", input=["one", "two"])
models = [m.id for m in client.models.list()]
one = client.models.retrieve("gemini-2.5-flash").id
print(json.dumps([[len(d.embedding) for d in vectors.data], models, one]))
"""
    lengths, models, one = run_client(OPENAI + code, server)
    assert len(lengths) == 2
    assert lengths[0] > 0
    assert {"gemini-2.5-flash", "gpt-4o-mini"} <= set(models)
    assert one == "gemini-2.5-flash"


def test_openai_calls_tools(server: Server, upstream: ScriptedUpstream) -> None:
    call = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}
    candidate = {"content": {"role": "model", "parts": [call]}, "finishReason": "STOP", "index": 0}
    body = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 12}}
    stream = sse([body])
    upstream.script(lambda request: stream if "stream" in request.path else answer(200, body))
    code = """
tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object",
    "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
ask = dict(model="gemini-2.5-flash", messages=[{"role": "user", "content": "Oslo?"}], tools=tools)
plain = client.chat.completions.create(**ask)
made = plain.choices[0].message.tool_calls[0]
with client.chat.completions.stream(**ask) as events:
    for _ in events: pass
    streamed = events.get_final_completion().choices[0]
print(json.dumps([made.function.name, made.function.arguments, plain.choices[0].finish_reason,
    streamed.message.tool_calls[0].function.arguments, streamed.finish_reason]))
"""
    name, arguments, finish, streamed, stream_finish = run_client(OPENAI + code, server)
    assert name == "weather"
    assert orjson.loads(arguments) == orjson.loads(streamed) == {"city": "Oslo"}
    assert finish == stream_finish == "tool_calls"


def test_openai_raises_where_a_stream_was_cut_and_where_a_request_is_wrong(
    server: Server, upstream: ScriptedUpstream
) -> None:
    upstream.script(cut_after(sse(gemini_stream(["one ", "two"])), events=1))
    code = """
said, outcomes = "", []
try:
    for chunk in client.chat.completions.create(model="gemini-2.5-flash", messages=[{"role": "user", "content": "x"}],
            stream=True):
        said += chunk.choices[0].delta.content or ""
except openai.APIError as error:
    outcomes.append([error.code, said])
try:
    client.chat.completions.create(model="gemini-2.5-flash", messages="no list")
except openai.BadRequestError as error:
    outcomes.append([error.code, error.param])
try:
    openai.OpenAI(base_url=URL + "/v1", api_key="sk-nobody", max_retries=0).models.list()
except openai.AuthenticationError as error:
    outcomes.append([error.code, error.status_code])
print(json.dumps(outcomes))
"""
    cut, wrong, stranger = run_client(OPENAI + code, server)
    assert cut == ["upstream_stream_interrupted", "one "]
    assert wrong[1] == "messages"
    assert stranger == ["invalid_api_key", 401]


def test_google_genai_generates_streams_counts_embeds_and_lists(server: Server) -> None:
    code = """
plain = client.models.generate_content(model="gemini-2.5-flash", contents="Hello")
streamed = "".join(c.text or "" for c in client.models.generate_content_stream(model="gemini-2.5-flash", contents="x"))
counted = client.models.count_tokens(model="gemini-2.5-flash", contents="Hello").total_tokens
vectors = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"]).embeddings
models = [m.name for m in client.models.list()]
one = client.models.get(model="gemini-2.5-flash").name
print(json.dumps([plain.text, plain.usage_metadata.total_token_count, streamed, counted, len(vectors), models, one]))
"""
    plain, total, streamed, counted, vectors, models, one = run_client(GENAI + code, server)
    assert plain == streamed == "Hello from the scripted upstream."
    assert total > 0
    assert counted > 0
    assert vectors == 2
    assert "models/gemini-2.5-flash" in models
    assert one == "models/gemini-2.5-flash"


def test_google_genai_sees_errors_in_its_own_shape(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(cut_after(sse(gemini_stream(["one ", "two"])), events=1))
    code = """
from google.genai import errors
said, outcomes = "", []
try:
    for chunk in client.models.generate_content_stream(model="gemini-2.5-flash", contents="x"):
        said += chunk.text or ""
except errors.APIError as error:
    outcomes.append([error.code, error.status, said])
try:
    stranger = genai.Client(api_key="AIzaNobody", http_options=types.HttpOptions(base_url=URL))
    stranger.models.generate_content(model="gemini-2.5-flash", contents="x")
except errors.ClientError as error:
    outcomes.append([error.code, error.status])
print(json.dumps(outcomes))
"""
    cut, stranger = run_client(GENAI + code, server)
    assert cut == [503, "UNAVAILABLE", "one "]
    assert stranger == [401, "UNAUTHENTICATED"]


def test_an_sdk_sees_nothing_of_a_failing_key(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.for_key(GEMINI_KEYS[0], gemini_error(403, message="Your API key was reported as leaked."))
    upstream.for_key(GEMINI_KEYS[1], cut_after(sse(gemini_stream(["one"])), events=0))
    code = """
texts = ["".join(c.choices[0].delta.content or "" for c in client.chat.completions.create(model="gemini-2.5-flash",
    messages=[{"role": "user", "content": "x"}], stream=True)) for _ in range(4)]
print(json.dumps(texts))
"""
    assert run_client(OPENAI + code, server) == ["Hello from the scripted upstream."] * 4
