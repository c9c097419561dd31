"""A chat completion as a Response object, and the items it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pool.core.calls import Call, Usage
from pool.core.dialects.carried import carry, signature_in

ECHOED = (
    "instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "reasoning", "temperature", "text",
    "tool_choice", "tools", "top_p", "truncation", "user",
)  # fmt: skip
"""Settings of a request that its response repeats."""

DEFAULTS: dict[str, Any] = {
    "instructions": None, "max_output_tokens": None, "metadata": {}, "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None}, "temperature": 1.0, "text": {"format": {"type": "text"}},
    "tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled", "user": None,
}  # fmt: skip

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response(call: Call, output: list[dict[str, Any]], status: str, usage: Usage | None) -> dict[str, Any]:
    """The Response object. `status`: in_progress | completed | incomplete."""
    payload: Mapping[str, Any] = call.payload or {}
    stated = {name: payload[name] if payload.get(name) is not None else DEFAULTS[name] for name in ECHOED}
    return {
        "id": f"resp_{call.request_id}",
        "object": "response",
        "created_at": call.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": call.model,
        "output": output,
        "previous_response_id": None,
        "store": False,
        "usage": None if usage is None else usage_object(usage),
        **stated,
    }


def closed(call: Call, output: list[dict[str, Any]], finish: Any, usage: Usage) -> dict[str, Any]:
    """The Response object of an answer that has ended, for the reason a choice gives."""
    reason = INCOMPLETE.get(finish) if isinstance(finish, str) else None
    made = response(call, output, "incomplete" if reason else "completed", usage)
    return made | {"incomplete_details": {"reason": reason} if reason else None}


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.thinking},
        "total_tokens": usage.total,
    }


def items(call: Call, completion: dict[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    """The output items of a whole completion's first choice, and why it ended."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    told = choice.get("message") or {}
    output: list[dict[str, Any]] = []
    calls = [each for each in told.get("tool_calls") or [] if isinstance(each, dict)]
    signatures = {str(each.get("id")): text for each in calls if (text := signature_in(each))}
    if thought := told.get("reasoning_content"):
        output.append(reasoning_item(call, len(output), thought, signatures))
    elif signatures:
        output.append(reasoning_item(call, len(output), "", signatures))
    for image in told.get("images") or ():
        output += picture_items(call, len(output), image)
    if (text := told.get("content")) or told.get("refusal"):
        item = message_item(call, len(output), "completed")
        item["content"] = [text_part(text, told.get("annotations"))] if text else [refusal_part(told["refusal"])]
        output.append(item)
    output += [call_item(call, len(output) + n, each) for n, each in enumerate(calls)]
    return output, choice.get("finish_reason")


def item_id(call: Call, kind: str, index: int) -> str:
    return f"{kind}_{call.request_id}_{index}"


def reasoning_item(call: Call, index: int, thought: str, signatures: Mapping[str, str]) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": thought}] if thought else []
    item: dict[str, Any] = {"id": item_id(call, "rs", index), "type": "reasoning", "summary": summary}
    if signatures:
        item["encrypted_content"] = carry(signatures)
    return item


def message_item(call: Call, index: int, status: str) -> dict[str, Any]:
    place = item_id(call, "msg", index)
    return {"id": place, "type": "message", "status": status, "role": "assistant", "content": []}


def text_part(text: str, annotations: Any = None) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": citations(annotations), "logprobs": []}


def refusal_part(text: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text}


def citations(annotations: Any) -> list[dict[str, Any]]:
    """A chat's url_citation holds its fields in an object of their own, a response's does not."""
    found = [each.get("url_citation") for each in annotations or () if isinstance(each, dict)]
    return [{"type": "url_citation", **citation} for citation in found if isinstance(citation, dict)]


def call_item(call: Call, index: int, made: Mapping[str, Any], status: str = "completed") -> dict[str, Any]:
    function = made.get("function") or {}
    return {
        "id": item_id(call, "fc", index),
        "type": "function_call",
        "status": status,
        "call_id": made.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments") or "",
    }


def picture_items(call: Call, index: int, image: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A picture, behind an item that carries its signature where it has one. `index` is the first item's."""
    signature = signature_in(image)
    if not signature:
        return [_picture_item(call, index, image)]
    picture = _picture_item(call, index + 1, image)
    return [reasoning_item(call, index, "", {picture["id"]: signature}), picture]


def _picture_item(call: Call, index: int, image: Mapping[str, Any]) -> dict[str, Any]:
    url = str((image.get("image_url") or {}).get("url", ""))
    return {
        "id": item_id(call, "ig", index),
        "type": "image_generation_call",
        "status": "completed",
        "result": url.partition(";base64,")[2] or url,
    }
