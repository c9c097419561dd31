"""An OpenAI chat completion as a Messages answer."""

from __future__ import annotations

from typing import Any

import orjson

from pool.core.calls import Usage
from pool.core.dialects.anthropic.signatures import THOUGHT, signature_block, signature_in

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def message(completion: dict[str, Any], model: str, usage: Usage) -> dict[str, Any]:
    """The Messages object. `usage` is what the upstream told, or our estimate."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    told = choice.get("message") or {}
    return {
        "id": message_id(completion),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _content(told),
        "stop_reason": stop_reason(choice.get("finish_reason")),
        "stop_sequence": None,
        "usage": usage_object(usage),
    }


def message_id(completion: dict[str, Any]) -> str:
    return "msg_" + str(completion.get("id") or "").removeprefix("chatcmpl-")


def stop_reason(finish: Any) -> str:
    return STOP_REASONS.get(finish, "end_turn") if isinstance(finish, str) else "end_turn"


def usage_object(usage: Usage) -> dict[str, Any]:
    """Anthropic counts what was read from a cache beside the input, OpenAI and Google within it."""
    cached = min(usage.cached, usage.input)
    return {
        "input_tokens": usage.input - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output,
    }


def _content(told: dict[str, Any]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if isinstance(thought := told.get("reasoning_content"), str) and thought:
        blocks.append({"type": "thinking", "thinking": thought, "signature": THOUGHT})
    text = told.get("content") or told.get("refusal")
    if isinstance(text, str) and text:
        blocks.append({"type": "text", "text": text})
    blocks += [block for image in told.get("images") or () if (block := image_block(image))]
    calls = [call for call in told.get("tool_calls") or [] if isinstance(call, dict)]
    signatures = {str(call.get("id")): text for call in calls if (text := signature_in(call))}
    if signatures:
        blocks.append(signature_block(signatures))
    for call in calls:
        function = call.get("function") or {}
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": arguments(function.get("arguments")),
            }
        )
    return blocks


def image_block(image: Any) -> dict[str, Any] | None:
    """A picture a model made. Anthropic's own models make none; this is how they are shown pictures."""
    url = (image.get("image_url") or {}).get("url") if isinstance(image, dict) else None
    if not isinstance(url, str):
        return None
    head, comma, data = url.partition(";base64,")
    if not comma:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": head.removeprefix("data:"), "data": data}}


def arguments(text: Any) -> dict[str, Any]:
    """A call's arguments as the object Anthropic's clients expect."""
    try:
        value = orjson.loads(text) if isinstance(text, str) and text.strip() else {}
    except orjson.JSONDecodeError:
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}
