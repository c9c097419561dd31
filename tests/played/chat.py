"""OpenAI's chat: tool calls, schemas and media, plain and streamed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from tests.played.turn import Called, Refused, Turn, act, pieces_of
from tests.upstream import Action, Request, answer, openai_stream, openai_text, sse

LONGEST_ID_CHARS = 40

_numbers = itertools.count(1)


def play(request: Request) -> Action:
    body = request.json
    if not isinstance(body["messages"], list):
        raise Refused("Invalid type for 'messages': expected an array of objects, but got a string instead.")
    _check(body["messages"])
    made = act(_turn(body))
    model = body["model"]
    if not body.get("stream"):
        return answer(200, _whole(made, model))
    usage = bool((body.get("stream_options") or {}).get("include_usage"))
    if isinstance(made, str):
        return sse(openai_stream(pieces_of(made), model=model, usage=usage), done=True)
    chunks = openai_stream((), model=model, finish="tool_calls", usage=usage)
    chunks[0]["choices"][0]["delta"]["content"] = None
    pieces = [_with_delta(chunks[0], {"tool_calls": [piece]}) for piece in _pieces(made)]
    return sse([chunks[0], *pieces, *chunks[1:]], done=True)


def new_call_id() -> str:
    return f"call_played{next(_numbers):013d}"


def schema_in(stated: Any) -> dict[str, Any] | None:
    """The schema an answer must fit, from `response_format` or `text.format`."""
    kind = stated.get("type") if isinstance(stated, dict) else None
    if kind == "json_object":
        return {"properties": {"city": {"type": "string"}}}
    if kind == "json_schema":
        return (stated.get("json_schema") or stated)["schema"]
    return None


def mime_type(url: str) -> str:
    return url.removeprefix("data:").partition(";")[0]


def _turn(body: dict[str, Any]) -> Turn:
    choice = body.get("tool_choice")
    tools = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in body.get("tools") or ()}
    if isinstance(choice, dict):
        name = choice["function"]["name"]
        tools = {name: tools[name]}
    turn = Turn({} if choice == "none" else tools, isinstance(choice, dict) or choice == "required")
    turn.schema = schema_in(body.get("response_format"))
    for message in body["messages"]:
        if message["role"] == "user":
            _said(message["content"], turn)
        turn.called += [call["function"]["name"] for call in message.get("tool_calls") or ()]
        if message["role"] == "tool":
            turn.results.append(_text(message["content"]))
    return turn


def _said(content: Any, turn: Turn) -> None:
    if text := _text(content):
        turn.said, turn.called, turn.results = text, [], []
    for part in content if isinstance(content, list) else ():
        if part["type"] == "image_url":
            turn.media.append(mime_type(part["image_url"]["url"]))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or () if part["type"] == "text")


def _check(messages: Sequence[dict[str, Any]]) -> None:
    waiting: set[str] = set()
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                raise Refused(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with"
                    " 'tool_calls'."
                )
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            break
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
        if any(len(each) > LONGEST_ID_CHARS for each in waiting):
            raise Refused(f"Invalid 'messages[{number}].tool_calls[0].id': string too long.")
    if waiting:
        raise Refused(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
            f" 'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}"
        )


def _whole(made: list[Called] | str, model: str) -> dict[str, Any]:
    if isinstance(made, str):
        return openai_text(made, model=model)
    body = openai_text("", model=model, finish="tool_calls")
    calls = [
        {
            "id": new_call_id(),
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for call in made
    ]
    body["choices"][0]["message"] |= {"content": None, "tool_calls": calls}
    return body


def _pieces(made: Sequence[Called]) -> list[dict[str, Any]]:
    pieces: list[dict[str, Any]] = []
    for index, call in enumerate(made):
        function = {"name": call.name, "arguments": ""}
        pieces.append({"index": index, "id": new_call_id(), "type": "function", "function": function})
        pieces += [
            {"index": index, "function": {"arguments": piece}} for piece in pieces_of(json.dumps(call.arguments))
        ]
    return pieces


def _with_delta(chunk: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    return chunk | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}
