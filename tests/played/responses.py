"""OpenAI's Responses API: messages and function calls as items, plain and event by event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.played.chat import mime_type, new_call_id, schema_in
from tests.played.turn import Called, Refused, Turn, act, pieces_of
from tests.upstream import Action, Request, answer, pieces

USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 30,
}


def play(request: Request) -> Action:
    body = request.json
    stated = body["input"]
    items = [{"role": "user", "content": stated}] if isinstance(stated, str) else stated
    _check(items)
    made = act(_turn(body, items))
    output = [_message(made)] if isinstance(made, str) else [_call(number, call) for number, call in enumerate(made)]
    response = _response(body, output)
    if not body.get("stream"):
        return answer(200, response)
    events = [event | {"sequence_number": number} for number, event in enumerate(_events(body, response))]
    blocks = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    return pieces(blocks, headers={"Content-Type": "text/event-stream; charset=utf-8"})


def _turn(body: dict[str, Any], items: list[dict[str, Any]]) -> Turn:
    choice = body.get("tool_choice")
    tools = {tool["name"]: tool.get("parameters") or {} for tool in body.get("tools") or ()}
    if isinstance(choice, dict):
        tools = {choice["name"]: tools[choice["name"]]}
    turn = Turn({} if choice == "none" else tools, isinstance(choice, dict) or choice == "required")
    turn.schema = schema_in((body.get("text") or {}).get("format"))
    for item in items:
        match item.get("type", "message"):
            case "message" if item["role"] == "user":
                turn.called, turn.results = [], []
                _said(item["content"], turn)
            case "function_call":
                turn.called.append(item["name"])
            case "function_call_output":
                turn.results.append(str(item["output"]))
    return turn


def _said(content: Any, turn: Turn) -> None:
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    turn.said = "".join(part["text"] for part in parts if part["type"] == "input_text")
    turn.media += [mime_type(part["image_url"]) for part in parts if part["type"] == "input_image"]


def _check(items: list[dict[str, Any]]) -> None:
    made = {item["call_id"] for item in items if item.get("type") == "function_call"}
    answered = {item["call_id"] for item in items if item.get("type") == "function_call_output"}
    for stray in answered - made:
        raise Refused(f"No tool call found for function call output with call_id {stray}.")
    for open_call in made - answered:
        raise Refused(f"No tool output found for function call {open_call}.")


def _response(body: dict[str, Any], output: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    return {
        "id": "resp_played0001",
        "object": "response",
        "created_at": 1780000000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "usage": USAGE if status == "completed" else None,
    }


def _message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_played0001", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def _call(number: int, call: Called) -> dict[str, Any]:
    return {
        "id": f"fc_played{number:04d}",
        "type": "function_call",
        "status": "completed",
        "call_id": new_call_id(),
        "name": call.name,
        "arguments": json.dumps(call.arguments),
    }


def _events(body: dict[str, Any], response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    begun = _response(body, [], "in_progress")
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        yield from _item_events(index, item)
    yield {"type": "response.completed", "response": response}


def _item_events(index: int, item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = {"item_id": item["id"], "output_index": index}
    if item["type"] == "function_call":
        added = item | {"status": "in_progress", "arguments": ""}
        yield {"type": "response.output_item.added", "output_index": index, "item": added}
        for piece in pieces_of(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
        arguments = {"arguments": item["arguments"], "name": item["name"]}
        yield {"type": "response.function_call_arguments.done", **place, **arguments}
    else:
        part = item["content"][0]
        added = item | {"status": "in_progress", "content": []}
        place["content_index"] = 0
        yield {"type": "response.output_item.added", "output_index": index, "item": added}
        yield {"type": "response.content_part.added", **place, "part": part | {"text": ""}}
        for piece in pieces_of(part["text"]):
            yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
        yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}
