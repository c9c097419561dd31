"""The golden files of tests/wire: what a client sends, what goes upstream, what comes back.

A file tells one story: `call` (dialect, operation, model, payload), then any of
`sent` {path, query, body} or `refused` {param, code}; `answer` → `reply` + `usage`; `events` → `stream`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from pool.core import sse
from pool.core.calls import Call, Codec, Usage
from pool.core.dialects import ConversionSettings, codec_for
from pool.core.faults import Fault

WIRE = Path(__file__).parents[1] / "wire"
STORIES = sorted(WIRE.glob("*.json"))


def call_of(told: dict[str, Any]) -> Call:
    payload = told.get("payload") or {}
    return Call(
        request_id="0ddba11",
        dialect=told.get("dialect", "openai"),
        operation=told.get("operation", "chat"),
        model=told.get("model") or payload.get("model", ""),
        stream=bool(payload.get("stream")) or told.get("operation") == "stream_generate",
        body=orjson.dumps(payload),
        payload=payload,
        query=tuple(tuple(pair) for pair in told.get("query", ())),
        version=told.get("version"),
        created=1_750_000_000,
    )


def codec_of(story: dict[str, Any], call: Call) -> Codec:
    settings = ConversionSettings(**{"safety_preset": "google_default", **story.get("settings", {})})
    codec = codec_for(call.dialect, story.get("provider", "gemini"), call.operation, settings)
    assert codec is not None
    return codec


@pytest.mark.parametrize("path", STORIES, ids=[path.stem for path in STORIES])
def test_the_wire_carries(path: Path) -> None:
    story = json.loads(path.read_text())
    call = call_of(story["call"])
    codec = codec_of(story, call)
    if "refused" in story:
        with pytest.raises(Fault) as raised:
            codec.ask(call, call.model)
        fault = raised.value
        assert (fault.status, fault.param, fault.code) == (400, *story["refused"])
    if "sent" in story:
        assert sent(codec, call) == story["sent"]
    if "answer" in story:
        reply = codec.reply(call, {}, orjson.dumps(story["answer"]))
        assert json.loads(reply.body) == story["reply"]
        assert reply.usage == Usage(**story["usage"])
        assert reply.useful == story.get("useful", True)
    if "events" in story:
        assert streamed(codec, call, story["events"]) == story["stream"]


def sent(codec: Codec, call: Call) -> dict[str, Any]:
    ask = codec.ask(call, call.model)
    return {"path": ask.path, "query": [list(pair) for pair in ask.query], "body": json.loads(ask.body)}


def streamed(codec: Codec, call: Call, native: list[Any]) -> list[Any]:
    """The events a client reads: the same however the bytes are cut."""
    wire = b"".join(b"data: " + orjson.dumps(event) + b"\r\n\r\n" for event in native)
    outs = []
    for size in (1, 13, len(wire)):
        reader = codec.reader(call, {})
        out = b"".join(reader.feed(wire[at : at + size]) for at in range(0, len(wire), size))
        assert reader.useful
        assert reader.finished
        outs.append(out + reader.end())
    assert len(set(outs)) == 1
    return [event.data.decode() if event.data == b"[DONE]" else json.loads(event.data) for event in sse.events(outs[0])]
