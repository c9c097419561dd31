"""An OpenAI chat completion as a Messages answer."""

from __future__ import annotations

from typing import Any

import orjson

from pool.core.calls import Usage
from pool.core.dialects.anthropic.signatures import THOUGHT, picture_name, signature_block
from pool.core.dialects.carried import signature_in

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
        cited = citations(told.get("annotations"), text)
        blocks.append({"type": "text", "text": text, **({"citations": cited} if cited else {})})
    for number, image in enumerate(told.get("images") or ()):
        blocks += picture_blocks(image, number)
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


def citations(annotations: Any, said: str) -> list[dict[str, Any]]:
    """The pages an answer rests on. `cited_text` are the answer's words: nobody tells what the page's own are."""
    listed = annotations if isinstance(annotations, list) else []
    found = [each.get("url_citation") for each in listed if isinstance(each, dict)]
    return [
        {
            "type": "web_search_result_location",
            "url": page.get("url"),
            "title": page.get("title"),
            "encrypted_index": "",
            "cited_text": said[_place(page.get("start_index")) : _place(page.get("end_index"))],
        }
        for page in found
        if isinstance(page, dict)
    ]


def _place(stated: Any) -> int:
    return max(stated, 0) if isinstance(stated, int) else 0


def picture_blocks(image: Any, number: int) -> list[dict[str, Any]]:
    """A picture a model made, behind its signature. `number` counts the answer's pictures from 0."""
    block = _image_block(image)
    if block is None:
        return []
    signature = signature_in(image)
    return [signature_block({picture_name(number): signature}), block] if signature else [block]


def _image_block(image: Any) -> dict[str, Any] | None:
    """Anthropic's own models make no pictures; this is how they are shown some."""
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
