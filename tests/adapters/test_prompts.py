"""What callers ask and models answer is nowhere afterwards: no file, no log, nothing that was ever said to Redis."""

from __future__ import annotations

import base64
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import pytest
import redis
import requests

from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.redis_server import RedisServer
from tests.server import CLIENT_KEY, Server
from tests.upstream import (
    Action,
    Request,
    ScriptedUpstream,
    answer,
    cut_after,
    gemini_error,
    gemini_like,
    openai_error,
    openai_text,
    sse,
)

pytestmark = pytest.mark.slow

CANARY = "Kanarienvogel7f3a9c"
"""Its letters stand for prompts and answers. Whoever writes them down in base64 writes one of `TRACES`."""

DATA = base64.b64encode(f"..{CANARY}".encode()).decode()
TRACES = (
    *(form.encode() for form in (CANARY, CANARY.lower(), CANARY.upper())),
    *(base64.b64encode(b"." * ahead + CANARY.encode())[4:24] for ahead in range(3)),
)
FLASH, GPT = "gemini-2.5-flash", "gpt-4o-mini"

TEXT = f"Sing, {CANARY}!"
TOOL = {
    "name": f"sing_{CANARY}",
    "description": TEXT,
    "parameters": {"type": "object", "properties": {CANARY: {"type": "string"}}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": TOOL["name"], "arguments": json.dumps({CANARY: TEXT})}}


def chat(model: str) -> dict[str, Any]:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}
    return {
        "model": model, "user": CANARY, "tools": [{"type": "function", "function": TOOL}], "stop": [CANARY],
        "messages": [
            {"role": "system", "content": TEXT},
            {"role": "user", "content": [{"type": "text", "text": TEXT}, image], "name": CANARY},
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": TEXT},
        ],
    }  # fmt: skip


def contents() -> dict[str, Any]:
    parts = [{"text": TEXT}, {"inlineData": {"mimeType": "image/png", "data": DATA}}]
    call = {"functionCall": {"name": TOOL["name"], "args": {CANARY: TEXT}}}
    result = {"functionResponse": {"name": TOOL["name"], "response": {"song": TEXT}}}
    talk = [("user", parts), ("model", [call]), ("user", [result])]
    return {
        "systemInstruction": {"parts": [{"text": TEXT}]},
        "tools": [{"functionDeclarations": [TOOL]}],
        "contents": [{"role": role, "parts": parts} for role, parts in talk],
    }


def messages(model: str) -> dict[str, Any]:
    tool = {"name": TOOL["name"], "description": TEXT, "input_schema": TOOL["parameters"]}
    use = {"type": "tool_use", "id": "t1", "name": TOOL["name"], "input": {CANARY: TEXT}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
    talk = [
        {"role": "user", "content": [{"type": "text", "text": TEXT}, image]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": TEXT}]},
    ]
    return {
        "model": model,
        "max_tokens": 50,
        "system": TEXT,
        "tools": [tool],
        "messages": talk,
        "metadata": {"user_id": CANARY},
    }


def asked() -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and body: every dialect to every upstream, whole and as a stream."""
    for model in (FLASH, GPT):
        for stream in (False, True):
            yield "/v1/chat/completions", chat(model) | {"stream": stream}
            yield "/v1/messages", messages(model) | {"stream": stream}
            yield "/v1/responses", {"model": model, "input": TEXT, "instructions": TEXT, "stream": stream}
        yield f"/v1beta/models/{model}:generateContent", contents()
        yield f"/v1beta/models/{model}:streamGenerateContent?alt=sse", contents()
        yield "/v1/messages/count_tokens", messages(model)
    yield f"/v1beta/models/{FLASH}:countTokens", {"contents": contents()["contents"]}
    yield "/v1beta/models/gemini-embedding-001:embedContent", {"content": {"parts": [{"text": TEXT}]}}
    for model in ("gemini-embedding-001", "text-embedding-3-small"):
        yield "/v1/embeddings", {"model": model, "input": [TEXT, TEXT]}
    yield "/v1/images/generations", {"model": "gpt-image-1", "prompt": TEXT}
    yield "/v1/audio/speech", {"model": "gpt-4o-mini-tts", "input": TEXT, "voice": "alloy"}
    yield "/v1/completions", {"model": GPT, "prompt": TEXT}


def said_by_gemini(finish: str | None = "STOP") -> dict[str, Any]:
    parts = [
        {"text": TEXT, "thought": True}, {"text": TEXT}, {"inlineData": {"mimeType": "image/png", "data": DATA}},
        {"functionCall": {"name": TOOL["name"], "args": {CANARY: TEXT}}},
    ]  # fmt: skip
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], "responseId": "r1"}


def told(request: Request) -> Action:
    """An answer, full of it."""
    if request.method == "GET":
        return gemini_like(request)
    if request.route.endswith("/files"):
        return answer(200, {"id": "file-1", "object": "file", "purpose": "batch", "filename": f"{CANARY}.jsonl"})
    if request.route.endswith(("mbedContent", "mbedContents", "/embeddings", ":countTokens")):
        return gemini_like(request)
    if ":streamGenerateContent" in request.route:
        return sse([said_by_gemini(None), said_by_gemini()])
    if ":generateContent" in request.route:
        return answer(200, said_by_gemini())
    if request.json.get("stream"):
        chunk = openai_text(TEXT) | {"object": "chat.completion.chunk"}
        chunk["choices"] = [
            {"index": 0, "delta": {"content": TEXT, "tool_calls": [CALL | {"index": 0}]}, "finish_reason": None}
        ]
        return sse([chunk, chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}], done=True)
    return answer(
        200, openai_text(TEXT) | {"output": [{"type": "message", "content": [{"type": "output_text", "text": TEXT}]}]}
    )


def refused(status: int) -> Any:
    """An error that repeats what it was asked, as validators do."""

    def refuse(request: Request) -> Action:
        message = f'Invalid value: \'{TEXT}\'. In the request: {{"text": "{TEXT}"}}'
        if ":" in request.route:
            return gemini_error(status, message=message)
        return openai_error(status, "invalid_value", message, param=CANARY)

    return refuse


UPSTREAMS: tuple[Any, ...] = (
    told,
    lambda request: answer(200, TEXT),
    lambda request: answer(200, said_by_gemini(), announce_bytes=9999),
    lambda request: cut_after(sse([said_by_gemini(None)] * 3), events=2),
    lambda request: sse([said_by_gemini(None), {"error": {"code": 500, "message": TEXT}}]),
    lambda request: answer(200, {"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": TEXT}}),
    *map(refused, (400, 403, 404, 413, 418, 422, 429, 500)),
)  # fmt: skip
"""Ways to answer, and to fail."""

FEW = [
    ("/v1/chat/completions", chat(FLASH)),
    ("/v1/chat/completions", chat(FLASH) | {"stream": True}),
    ("/v1/chat/completions", chat(GPT) | {"stream": True}),
    ("/v1/messages", messages(GPT)),
    (f"/v1beta/models/{FLASH}:generateContent", contents()),
]
PATIENCE = {"max_attempts": 2, "max_queue_s": 0}


@dataclass
class Everything:
    """What a server leaves and says: its files, its log, all that Redis heard."""

    folder: Path
    heard: list[str] = field(default_factory=list)

    def holds(self, *words: bytes) -> list[str]:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        texts = [(str(path.relative_to(self.folder)), path.read_bytes()) for path in files]
        texts.append(("what Redis heard", "\n".join(self.heard).encode()))
        return [
            f"{name}: {text[max(0, at - 150) : at + 50]!r}"
            for name, text in texts
            for word in words
            if (at := text.find(word)) >= 0
        ]


@contextmanager
def listening(server: RedisServer, heard: list[str]) -> Iterator[None]:
    """Hears every command anybody gives to Redis."""
    client = redis.Redis.from_url(server.url, socket_timeout=None)  # a server takes its time to start
    with client.monitor() as monitor:

        def hear() -> None:
            for given in monitor.listen():
                heard.append(str(given["command"]))

        listener = gevent.spawn(hear)
        yield
        listener.kill()
    client.close()


def upload(session: requests.Session, server: Server) -> None:
    """A file too large for memory, with the name of a bird."""
    headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
    files = {"file": (f"{CANARY}.jsonl", f"{TEXT}\n".encode() * 60_000)}
    sent = session.post(f"{server.url}/v1/files", files=files, data={"purpose": "batch"}, headers=headers, timeout=30)
    assert sent.status_code == 200, sent.text


def ask_on_the_page(session: requests.Session, server: Server) -> None:
    headers = {"Sec-Fetch-Site": "same-origin"}
    session.post(f"{server.url}/login", data={"password": PASSWORD}, headers=headers, timeout=30).raise_for_status()
    form = {"pool": 1, "model": FLASH, "text": TEXT}
    for path in ("/playground", "/playground/stream"):
        assert CANARY in session.post(f"{server.url}{path}", data=form, headers=headers, timeout=30).text


def test_a_canary_sung_in_every_dialect_is_heard_nowhere_afterwards(
    instance_template: Path, redis_server: RedisServer, tmp_path: Path
) -> None:
    folder = tmp_path / "left"
    (folder / "tmp").mkdir(parents=True)
    shutil.copytree(instance_template, folder / "instance")
    variables = {"API_KEYS": ",".join(GEMINI_KEYS), "OPENAI_API_KEYS": ",".join(OPENAI_KEYS),
                 "REDIS_URL": redis_server.url, "TMPDIR": str(folder / "tmp")}  # fmt: skip
    admin, statuses = {"Authorization": f"Bearer {PASSWORD}"}, Counter[int]()
    with ScriptedUpstream() as upstream, requests.Session() as session:
        server = Server(folder / "instance", upstream.url, **variables)
        everything = Everything(folder)
        with listening(redis_server, everything.heard), server:
            session.patch(f"{server.url}/admin/settings", json=PATIENCE, headers=admin, timeout=30).raise_for_status()
            for does in UPSTREAMS:
                upstream.script(does)
                for path, body in asked() if does is told else FEW:
                    headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
                    got = session.post(f"{server.url}{path}", json=body, headers=headers, timeout=30)
                    statuses[got.status_code] += 1
                begin = {"scope": "all"}
                session.post(f"{server.url}/admin/reset", json=begin, headers=admin, timeout=30).raise_for_status()
            upstream.script(told)
            upload(session, server)
            ask_on_the_page(session, server)
            sent = sum(CANARY.encode() in request.body for request in upstream.requests)
            upstream.wait_until(lambda: server.rows("SELECT count(*) FROM attempts")[0][0] >= sent, 10)
            assert everything.holds(*TRACES) == []
        assert everything.holds(*TRACES) == []
    assert sent >= statuses.total() * 0.9
    assert len(set(statuses)) >= 8
    # It is looked for where it would be.
    assert {place.split(":")[0] for place in everything.holds(FLASH.encode())} >= {
        "instance.log",
        "instance/pool.sqlite",
    }
    assert len(everything.heard) > len(UPSTREAMS)
