"""Golden files: what a client sends, what goes upstream, what comes back.

A story tells `call` (dialect, operation, model, payload), then any of `sent` {path, query, body} or
`refused` [param, code]; `answer` → `reply` + `usage`; `events` → `stream`. `what` says what it is about.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from conformance.calls import body_of
from conformance.cases import Case, Unmet, require, same
from conformance.wires import fed
from pool.core import sse
from pool.core.calls import OPENAI, Call, Codec, Usage
from pool.core.dialects import ConversionSettings, codec_for
from pool.core.faults import Fault

PICTURE = b"\x89PNG"


def check(case: Case) -> list[str]:
    story = case.document
    call = call_of(story["call"])
    codec = codec_of(story, call)
    if "refused" in story:
        same(list(refused(codec, call)), story["refused"], "refused")
    if "sent" in story:
        same(sent(codec, call), story["sent"], "sent")
    if "answer" in story:
        reply = codec.reply(call, {}, orjson.dumps(story["answer"]))
        same(json.loads(reply.body), story["reply"], "reply")
        same(reply.usage, Usage(**story["usage"]), "usage")
        same(reply.useful, story.get("useful", True), "useful")
    if "events" in story:
        same(streamed(codec, call, story["events"]), story["stream"], "stream")
    return []


def call_of(told: dict[str, Any]) -> Call:
    payload = told.get("payload") or {}
    return Call(
        request_id="0ddba11",
        dialect=told.get("dialect", OPENAI),
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
    """`fetches` gives the story somebody who fetches addresses: a picture of four bytes stands at each."""
    settings = {"safety_preset": "google_default", **story.get("settings", {})}
    if story.get("fetches"):
        settings["resolve"] = lambda url: ("image/png", PICTURE)
    found = codec_for(call.dialect, story.get("provider", "gemini"), call.operation, ConversionSettings(**settings))
    if found is None:
        raise Unmet("no codec carries this call")
    return found


def refused(codec: Codec, call: Call) -> tuple[str | None, str]:
    try:
        codec.ask(call, call.model)
    except Fault as fault:
        same(fault.status, 400, "status")
        return fault.param, fault.code
    raise Unmet("it is not refused")


def sent(codec: Codec, call: Call) -> dict[str, Any]:
    ask = codec.ask(call, call.model)
    return {"path": ask.path, "query": [list(pair) for pair in ask.query], "body": json.loads(body_of(ask))}


def streamed(codec: Codec, call: Call, native: list[Any]) -> list[Any]:
    """The events a client reads: the same however the bytes are cut, and however the upstream ends its lines."""
    outs = set()
    for end in (b"\r\n\r\n", b"\n\n", b"\r\r"):
        wire = b"".join(b"data: " + orjson.dumps(event) + end for event in native)
        reader, given, last = fed(lambda: codec.reader(call, {}), wire)
        require(reader.useful and reader.finished, "the stream is useful, and finished")
        outs.add(given + last)
    same(len(outs), 1, "ways to read it")
    return [event.data.decode() if event.data == b"[DONE]" else json.loads(event.data) for event in sse.events(*outs)]
